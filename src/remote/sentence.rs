//! What ssh and sudo say, as one sentence that says what to do.
//!
//! ssh's exit status is 255 whatever happened, so its words are all there is to go by. They are
//! asked for in English (`LC_ALL=C`). Source: OpenSSH 9.2 sshconnect.c, readconf.c, packet.c; sudo 1.9.

use std::fmt;

/// A host that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// What kind of reason.
    pub cause: Cause,
    /// The reason and what to do, in one sentence.
    pub sentence: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nobody listens on the port.
    Refused,
    /// No answer at all.
    TimedOut,
    /// No route or network.
    NoRoute,
    /// The name has no address.
    CannotResolve,
    /// Something listens, but it does not speak SSH.
    NoBanner,
    /// The host's key is not known.
    UnknownKey,
    /// The host's key is not the one known.
    ChangedKey,
    /// The host does not let us in.
    Denied,
    /// The host was offered more keys than it looks at.
    TooManyKeys,
    /// A jump host is the problem.
    Jump,
    /// sshd sheds connections; worth another try.
    Startups,
    /// No further session on the connection; one may end soon.
    Sessions,
    /// The user's ssh_config, or a setting of the inventory.
    Config,
    /// The private key file.
    Identity,
    /// The host knows the login user and lets it in no further: expired, or nobody may log in now.
    Account,
    /// The host wants a second factor, which nobody is there to give.
    SecondFactor,
    /// The login user cannot run a shell.
    NoShell,
    /// sudo wants a password and there is none.
    NeedsPassword,
    /// sudo did not take the password.
    WrongPassword,
    /// sudo does not let the user become root.
    NotSudoer,
    /// There is no sudo.
    NoSudo,
    /// There is no ssh on this machine.
    NoSsh,
    /// Something else on this machine.
    Local,
    /// The connection ended before anything began.
    Dropped,
    /// ssh's own words.
    Other,
}

/// What the sentences may need to name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Whom we connect to.
    pub host: &'a str,
    /// Its port, when we set it.
    pub port: Option<u16>,
    /// The login user, when we set it.
    pub user: Option<&'a str>,
    /// The jump host(s), when we set them.
    pub jump: Option<&'a str>,
    /// The jump host that a key is about; `None` when it is the host itself.
    pub at: Option<&'a str>,
    /// The time limit in seconds.
    pub seconds: u64,
    /// What the host's key is (`ED25519 SHA256:…`), when it could be found out.
    pub offered_key: Option<&'a str>,
    /// What its key was, when it could be found out.
    pub known_key: Option<&'a str>,
}

/// Reads what ssh said when it could not connect.
pub fn ssh(said: &str, context: &Context<'_>) -> Unreachable {
    let cause = cause_of(said, context);
    let Context { host, seconds, .. } = *context;
    let port = context.port.map_or(String::new(), |port| format!(" on port {port}"));
    let sentence = match cause {
        Cause::Refused => format!("connection refused{port}; is sshd running there?"),
        Cause::TimedOut => {
            format!("no answer{port} within {seconds} s; is the host up and the address right?")
        }
        Cause::NoRoute => format!("there is no route to {host}; check the address and the network"),
        Cause::CannotResolve => {
            format!("cannot resolve `{}`; write an address, or a name that resolves", subject(said, host))
        }
        Cause::NoBanner => {
            format!("something listens{port}, but it showed no SSH banner within {seconds} s; check the port")
        }
        Cause::UnknownKey => unknown_key(said, context),
        Cause::ChangedKey => changed_key(said, context),
        Cause::Denied => denied(said, context),
        Cause::Account => account(said),
        Cause::SecondFactor => {
            let user = context.user.map_or(String::new(), |user| format!(" as {user}"));
            format!(
                "the host takes the key{user} and asks for a second factor ({}), which a run cannot give; exempt this user in its sshd_config, or open a ControlMaster by hand and name its ssh_config",
                last_line(said)
            )
        }
        Cause::TooManyKeys => {
            "too many authentication failures: the ssh agent offers more keys than the host looks at; set `identity_file`".to_owned()
        }
        Cause::Jump => jump(said, context),
        Cause::Startups => {
            "the host drops connections before the handshake; it may limit how many there are at once (MaxStartups) or whom it lets in".to_owned()
        }
        Cause::Config => format!("ssh does not accept its configuration: {}; correct it", config_line(said)),
        Cause::Identity => format!("ssh does not use the private key file: {}", last_line(said)),
        _ if closed(said).is_some() => {
            let words = closed(said).unwrap_or_default();
            format!("the host ended the connection after saying `{words}`; log in by hand to see what it wants")
        }
        _ if last_line(said).is_empty() => "ssh ended without a word; try `ssh -v` by hand".to_owned(),
        _ => format!("ssh failed: {}", last_line(said)),
    };
    Unreachable { cause, sentence }
}

/// Reads what was said by a login that did not come to a shell.
pub fn sudo(stderr: &str, stdout: &str) -> Unreachable {
    let said = |text: &str| stderr.contains(text) || stdout.contains(text);
    let line = |texts: &[&str]| {
        let hit = |line: &&str| texts.iter().any(|text| line.contains(text));
        stderr.lines().chain(stdout.lines()).find(hit).unwrap_or_default().trim().to_owned()
    };
    if let Some(words) = turned_away(stderr).or_else(|| turned_away(stdout)) {
        return Unreachable::new(Cause::Account, account(words));
    }
    let cause = if said("is not in the sudoers file")
        || said("is not allowed to execute")
        || said("is not allowed to run sudo")
        || said("may not run sudo")
    {
        Cause::NotSudoer
    } else if said("incorrect password attempt") || said("Sorry, try again") {
        Cause::WrongPassword
    } else if said("a password is required") || said("no password was provided") {
        Cause::NeedsPassword
    } else if said("sudo: not found") || said("sudo: command not found") {
        Cause::NoSudo
    } else if said("you must have a tty") {
        let sentence = "sudo demands a terminal on the host; remove `requiretty` from its sudoers";
        return Unreachable::new(Cause::NotSudoer, sentence.to_owned());
    } else if stderr.lines().any(|line| line.starts_with("sudo: ")) {
        let sentence = format!("sudo failed on the host: {}", line(&["sudo: "]));
        return Unreachable::new(Cause::NotSudoer, sentence);
    } else if stderr.trim().is_empty() && stdout.trim().is_empty() {
        Cause::Dropped
    } else {
        Cause::NoShell
    };
    match cause {
        Cause::NotSudoer => Unreachable::new(
            cause,
            format!(
                "the login user may not become root with sudo ({}); add a sudoers rule, or log in as root",
                line(&["is not ", "may not "]).trim_end_matches('.')
            ),
        ),
        Cause::NoShell => Unreachable::new(
            cause,
            format!(
                "no usable shell: the login user's shell said `{}`; give it a POSIX shell without a forced command",
                last_line(if stdout.trim().is_empty() { stderr } else { stdout })
            ),
        ),
        _ => Unreachable::of(cause),
    }
}

/// Bytes of a host as text that can do no harm on a terminal or in a log.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '\n' | '\t' => text.push(c),
            c if c.is_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            // Direction marks can make a line read as another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                text.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text
}

impl Unreachable {
    /// With a sentence of its own.
    pub fn new(cause: Cause, sentence: String) -> Unreachable {
        Unreachable { cause, sentence }
    }

    /// With the sentence that needs no details.
    pub fn of(cause: Cause) -> Unreachable {
        let sentence = match cause {
            Cause::NeedsPassword => "sudo needs a password; run again with -K",
            Cause::WrongPassword => "sudo did not accept the password; it was tried once",
            Cause::NoSudo => "sudo is not installed; install it, or log in as root",
            Cause::NoSsh => {
                "`ssh` was not found on this machine; install the package openssh-client"
            }
            Cause::Dropped => "the connection ended before a shell answered; try again",
            _ => "the host cannot be used",
        };
        Unreachable { cause, sentence: sentence.to_owned() }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Unreachable {}

fn cause_of(said: &str, context: &Context<'_>) -> Cause {
    let has = |text: &str| said.contains(text);
    // Behind a jump the outer ssh only knows that its pipe closed; the cause stands above that.
    if has("UNKNOWN port 65535") || has("stdio forwarding failed") || has("open failed: ") {
        return match cause_of_host(&said.replace("UNKNOWN port 65535", "")) {
            // Those two can also be the host behind, and need the same answer wherever they arise.
            cause @ (Cause::UnknownKey | Cause::ChangedKey | Cause::Config) => cause,
            _ if context.jump.is_some() || has("UNKNOWN port 65535") => Cause::Jump,
            cause => cause,
        };
    }
    cause_of_host(said)
}

fn cause_of_host(said: &str) -> Cause {
    let has = |text: &str| said.contains(text);
    if has("Bad configuration option")
        || has("terminating, ")
        || has("Bad owner or permissions on")
        || has("Can't open user config file")
        || has("keyword ") && has("line ")
    {
        Cause::Config
    } else if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        Cause::ChangedKey
    } else if has("host key is known for") || has("Host key verification failed") {
        Cause::UnknownKey
    } else if has("Could not resolve hostname") {
        Cause::CannotResolve
    } else if has("banner exchange") || has("banner line contains invalid characters") {
        Cause::NoBanner
    } else if has("Connection refused") {
        Cause::Refused
    } else if has("Too many authentication failures") {
        Cause::TooManyKeys
    } else if has("UNPROTECTED PRIVATE KEY FILE") {
        Cause::Identity
    } else if turned_away(said).is_some() {
        Cause::Account
    } else if has("with partial success") && has("Permission denied") {
        Cause::SecondFactor
    } else if has("Permission denied") {
        Cause::Denied
    } else if has("kex_exchange_identification: ") || has("Exceeded MaxStartups") {
        Cause::Startups
    } else if has("timed out") {
        Cause::TimedOut
    } else if has("No route to host") || has("Network is unreachable") {
        Cause::NoRoute
    } else {
        Cause::Other
    }
}

fn unknown_key(said: &str, context: &Context<'_>) -> String {
    let host = between(said, "host key is known for ", " and");
    let host = whose(host, context);
    let key = context.offered_key.map_or(String::new(), |key| format!(" ({key})"));
    format!(
        "the key of {host}{key} is not known; compare it with the host's and run with --accept-new-host-keys, or add it to known_hosts"
    )
}

/// Whose key a sentence is about.
fn whose(known_as: Option<&str>, context: &Context<'_>) -> String {
    match context.at {
        None => known_as.unwrap_or(context.host).to_owned(),
        Some(jump) => format!("the jump host {}", known_as.unwrap_or(jump)),
    }
}

fn changed_key(said: &str, context: &Context<'_>) -> String {
    let now = context.offered_key.or_else(|| said.lines().find(|l| l.starts_with("SHA256:")));
    let now = now.unwrap_or("unknown").trim().trim_end_matches('.');
    let was = context.known_key.map_or(String::new(), |key| format!(" instead of {key}"));
    let host = between(said, "Host key for ", " has changed")
        .unwrap_or(context.at.unwrap_or(context.host));
    let remedy = said.lines().map(str::trim).find(|line| line.starts_with("ssh-keygen -f"));
    let remedy = remedy.map_or_else(|| format!("ssh-keygen -R \"{host}\""), str::to_owned);
    let host = whose(Some(host), context);
    format!(
        "the key of {host} has changed: it is {now}{was}; if the machine was replaced on purpose run: {remedy}"
    )
}

fn denied(said: &str, context: &Context<'_>) -> String {
    let user = context.user.map_or(String::new(), |user| format!(" as {user}"));
    let methods = between(last_line(said), "Permission denied (", ")").unwrap_or("publickey");
    // What ssh says of a key of ours that it could not use.
    const OURS: [&str; 4] =
        ["sign_and_send_pubkey: ", "Load key ", "agent key ", "Error loading key "];
    let ours = said.lines().map(str::trim).rfind(|line| OURS.iter().any(|o| line.starts_with(o)));
    if let Some(ours) = ours {
        return format!(
            "the host does not let us in{user} (it takes {methods}), for a key here could not be used ({ours}); mend that key, or set `identity_file`"
        );
    }
    format!(
        "the host does not let us in{user} (it takes {methods}); add the public key to its authorized_keys, or set `user` or `identity_file`"
    )
}

/// The line with which a host turns away a user that it knows.
///
/// Source: Linux-PAM 1.5, `pam_unix_acct.c` and `pam_nologin(8)`; systemd 252, `pam_systemd` and
/// `user-sessions.c`, for what is in /run/nologin; openssh 9.2, `session.c`.
fn turned_away(said: &str) -> Option<&str> {
    const WORDS: [&str; 12] = [
        "account has expired",
        "account is locked",
        "account is disabled",
        "account or password is expired",
        "password has expired",
        "password has been inactive too long",
        "required to change your password",
        "password change required",
        "not permitted to log in",
        "system is going down",
        "system is booting up",
        "logins are currently disabled",
    ];
    let lower = |line: &str| line.to_ascii_lowercase();
    let hit = |line: &&str| WORDS.iter().any(|words| lower(line).contains(words));
    said.lines().map(str::trim).find(hit)
}

fn account(said: &str) -> String {
    let words = turned_away(said).unwrap_or_else(|| last_line(said));
    let lower = words.to_ascii_lowercase();
    let cure = if lower.contains("password") && !lower.contains("account or") {
        "log in by hand and set a new password, or let it not expire: chage -M -1 USER"
    } else if lower.contains("account") {
        "let the account not expire (chage -E -1 USER), or set another `user`"
    } else {
        "wait for the host to be up, or remove /etc/nologin there; root is let in meanwhile"
    };
    format!("the host lets nobody in with this account: `{}`; {cure}", words.trim_end_matches('.'))
}

/// What a host said before it closed the connection, where ssh's own line says only that it was closed.
fn closed(said: &str) -> Option<&str> {
    let over = |line: &str| {
        ["Connection closed by ", "Connection to ", "Connection reset by ", "Disconnected from "]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().next_back().filter(|line| over(line))?;
    lines().rfind(|line| !over(line))
}

fn jump(said: &str, context: &Context<'_>) -> String {
    let jump = context.jump.unwrap_or("of ssh_config");
    let why = said
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.contains("UNKNOWN port 65535"));
    let why = why.map_or(String::new(), |why| format!(": {}", why.trim_start_matches("ssh: ")));
    format!(
        "{} cannot be reached through the jump host {jump}{why}; check that jump host and that it may forward",
        context.host
    )
}

/// The line that names file and line number, rather than the summary after it.
fn config_line(said: &str) -> &str {
    let named = said.lines().find(|l| l.contains(": line ") || l.contains(" line "));
    named.unwrap_or_else(|| last_line(said)).trim()
}

fn subject<'a>(said: &'a str, host: &'a str) -> &'a str {
    between(said, "Could not resolve hostname ", ":").unwrap_or(host)
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &text[text.find(from)? + from.len()..];
    rest.find(to).map(|end| &rest[..end])
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context {
            host: "m1",
            port: Some(2222),
            user: Some("ops"),
            seconds: 10,
            ..Context::default()
        }
    }

    #[test]
    fn what_ssh_says_has_a_cause() {
        // Texts of OpenSSH 9.2.
        let cases = [
            (
                "ssh: connect to host m1 port 2222: Connection refused\n",
                Cause::Refused,
                "on port 2222",
            ),
            (
                "ssh: connect to host m1 port 22: Connection timed out",
                Cause::TimedOut,
                "within 10 s",
            ),
            ("ssh: connect to host m1 port 22: No route to host", Cause::NoRoute, "m1"),
            (
                "ssh: Could not resolve hostname mm: Name or service not known",
                Cause::CannotResolve,
                "`mm`",
            ),
            (
                "Connection timed out during banner exchange\nConnection to 127.0.0.1 port 1 timed out",
                Cause::NoBanner,
                "banner",
            ),
            (
                "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 127.0.0.1 port 22",
                Cause::Startups,
                "MaxStartups",
            ),
            (
                "Received disconnect from 127.0.0.1 port 22:2: Too many authentication failures\nDisconnected from 127.0.0.1 port 22",
                Cause::TooManyKeys,
                "identity_file",
            ),
            (
                "ops@m1: Permission denied (publickey,password).",
                Cause::Denied,
                "as ops (it takes publickey,password)",
            ),
            (
                "/home/a/.ssh/config: line 3: Bad configuration option: nosuch\n/home/a/.ssh/config: terminating, 1 bad configuration options",
                Cause::Config,
                "config: line 3",
            ),
            (
                "Bad owner or permissions on /home/a/.ssh/config",
                Cause::Config,
                "/home/a/.ssh/config",
            ),
            (
                "No ED25519 host key is known for [m1]:2222 and you have requested strict checking.\nHost key verification failed.",
                Cause::UnknownKey,
                "[m1]:2222",
            ),
            (
                "Your account has expired; please contact your system administrator.\n\nConnection closed by 10.0.0.1 port 22",
                Cause::Account,
                "chage -E -1",
            ),
            (
                "\"System is booting up. Unprivileged users are not permitted to log in yet.\"\nConnection closed by 10.0.0.1 port 22",
                Cause::Account,
                "/etc/nologin",
            ),
            (
                "Authenticated using \"publickey\" with partial success.\nops@m1: Permission denied (keyboard-interactive).",
                Cause::SecondFactor,
                "(ops@m1: Permission denied (keyboard-interactive).)",
            ),
            (
                "sign_and_send_pubkey: signing failed for ED25519 \"k\": agent refused operation\nops@m1: Permission denied (publickey).",
                Cause::Denied,
                "agent refused operation",
            ),
            (
                "Maintenance until noon.\nConnection closed by 10.0.0.1 port 22",
                Cause::Other,
                "after saying `Maintenance until noon.`",
            ),
            ("something new", Cause::Other, "ssh failed: something new"),
            ("", Cause::Other, "ssh -v"),
        ];
        for (said, cause, words) in cases {
            let found = ssh(said, &context());
            assert_eq!(found.cause, cause, "{said}");
            assert!(found.sentence.contains(words), "{found}");
            assert!(!found.sentence.contains('\n') && !found.sentence.ends_with('.'), "{found}");
        }
    }

    #[test]
    fn a_jump_host_is_named() {
        let jump = Context { jump: Some("gate"), ..context() };
        let forbidden = "channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535";
        let found = ssh(forbidden, &jump);
        assert_eq!(found.cause, Cause::Jump);
        assert!(found.sentence.contains("the jump host gate: channel 0: open failed"), "{found}");
        let unknown = "No ED25519 host key is known for gate and you have requested strict checking.\nHost key verification failed.\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535";
        let found = ssh(unknown, &jump);
        assert_eq!(found.cause, Cause::UnknownKey);
        assert!(found.sentence.contains("key of gate"), "{found}");
    }

    #[test]
    fn what_sudo_says_has_a_cause() {
        let cases = [
            ("ops is not in the sudoers file.\n", "", Cause::NotSudoer),
            (
                "Sorry, user ops is not allowed to execute '/bin/sh' as root on m1.",
                "",
                Cause::NotSudoer,
            ),
            ("sudo: sorry, you must have a tty to run sudo", "", Cause::NotSudoer),
            ("/bin/sh: 1: exec: sudo: not found", "", Cause::NoSudo),
            ("Sorry, try again.\n", "", Cause::WrongPassword),
            ("sudo: a password is required", "", Cause::NeedsPassword),
            ("", "This account is currently not available.\n", Cause::NoShell),
            (
                "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
                "",
                Cause::Account,
            ),
            (
                "sudo: Account or password is expired, reset your password and try again",
                "",
                Cause::Account,
            ),
            ("", "", Cause::Dropped),
        ];
        for (stderr, stdout, cause) in cases {
            let found = sudo(stderr, stdout);
            assert_eq!(found.cause, cause, "{stderr}{stdout}");
            assert!(!found.sentence.contains('\n') && !found.sentence.ends_with('.'), "{found}");
        }
    }

    #[test]
    fn nothing_of_a_host_reaches_a_terminal_raw() {
        let text = printable("a\x1b[31m\r\n\tb\u{202e}\u{9b}".as_bytes());
        assert_eq!(text, "a\\x1b[31m\\x0d\n\tb\\u{202e}\\x9b");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
