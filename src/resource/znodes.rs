//! Who may write below the masters' path in ZooKeeper: whoever can make a child there can pass for the leading
//! master. Masters with a credential make their znodes so that everybody reads them and they alone write them; what
//! was made before, or is to let a new one in too, is set here.
//!
//! The host speaks ZooKeeper's own protocol with bash, for no client of it is on a master's host. Source: ZooKeeper
//! 3.8, `zookeeper-jute/src/main/resources/zookeeper.jute` and `ZooDefs.OpCode`, the same since 3.4.

use std::collections::BTreeSet;

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::ground::{Endpoint, SecretRef};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all, slot};

/// The masters' path and what is below it, asked of the first server that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znodes {
    /// The ensemble.
    pub servers: Vec<Endpoint>,
    /// The masters' path.
    pub path: String,
    /// Who may write, each with a secret.
    pub writers: Vec<(String, SecretRef)>,
}

/// Where masters announce the replicas of their log.
const REPLICAS: &str = "/log_replicas";
/// Whoever is not asked who it is.
const EVERYBODY: &str = "everybody";
/// All that one may do to a znode, and reading alone. Source: `ZooDefs.Perms`.
const ALL: u32 = 31;
const READ: u32 = 1;

impl Znodes {
    fn paths(&self) -> [String; 2] {
        [self.path.clone(), format!("{}{REPLICAS}", self.path)]
    }
}

impl Kind for Znodes {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "znodes", name: self.path.clone() }
    }

    fn want(&self) -> Facts {
        let names: BTreeSet<&str> = self.writers.iter().map(|(name, _)| name.as_str()).collect();
        Facts::from([("writers", joined(names))])
    }

    /// One session for the question; whoever may be anybody answers with hexadecimal only.
    fn probe(all: &[&Self]) -> Probe {
        let Some(it) = all.first() else { return Probe::default() };
        let [path, replicas] = it.paths();
        let frames = [connect(), get_acl(1, &path), get_acl(2, &replicas), close(3)];
        let said: String = frames.concat().iter().map(|byte| format!("\\{byte:03o}")).collect();
        let ask =
            quote(&format!("exec 3<>\"/dev/tcp/$0/$1\" || exit; printf '{said}' >&3; cat <&3"));
        let servers = it.servers.iter().map(|at| quote(&format!("{} {}", at.host, at.port)));
        Probe::new(
            "znodes",
            format!(
                "for s in {}; do\n\
                 o=$(timeout 5 bash -c {ask} \"${{s% *}}\" \"${{s#* }}\" 2>/dev/null | od -A n -v -t x1 -N 65536)\n\
                 [ -z \"$o\" ] || {{ printf '%s\\n' \"$o\"; break; }}\ndone",
                servers.collect::<Vec<_>>().join(" ")
            ),
        )
    }

    fn read(&self, sections: &Sections) -> Look {
        let hex = sections.get("znodes").map_or("", String::as_str).split_ascii_whitespace();
        let bytes: Vec<u8> = hex.map_while(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let replies = frames(&bytes);
        let [_, path, replicas, ..] = replies.as_slice() else {
            return Look::Later("ZooKeeper serves");
        };
        let (Some(path), Some(replicas)) = (acl(path), acl(replicas)) else {
            return Look::Failed("ZooKeeper's answer could not be read".to_owned());
        };
        let mut writers = BTreeSet::new();
        for acl in [path, replicas] {
            // One that is not there yet is made by whoever is let in at the other.
            let Some(acl) = acl else { return Look::Facts(Facts::new()) };
            writers.extend(acl);
        }
        let names = writers.iter().map(String::as_str).collect();
        Look::Facts(Facts::from([("writers", joined(names))]))
    }

    /// As any of them, who of them may now: sets it on all that is there, and makes the two that must be. A master
    /// that still runs without a credential would be shut out, so it is left while there is one.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let mut script = String::from("{\n");
        for (index, (name, _)) in self.writers.iter().enumerate() {
            script.push_str(&format!("printf '%s\\n%s\\n' {} {}\n", quote(name), slot(index)));
        }
        let servers: Vec<String> =
            self.servers.iter().flat_map(|at| [at.host.clone(), at.port.to_string()]).collect();
        script.push_str(&format!(
            "}} | timeout 60 bash -c {} {} {} || exit 1",
            quote(SET),
            quote(&self.path),
            quote_all(servers.iter().map(String::as_str)),
        ));
        let secrets = self.writers.iter().map(|(_, secret)| secret.clone()).collect();
        vec![Step::Run(Fix::with_secrets(script, secrets))]
    }

    fn secrets(&self) -> Vec<SecretRef> {
        self.writers.iter().map(|(_, secret)| secret.clone()).collect()
    }
}

fn joined(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// A request with the length before it.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32).to_be_bytes(), body.as_slice()].concat()
}

fn connect() -> Vec<u8> {
    // protocol, last zxid, timeout in ms, session, password
    frame(&[&[0; 4], &[0; 8], &10_000_u32.to_be_bytes(), &[0; 8], &16_u32.to_be_bytes(), &[0; 16]])
}

fn get_acl(xid: u32, path: &str) -> Vec<u8> {
    let length = (path.len() as u32).to_be_bytes();
    frame(&[&xid.to_be_bytes(), &6_u32.to_be_bytes(), &length, path.as_bytes()])
}

fn close(xid: u32) -> Vec<u8> {
    frame(&[&xid.to_be_bytes(), &(-11_i32).to_be_bytes()])
}

/// What was answered, one after the other.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        all.push(frame);
        bytes = rest;
    }
    all
}

/// Who may do more than read, by an answer to `getACL`; nobody where there is no such znode.
#[expect(clippy::option_option, reason = "no answer is not the answer that there is none")]
fn acl(reply: &[u8]) -> Option<Option<Vec<String>>> {
    let (error, mut rest) = reply.get(12..)?.split_first_chunk()?;
    match i32::from_be_bytes(*error) {
        0 => {}
        -101 => return Some(None),
        _ => return None,
    }
    let mut writers = Vec::new();
    let count = number(&mut rest)?;
    for _ in 0..count {
        let (may, scheme, id) = (number(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
        if may == READ && scheme == "world" {
            continue;
        }
        writers.push(match (scheme, may) {
            ("world", _) => EVERYBODY.to_owned(),
            // The digest is not told to whoever has not proven it.
            ("digest", ALL) => id.split(':').next().unwrap_or_default().to_owned(),
            _ => format!("{scheme} {id} ({may})"),
        });
    }
    Some(Some(writers))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = number(rest)? as usize;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// `$0` the path, then hosts and ports; principals and secrets, a line each, from standard input. What is sent is put
/// together as escapes of `printf`, four characters a byte, for a shell holds no NUL.
const SET: &str = r#"
export LC_ALL=C
b() { printf %s "$1" | od -A n -v -t o1 | tr -d '\n' | sed 's/ /\\/g'; }
i() { printf '\\%03o\\%03o\\%03o\\%03o' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }
s() { i ${#1}; b "$1"; }
h() { printf "$(printf %s "$1" | sha1sum | cut -c1-40 | sed 's/../\\x&/g')" | base64 -w 0; }
x() { od -A n -v -t x1 | tr -d ' \n'; }
ask() { # request: its answer in $a, its error in $e
  local n; printf "$(i $((${#1} / 4)))$1" >&3; n=$(head -c 4 <&3 | x); [ ${#n} = 8 ] || return 1
  a=$(head -c $((16#$n)) <&3 | x); e=$((16#0${a:24:8})); [ $e -lt 2147483648 ] || e=$((e - 4294967296))
}
no() { printf '%s\n' "$*" >&2; exit 1; }
names=(); words=()
while IFS= read -r n && IFS= read -r w; do
  case $w in */*) no "the secret of $n holds a /, which Mesos would read as the end of it" ;; esac
  names+=("$n"); words+=("$w")
done
acl="$(i $((${#names[@]} + 1)))$(i 1)$(s world)$(s anyone)"
for k in "${!names[@]}"; do acl+="$(i 31)$(s digest)$(s "${names[k]}:$(h "${names[k]}:${words[k]}")")"; done
z='\000\000\000\000'; served=
while [ $# -gt 1 ]; do
  at="$1 $2"; host=$1; port=$2; shift 2
  exec 3<>"/dev/tcp/$host/$port" || continue
  ask "$z$z$z$(i 20000)$z$z$(i 16)$z$z$z$z" && { served=1; break; }
  exec 3>&-
done 2>/dev/null
[ "$served" ] || no 'no server of the ensemble serves'
for k in "${!names[@]}"; do
  ask "$(i -4)$(i 100)$z$(s digest)$(s "${names[k]}:${words[k]}")" && [ $e = 0 ] || no "$at takes no credential of ${names[k]}"
done
# A parent that is missing is made as the path is.
for node in "$0" "$0/log_replicas"; do
  made=; rest=${node#/}
  while [ "$rest" ]; do
    made+=/${rest%%/*}; case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    ask "$(i 1)$(i 3)$(s "$made")\000" || no "$at ended the session"
    [ $e != 0 ] || continue
    ask "$(i 1)$(i 1)$(s "$made")$z$acl$z" || no "$at ended the session"
    [ $e = 0 ] || [ $e = -110 ] || no "$at does not let us make $made: error $e"
  done
done
all=("$0"); n=0
while [ $n -lt ${#all[@]} ]; do
  node=${all[n]}; n=$((n + 1)); [ $n -lt 20000 ] || no 'there are too many znodes'
  ask "$(i 2)$(i 8)$(s "$node")\000" || no "$at ended the session"
  [ $e = 0 ] || continue
  count=$((16#${a:32:8})); p=40
  while [ $count -gt 0 ]; do
    size=$((16#${a:p:8})); name=$(printf "$(printf %s "${a:p+8:size * 2}" | sed 's/../\\x&/g')")
    all+=("$node/$name"); p=$((p + 8 + size * 2)); count=$((count - 1))
  done
done
# Made by somebody who proved nothing: a master that would be shut out.
for node in "${all[@]}"; do
  case $node in "$0"/json.info_*) ;; *) continue ;; esac
  ask "$(i 3)$(i 6)$(s "$node")" || no "$at ended the session"
  case $a in *0000001f00000005776f726c64*) no "a master runs without the credential: $node is everybody's; apply to all masters first" ;; esac
done
for node in "${all[@]}"; do
  ask "$(i 4)$(i 7)$(s "$node")$acl$(i -1)" || no "$at ended the session"
  [ $e = 0 ] || [ $e = -101 ] || no "$at does not let us set the ACL of $node: error $e; is a principal of before missing under zookeeper.credentials.former?"
done
ask "$(i 5)$(i -11)"
exit 0
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn znodes() -> Znodes {
        let secret = |name: &str| SecretRef::Env(name.to_owned());
        Znodes {
            servers: vec![Endpoint::new("10.0.0.1", 2181)],
            path: "/mesos".to_owned(),
            writers: vec![("mesos".to_owned(), secret("A")), ("old".to_owned(), secret("B"))],
        }
    }

    fn said(replies: &[Vec<u8>]) -> Sections {
        let bytes = replies.concat();
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        Sections::from([("znodes".to_owned(), hex)])
    }

    fn reply(error: i32, entries: &[(u32, &str, &str)]) -> Vec<u8> {
        let text = |it: &str| [&(it.len() as u32).to_be_bytes(), it.as_bytes()].concat();
        let mut body = [&[0; 12][..], &error.to_be_bytes()].concat();
        body.extend((entries.len() as u32).to_be_bytes());
        for (may, scheme, id) in entries {
            body.extend([may.to_be_bytes().to_vec(), text(scheme), text(id)].concat());
        }
        frame(&[&body, &[0; 68]])
    }

    #[test]
    fn who_writes_is_read_of_both_and_reading_is_everybodys() {
        let first = frame(&[&[0; 37]]);
        let shut = [(1, "world", "anyone"), (31, "digest", "mesos:x"), (31, "digest", "old:x")];
        let look = |path: Vec<u8>, replicas: Vec<u8>| {
            znodes().read(&said(&[first.clone(), path, replicas, frame(&[&[0; 16]])]))
        };
        assert_eq!(look(reply(0, &shut), reply(0, &shut)), Look::Facts(znodes().want()));
        let open = [(31, "world", "anyone")];
        let Look::Facts(facts) = look(reply(0, &shut), reply(0, &open)) else { panic!() };
        assert_eq!(facts["writers"], "everybody, mesos, old");
        let half = [(1, "world", "anyone"), (4, "digest", "mesos:x")];
        let Look::Facts(facts) = look(reply(0, &half), reply(0, &half)) else { panic!() };
        assert_eq!(facts["writers"], "digest mesos:x (4)");
        assert_eq!(look(reply(-101, &[]), reply(-101, &[])), Look::Facts(Facts::new()));
        assert!(matches!(look(reply(-4, &[]), reply(0, &shut)), Look::Failed(_)));
        assert_eq!(znodes().read(&said(&[])), Look::Later("ZooKeeper serves"));
        // Cut, or forged lengths: never more than was there.
        let huge = [0xff; 4].to_vec();
        assert_eq!(znodes().read(&said(&[first, huge])), Look::Later("ZooKeeper serves"));
    }
}
