//! What can be told of how a host is to be reached before ssh is asked.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::sentence::{Cause, Unreachable, printable};
use crate::inventory::Ssh;
use crate::inventory::ssh::{is_destination, is_jump, is_login};

/// What can be told before ssh is asked. Old clients hand `%h` to a shell, so words are checked
/// here too (an argument gives some of them), and ssh says the same of four different faults of a key file.
pub(super) fn check(ssh: &Ssh) -> Result<(), Unreachable> {
    type Good = fn(&str) -> bool;
    let words: [(_, Good); 3] = [
        (Some(&ssh.host), is_destination),
        (ssh.user.as_ref(), is_login),
        (ssh.proxy_jump.as_ref(), is_jump),
    ];
    for (word, good) in words {
        if let Some(word) = word.filter(|word| !good(word)) {
            let sentence =
                format!("`{}` cannot be given to ssh; correct it", printable(word.as_bytes()));
            return Err(Unreachable::new(Cause::Config, sentence));
        }
    }
    ssh.identity_file.as_deref().map_or(Ok(()), check_identity)
}

fn check_identity(path: &Path) -> Result<(), Unreachable> {
    let bad = |what: String| Err(Unreachable::new(Cause::Identity, what));
    let shown = path.display();
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        file.take(64 << 10).read_to_end(&mut text)?;
        Ok(about)
    });
    let about = match read {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return bad(format!(
                "the private key `{shown}` does not exist; correct `identity_file`"
            ));
        }
        Err(error) => return bad(format!("the private key `{shown}` cannot be read: {error}")),
    };
    if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") || text.starts_with(b"sk-") {
        // The public half: ssh then takes the private one from the agent.
        return Ok(());
    }
    if about.mode() & 0o077 != 0 {
        return bad(format!(
            "others may read the private key `{shown}`, so ssh does not use it; run: chmod 600 {shown}"
        ));
    }
    if encrypted(&String::from_utf8_lossy(&text)) && std::env::var_os("SSH_AUTH_SOCK").is_none() {
        return bad(format!(
            "the private key `{shown}` is encrypted and no ssh agent runs; start one and run: ssh-add {shown}"
        ));
    }
    Ok(())
}

/// Source: OpenSSH PROTOCOL.key: after the magic comes the cipher's name; and PEM's headers.
fn encrypted(key: &str) -> bool {
    /// `openssh-key-v1\0`, a length of 4 and `none`, in base64.
    const PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    if key.contains("BEGIN OPENSSH PRIVATE KEY") {
        !key.lines().nth(1).unwrap_or_default().starts_with(PLAIN)
    } else {
        key.contains("ENCRYPTED")
    }
}
