//! Questions that a host asks its own components for us over the network, put with what it has: `curl`,
//! or `bash` alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ground::Endpoint;
use crate::mesos::asking::{self, CURL};
use crate::script::{END_OF_PART, Probe, Sections, foreign, foreign_texts, quote, quote_all};

/// One question that a host asks for us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// HTTP GET.
    Http(String),
    /// HTTP GET of a master of ours, as the operator: never of anybody else.
    Master(String),
    /// ZooKeeper's `srvr`, `mntr` of a leader, and `conf`: host and client port.
    FourLetter(String, u16),
    /// Spark's external shuffle service, in its own protocol: host and port. The body is the first bytes of the answer
    /// in hexadecimal.
    Shuffle(String, u16),
}

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status; 0 when nobody answered. For ZooKeeper 200 when it said anything.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Answers by question; a question without an answer was not put (no `curl` there yet).
pub type Replies = BTreeMap<Question, Reply>;

/// The probe that puts all questions: one `curl` for every URL, one `bash` for every ZooKeeper. Where curl
/// is missing bash asks for URLs too: a leading master that could not be asked would be taken for dead, and
/// its quorum for lost.
///
/// Whoever answers must not be able to answer for the next. Bodies of URLs are the host's own components',
/// many and large: each is ended by a mark that only this question knows, and that stands in no command line
/// of the host. An ensemble may be anybody's: what it says is made [`foreign`].
pub fn probe(questions: &[Question]) -> Probe {
    probe_as("", questions, str::to_owned)
}

/// The same in sections whose names begin with something else, each script made another first.
pub(super) fn probe_as(
    prefix: &str,
    questions: &[Question],
    made: impl Fn(&str) -> String,
) -> Probe {
    let mut probe = Probe::default();
    let urls = |of: fn(&Question) -> Option<&str>| questions.iter().filter_map(of).collect();
    let plain: Vec<&str> = urls(|it| if let Question::Http(url) = it { Some(url) } else { None });
    if !plain.is_empty() {
        let count = plain.len();
        probe.parts(&format!("{prefix}{HTTP}"), count, made(&http(&plain, "", "")));
    }
    let masters: Vec<&str> =
        urls(|it| if let Question::Master(url) = it { Some(url) } else { None });
    if !masters.is_empty() {
        let count = masters.len();
        let first = asking::asking(masters.iter().copied());
        let script = format!("{first}\n{}", http(&masters, "-K \"$k\" ", CURL));
        probe.parts(&format!("{prefix}{MASTERS}"), count, made(&script));
    }
    let mut script = String::new();
    for question in questions {
        if let Question::FourLetter(host, port) = question {
            // A leader is asked for more, and all for their list, in the same process. /dev/tcp is bash's.
            script.push_str(&foreign(&format!(
                "timeout 4 bash -c {} {} {port} 2>/dev/null",
                quote(
                    "exec 3<>\"/dev/tcp/$0/$1\" || exit; printf srvr >&3; lead=; \
                     while IFS= read -r l <&3 || [ -n \"$l\" ]; do printf '%s\\n' \"$l\"; \
                     [ \"$l\" != 'Mode: leader' ] || lead=1; done; exec 3>&-; \
                     [ -z \"$lead\" ] || { exec 3<>\"/dev/tcp/$0/$1\"; printf mntr >&3; cat <&3; exec 3>&-; }; \
                     exec 3<>\"/dev/tcp/$0/$1\" && printf conf >&3 && while IFS= read -r l <&3 || [ -n \"$l\" ]; do printf '%s\\n' \"$l\"; done"
                ),
                quote(host)
            )));
        }
    }
    if !script.is_empty() {
        probe.section(&format!("{prefix}{ZOOKEEPER}"), made(&script));
    }
    let mut script = String::new();
    for question in questions {
        if let Question::Shuffle(host, port) = question {
            let _ = writeln!(script, "{} | tr -d ' \\n'; echo", asks_shuffle(host, *port));
        }
    }
    if !script.is_empty() {
        probe.section(&format!("{prefix}{SHUFFLE}"), made(&script));
    }
    probe
}

/// Asks a shuffle service for the directories of no executor of no application: of all that it can be asked, what it
/// neither keeps nor logs. The answer is read whole, or the service would log a connection that was cut; what it says
/// is shown as hexadecimal numbers, whoever says it.
///
/// Source: apache/spark 3.5.1, `MessageEncoder` (a length of 30, RpcRequest is 3, its number, the length of its body),
/// `BlockTransferMessage.Type` (GET_LOCAL_DIRS_FOR_EXECUTORS is 10), `GetLocalDirsForExecutors`; since 3.0.
fn asks_shuffle(host: &str, port: u16) -> String {
    let ask = quote(
        "exec 3<>\"/dev/tcp/$0/$1\" || exit; \
         printf '\\0\\0\\0\\0\\0\\0\\0\\036\\003\\0\\0\\0\\0\\0\\0\\0\\001\\0\\0\\0\\011\\012\\0\\0\\0\\0\\0\\0\\0\\0' >&3; head -c 34 <&3",
    );
    format!("timeout 4 bash -c {ask} {} {port} 2>/dev/null | od -An -v -tx1", quote(host))
}

/// A command that succeeds once a shuffle service answers there.
pub fn answers_shuffle(host: &str, port: u16) -> String {
    format!("{} | grep -q .", asks_shuffle(host, port))
}

const HTTP: &str = "http";
const MASTERS: &str = "masters";
const ZOOKEEPER: &str = "zookeeper";
const SHUFFLE: &str = "shuffle";
/// Most of all that a host's own components say; the list of a thousand agents takes 3 MB.
const MOST_BYTES: usize = 12 << 20;

/// One `curl` for all URLs; `credential` is a file of its configuration, which bash reads by itself where curl
/// is missing.
fn http(urls: &[&str], options: &str, credential: &str) -> String {
    let by_bash: String = urls.iter().map(|url| by_bash(url, credential)).collect();
    format!(
        "if command -v curl >/dev/null 2>&1; then\n\
         curl {options}-s -g -m 8 --connect-timeout 2 --noproxy '*' -w @- {} 2>/dev/null <<E | head -c {MOST_BYTES}\n\
         \\n%{{http_code}}\\n\\n$p_mark +\\n\n\
         E\n\
         else\n{by_bash}fi",
        asking::words(urls.iter().copied())
    )
}

/// Asks for one URL and prints what [`probe`]'s curl prints. Over TLS bash cannot ask.
fn by_bash(url: &str, credential: &str) -> String {
    let parts = url.strip_prefix("http://").and_then(|url| url.split_once('/'));
    let parts = parts.and_then(|(at, path)| Some((Endpoint::parse(at)?, path)));
    let Some((Endpoint { host, port }, path)) = parts else {
        return format!("printf '\\n000\\n'\n{END_OF_PART}\n");
    };
    let words = quote_all([&*host, &port.to_string(), &format!("/{path}"), credential]);
    // HTTP/1.0, so that the end of the answer is the end of the connection.
    let get = quote(
        "a=; [ ! -r \"$3\" ] || while read -r n _ u; do [ \"$n\" != user ] || { u=${u#?}; a=$(printf %s \"${u%?}\" | base64 -w 0); }; done < \"$3\"; \
         exec 3<>\"/dev/tcp/$0/$1\" || exit; { printf 'GET %s HTTP/1.0\\r\\n' \"$2\"; [ -z \"$a\" ] || printf 'Authorization: Basic %s\\r\\n' \"$a\"; printf '\\r\\n'; } >&3; \
         IFS=' ' read -r _ c _ <&3 || exit; \
         while IFS= read -r l <&3 && [ -n \"${l%?}\" ]; do :; done; \
         cat <&3; printf '\\n%s\\n' \"$c\"",
    );
    let ask = format!("timeout 8 bash -c {get} {words} 2>/dev/null || printf '\\n000\\n'");
    format!("{ask}\n{END_OF_PART}\n")
}

/// What was answered to [`probe`].
pub fn replies(questions: &[Question], sections: &Sections) -> Replies {
    replies_as("", questions, sections)
}

/// What was answered to [`probe_as`].
pub(super) fn replies_as(prefix: &str, questions: &[Question], sections: &Sections) -> Replies {
    let (mut urls, mut masters) = (0.., 0..);
    let said = sections.get(&format!("{prefix}{ZOOKEEPER}"));
    let mut ensemble = foreign_texts(said.map_or("", String::as_str));
    let said = sections.get(&format!("{prefix}{SHUFFLE}"));
    let mut services = said.map_or("", String::as_str).lines();
    let part = |name: &str, number: usize| {
        let part = sections.get(&format!("{prefix}{name}.{number}"))?;
        // The status is the last line, whatever lines the body has.
        let (body, status) = part.trim_end_matches('\n').rsplit_once('\n')?;
        Some(Reply { status: status.parse().unwrap_or(0), body: body.to_owned() })
    };
    let mut reply = |question: &Question| match question {
        Question::Http(_) => part(HTTP, urls.next()?),
        Question::Master(_) => part(MASTERS, masters.next()?),
        Question::FourLetter(..) => {
            let body = ensemble.next()?;
            let status = if body.trim().is_empty() { 0 } else { 200 };
            Some(Reply { status, body })
        }
        Question::Shuffle(..) => {
            let body = services.next()?.to_owned();
            let status = if body.is_empty() { 0 } else { 200 };
            Some(Reply { status, body })
        }
    };
    questions.iter().filter_map(|question| Some((question.clone(), reply(question)?))).collect()
}
