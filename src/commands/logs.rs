//! `provision logs HOST`: the journal of our units, through the key that looks.

use std::time::Duration;

use crate::local::clock::run_id;
use crate::pipeline::arguments::Target;
use crate::pipeline::load;
use crate::pipeline::reach;
use crate::pipeline::recorder::{recorder, sink};
use crate::remote::Ask as _;
use crate::remote::fleet::look;
use crate::report::exit;
use crate::script::{Probe, Sections, quote};
use crate::tasks;
use crate::ui::line;
use crate::ui::out::Out;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host
    #[arg(add = crate::pipeline::complete::host())]
    host: String,
    #[command(flatten)]
    target: Target,
    /// Only this unit, which may be one that is not ours
    #[arg(long, value_name = "UNIT", add = crate::pipeline::complete::unit())]
    unit: Vec<String>,
    /// How many lines of the past
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: u32,
    /// Go on with what is written from now on
    #[arg(short = 'f', long)]
    follow: bool,
}

/// So many new lines are taken at once; what a flood writes beyond them is left out, and said so.
const FLOOD: u32 = 5000;
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(1);

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session =
        load::session(&args.target.source, Some(&args.target.reach), load::Artefacts::MayBeMissing)
            .await?;
    let (host, _) = session.host(&args.host)?;
    let run = run_id();
    let mut opening = reach::opening(&session.inventory, &args.target.reach, &run)?;
    opening.hosts.retain(|name, _| name == host);
    let units: Vec<&str> = match args.unit.as_slice() {
        [] => tasks::ALL.iter().filter_map(|task| task.unit(&session.inventory)).collect(),
        some => some.iter().map(String::as_str).collect(),
    };
    let first = probe(&units, &Since::Last(args.lines));
    let recorder = recorder(&run, &crate::pipeline::arguments::Output::default());
    let opened = look(&opening, &[(host.clone(), first)].into(), &sink(&recorder)).await;
    let mut answer = match opened.answers.get(host) {
        Some(Ok(sections)) => sections.clone(),
        // It has been said.
        _ => return Ok(exit::UNREACHABLE),
    };
    let mut cursor = None;
    let code = loop {
        match read(&answer) {
            Ok(page) => {
                if cursor.is_some() && page.lines.len() >= FLOOD as usize {
                    line(std::io::stderr().lock(), "older lines are left out: too many at once");
                }
                for entry in &page.lines {
                    line(Out, entry);
                }
                cursor = page.cursor.or(cursor);
            }
            Err(why) => {
                line(std::io::stderr().lock(), &format!("error: {host}: {why}"));
                break exit::FAILED;
            }
        }
        if !args.follow {
            break exit::OK;
        }
        tokio::time::sleep(POLL).await;
        let since = match &cursor {
            Some(cursor) => Since::After(cursor.clone()),
            None => Since::Last(FLOOD),
        };
        match opened.fleet.ask(host, &probe(&units, &since), LIMIT).await {
            Ok(sections) => answer = sections,
            Err(why) => {
                line(std::io::stderr().lock(), &format!("error: {host}: {why}"));
                break exit::UNREACHABLE;
            }
        }
    };
    opened.fleet.close().await;
    Ok(code)
}

/// From where the journal is read.
enum Since {
    Last(u32),
    After(String),
}

struct Page<'a> {
    lines: Vec<&'a str>,
    cursor: Option<String>,
}

/// What begins the last line. Source: journalctl(1), `--show-cursor`.
const CURSOR: &str = "-- cursor: ";
/// What stands in for a failure's status.
const ENDED: &str = "journalctl ended with status ";
/// So ends `--show-cursor` where there is no entry to show one of, without a word.
/// Source: measured, systemd 252.
const EMPTY: &str = "journalctl ended with status 1";

fn probe(units: &[&str], since: &Since) -> Probe {
    let mut command = "LC_ALL=C journalctl -q --no-pager -o short-iso --show-cursor".to_owned();
    for unit in units {
        command.push_str(&format!(" -u {}", quote(unit)));
    }
    let from = match since {
        Since::Last(lines) => format!(" -n {lines}"),
        Since::After(cursor) => format!(" -n {FLOOD} --after-cursor={}", quote(cursor)),
    };
    Probe::new("journal", format!("{command}{from} 2>&1 || echo \"{ENDED}$?\""))
}

fn read(sections: &Sections) -> Result<Page<'_>, String> {
    let text = sections.get("journal").map_or("", String::as_str);
    let mut lines: Vec<&str> = text.lines().collect();
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    if lines == [EMPTY] {
        return Ok(Page { lines: Vec::new(), cursor: None });
    }
    if lines.last().is_some_and(|last| last.starts_with(ENDED)) {
        return Err(lines.join("; "));
    }
    let cursor = lines.last().and_then(|last| last.strip_prefix(CURSOR)).map(str::to_owned);
    if cursor.is_some() {
        lines.pop();
    }
    Ok(Page { lines, cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Sections {
        [("journal".to_owned(), text.to_owned())].into()
    }

    #[test]
    fn the_cursor_is_no_line_of_the_journal() {
        let answer = sections("2026-01-01 a\n2026-01-01 b\n-- cursor: s=1;i=2\n\n");
        let page = read(&answer).unwrap();
        assert_eq!(page.lines, ["2026-01-01 a", "2026-01-01 b"]);
        assert_eq!(page.cursor.as_deref(), Some("s=1;i=2"));
        let nothing = sections("\n");
        let page = read(&nothing).unwrap();
        assert!(page.lines.is_empty() && page.cursor.is_none());
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_an_error() {
        let empty = sections("journalctl ended with status 1\n");
        assert!(read(&empty).unwrap().lines.is_empty());
        let answer = sections("No such unit\njournalctl ended with status 1\n");
        assert_eq!(read(&answer).err().unwrap(), "No such unit; journalctl ended with status 1");
    }

    #[test]
    fn words_of_the_user_are_quoted() {
        let script = probe(&["a; reboot"], &Since::After("s=1;i=2".into())).script("N");
        assert!(script.contains("-u 'a; reboot'"), "{script}");
        assert!(script.contains("--after-cursor='s=1;i=2'"), "{script}");
    }
}
