//! What `ssh` is started with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::ssh::{Options, UnknownKeys};
use crate::inventory::Ssh;
use crate::script::quote;

/// A master outlives its last use by so much, so that the next run need not shake hands.
const PERSIST: &str = "600";

/// What a master is started with. Ours come first: ssh takes the first value that it meets.
pub(super) fn arguments(ssh: &Ssh, options: &Options, socket: &Path, log: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = ["-M", "-f", "-N", "-T", "-S"].map(OsString::from).to_vec();
    list.extend([escaped(socket), "-E".into(), log.as_os_str().to_owned()]);
    for option in [
        "ClearAllForwardings=yes",
        "RemoteCommand=none",
        "Tunnel=no",
        &format!("ControlPersist={PERSIST}"),
    ] {
        list.extend(["-o".into(), option.into()]);
    }
    list.extend(trust(ssh, options));
    if let Some(user) = &ssh.user {
        list.extend(["-l".into(), user.into()]);
    }
    if let Some(port) = ssh.port {
        list.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(file) = &ssh.identity_file {
        list.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), escaped(file)]);
    }
    if let Some(command) = through(&hops(ssh), ssh, options, log) {
        let mut option = OsString::from("ProxyCommand=");
        option.push(command);
        list.extend(["-o".into(), option]);
    }
    list.extend(["--".into(), OsString::from(&ssh.host)]);
    list
}

/// What holds for every ssh of ours, a jump's as well as a host's: whose keys are believed, that nobody is
/// asked, that it tells how far it is.
fn trust(ssh: &Ssh, options: &Options) -> Vec<OsString> {
    // `-v` tells how far a handshake is and what key a host has.
    let mut list: Vec<OsString> = vec!["-v".into(), "-x".into()];
    let mut pair = |flag: &str, value: OsString| list.extend([OsString::from(flag), value]);
    let keys = match options.unknown_keys {
        UnknownKeys::Refuse => "yes",
        UnknownKeys::Accept => "accept-new",
    };
    let seconds = ssh.connect_timeout.as_secs().max(1);
    for option in [
        "BatchMode=yes",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "PermitLocalCommand=no",
        // A quieter level in ssh_config would leave us nothing to read.
        "LogLevel=DEBUG1",
        "VisualHostKey=no",
        &format!("ConnectTimeout={seconds}"),
        &format!("StrictHostKeyChecking={keys}"),
    ] {
        pair("-o", option.into());
    }
    if let Some(file) = &ssh.config_file {
        pair("-F", file.into());
    }
    if let Some(file) = &ssh.known_hosts {
        let mut option = OsString::from("UserKnownHostsFile=\"");
        option.push(escaped(file));
        option.push("\"");
        pair("-o", option);
    }
    list
}

/// A host on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    user: Option<String>,
    pub(super) host: String,
    port: Option<String>,
}

/// The jump hosts of the inventory, in the order in which they are come by.
pub(super) fn hops(ssh: &Ssh) -> Vec<Hop> {
    ssh.proxy_jump.iter().flat_map(|all| all.split(',')).map(hop).collect()
}

/// `[user@]host[:port]`, or the same as `ssh://` URI; an IPv6 address with a port has brackets.
fn hop(text: &str) -> Hop {
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, at) = match text.rsplit_once('@') {
        Some((user, at)) => (Some(user.to_owned()), at),
        None => (None, text),
    };
    let (host, port) = match at.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match at.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (at, None),
        },
    };
    Hop { user, host: host.to_owned(), port: port.map(str::to_owned) }
}

/// Where the ssh of a hop writes what it has to say: apart, so that nothing of a jump's can pass for a
/// word about the host behind it.
pub(super) fn hop_log(log: &Path, number: usize) -> PathBuf {
    log.with_extension(format!("jump{number}"))
}

/// The command that reaches a host through these. `-J` would give the ssh that it starts neither
/// `StrictHostKeyChecking` nor `BatchMode` nor known_hosts nor a key (OpenSSH 9.2, ssh.c).
fn through(hops: &[Hop], ssh: &Ssh, options: &Options, log: &Path) -> Option<OsString> {
    let (hop, before) = hops.split_last()?;
    let mut words: Vec<OsString> = vec!["ssh".into(), "-T".into(), "-E".into()];
    words.push(hop_log(log, before.len()).into_os_string());
    words.extend(trust(ssh, options));
    if let Some(file) = &ssh.identity_file {
        // The agent's keys may be those of the jump.
        words.extend(["-i".into(), escaped(file)]);
    }
    if let Some(user) = &hop.user {
        words.extend(["-l".into(), user.into()]);
    }
    if let Some(port) = &hop.port {
        words.extend(["-p".into(), port.into()]);
    }
    if let Some(command) = through(before, ssh, options, log) {
        let mut option = OsString::from("ProxyCommand=");
        option.push(command);
        words.extend(["-o".into(), option]);
    }
    // ssh gives this to a shell, and fills in what stands behind `%`: only in `-W` that is meant. What a
    // jump's sshd has to say, a banner say, is nobody's word.
    let quoted = words.iter().map(|word| quote(&word.to_string_lossy()).replace('%', "%%"));
    let command = quoted.collect::<Vec<_>>().join(" ");
    Some(
        format!("{command} -W '[%h]:%p' -- {} 2>/dev/null", quote(&hop.host).replace('%', "%%"))
            .into(),
    )
}

/// ssh expands `%` in paths.
fn escaped(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => text.replace('%', "%%").into(),
        None => path.as_os_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ssh(jump: &str) -> Ssh {
        Ssh {
            host: "m1".to_owned(),
            user: Some("ops".to_owned()),
            port: None,
            identity_file: Some("/k/100% key".into()),
            proxy_jump: Some(jump.to_owned()),
            known_hosts: Some("/k/known hosts".into()),
            config_file: None,
            connect_timeout: Duration::from_secs(7),
            become_root: false,
        }
    }

    #[test]
    fn every_hop_is_held_to_what_the_host_is_held_to() {
        let options = Options::new(UnknownKeys::Refuse).unwrap();
        let ssh = ssh("a@one:2222,two");
        let list = arguments(&ssh, &options, Path::new("/s"), Path::new("/s.log"));
        let all: Vec<_> = list.iter().map(|word| word.to_string_lossy()).collect();
        assert!(!all.iter().any(|word| word == "-J"));
        let command = all.iter().find_map(|word| word.strip_prefix("ProxyCommand=")).unwrap();
        // What ssh makes of it, and then the shell: the inner hop is one word of the outer.
        let outer = words(&filled(command, "m1"));
        let inner = outer.iter().find_map(|word| word.strip_prefix("ProxyCommand=")).unwrap();
        let inner = words(&filled(inner, "two"));
        for (words, to, at) in [(&outer, "[m1]:22", "two"), (&inner, "[two]:22", "one")] {
            for option in [
                "BatchMode=yes",
                "StrictHostKeyChecking=yes",
                "UserKnownHostsFile=\"/k/known hosts\"",
                "ConnectTimeout=7",
                "/k/100%% key",
                to,
                at,
            ] {
                assert!(words.iter().any(|word| word == option), "{option} in {words:?}");
            }
        }
        assert!(inner.windows(2).any(|pair| pair == ["-p", "2222"]), "{inner:?}");
        assert!(inner.windows(2).any(|pair| pair == ["-l", "a"]), "{inner:?}");
        assert!(outer.contains(&"/s.jump1".to_owned()) && inner.contains(&"/s.jump0".to_owned()));
    }

    /// What ssh makes of `%`.
    fn filled(command: &str, host: &str) -> String {
        let mut parts = command.split('%');
        let mut whole = parts.next().unwrap().to_owned();
        while let Some(part) = parts.next() {
            whole += &match part.chars().next() {
                Some('h') => format!("{host}{}", &part[1..]),
                Some('p') => format!("22{}", &part[1..]),
                None => format!("%{}", parts.next().unwrap()),
                Some(other) => panic!("%{other} in {command}"),
            };
        }
        whole
    }

    /// The words that a shell sees.
    fn words(command: &str) -> Vec<String> {
        let script = format!(
            "show() {{ printf '%s\\n' \"$@\"; }}\nshow {}",
            command.replace(" 2>/dev/null", "")
        );
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_hop_is_read_as_ssh_reads_it() {
        let hop = |text| {
            let Hop { user, host, port } = super::hop(text);
            format!("{} {host} {}", user.unwrap_or_default(), port.unwrap_or_default())
        };
        assert_eq!(hop("one"), " one ");
        assert_eq!(hop("a@one:22"), "a one 22");
        assert_eq!(hop("ssh://a@one:22/"), "a one 22");
        assert_eq!(hop("a@[fd00::1]:22"), "a fd00::1 22");
        assert_eq!(hop("fd00::1"), " fd00::1 ");
        assert_eq!(hop("a@b@one"), "a@b one ");
    }
}
