//! The keys of hosts, as ssh and its known_hosts name them.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::sentence::printable;

/// What `ssh-keygen` may take.
const KEYGEN_LIMIT: Duration = Duration::from_secs(15);

/// The fingerprint that the changed key's line in known_hosts has: `ED25519 SHA256:…`.
pub(super) async fn known_key(said: &str) -> Option<String> {
    let offending =
        said.lines().find_map(|line| line.split_once("Offending ")?.1.split_once(" in "));
    let (file, line) = offending?.1.trim().rsplit_once(':')?;
    let number: usize = line.parse().ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    let key = text.lines().nth(number.checked_sub(1)?)?.to_owned();
    let keygen = which::which("ssh-keygen").ok()?;
    let mut child = Command::new(keygen)
        .args(["-l", "-f", "-"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    tokio::io::AsyncWriteExt::write_all(&mut stdin, format!("{key}\n").as_bytes()).await.ok()?;
    drop(stdin);
    let output = timeout(KEYGEN_LIMIT, child.wait_with_output()).await.ok()?.ok()?;
    let output = printable(&output.stdout);
    // `256 SHA256:… comment (ED25519)`
    let print = output.split_whitespace().find(|word| word.starts_with("SHA256:"))?;
    let kind = output.trim().rsplit_once('(').map_or("", |(_, kind)| kind.trim_end_matches(')'));
    Some(format!("{kind} {print}"))
}

/// The key in the words of `ssh -v`: `ED25519 SHA256:…`. Only a line of ssh's own says it: what a server
/// says of itself, its version for one, stands behind other words.
pub(super) fn offered_key(log: &str) -> Option<String> {
    let line = log.lines().rev().find_map(|line| line.strip_prefix("debug1: Server host key: "))?;
    let (kind, print) = line.trim().split_once(' ')?;
    Some(format!("{} {print}", kind.trim_start_matches("ssh-").to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_not_its_key() {
        let log = "debug1: Remote protocol version 2.0, remote software version debug1: Server host key: ssh-ed25519 SHA256:forged\n\
                   debug1: Server host key: ssh-ed25519 SHA256:real\n\
                   debug1: Remote: Server host key: ssh-ed25519 SHA256:forged\n";
        assert_eq!(offered_key(log).as_deref(), Some("ED25519 SHA256:real"));
    }
}
