//! JUnit's XML is what Jenkins' schema allows, and what GitLab tells apart.

use std::collections::{BTreeMap, BTreeSet};

use provision::event::Event;
use provision::ground::{Place, Problem, Severity};
use provision::tasks::Task;
use provision::ui::junit::{Cases, of_problems};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::support::events::{all, host, stamped};

/// What an element may hold: attributes (those with a `!` must be there), children, and whether text.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], bool);

/// Source: jenkinsci/xunit-plugin, src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd at
/// 031e285ef3b60dee7aaf36e9096d7dcd95ffae83. Elements that we never write are left out.
const RULES: [Rule; 9] = [
    ("testsuites", &["name", "time", "tests", "failures", "errors"], &["testsuite"], false),
    (
        "testsuite",
        &[
            "name!",
            "tests!",
            "failures!",
            "errors!",
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        ],
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
        false,
    ),
    (
        "testcase",
        &["name!", "time", "classname", "group"],
        &["skipped", "error", "failure", "system-out", "system-err"],
        false,
    ),
    ("properties", &[], &["property"], false),
    ("property", &["name!", "value!"], &[], false),
    ("skipped", &["type", "message"], &[], true),
    ("error", &["type", "message"], &[], true),
    ("failure", &["type", "message"], &[], true),
    ("system-out", &[], &[], true),
];

/// The pattern of the schema's SUREFIRE_TIME, for a number as we write it: digits in threes at most between commas.
fn is_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    whole.bytes().all(|b| b.is_ascii_digit()) && fraction.bytes().all(|b| b.is_ascii_digit())
}

/// All that the schema has against a document, and what GitLab would pass over.
fn wrong(xml: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut stated: BTreeMap<String, usize> = BTreeMap::new();
    let mut cases = BTreeSet::new();
    let mut reader = Reader::from_str(xml);
    loop {
        let event = reader.read_event().unwrap_or_else(|why| panic!("{why}: {xml}"));
        let (tag, empty) = match event {
            Xml::Start(tag) => (tag, false),
            Xml::Empty(tag) => (tag, true),
            Xml::End(_) => {
                open.pop();
                continue;
            }
            Xml::Text(text) => {
                let text = String::from_utf8_lossy(&text);
                let inside = open.last().map(String::as_str).unwrap_or_default();
                let may = RULES.iter().any(|rule| rule.0 == inside && rule.3);
                if !may && !text.trim().is_empty() {
                    wrong.push(format!("{inside} holds text"));
                }
                continue;
            }
            Xml::Eof => break,
            _ => continue,
        };
        let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
        let Some((known, attributes, _, _)) = RULES.iter().find(|rule| rule.0 == name) else {
            wrong.push(format!("there is no element {name}"));
            continue;
        };
        let parent = open.last().map(String::as_str);
        let fits = RULES.iter().any(|rule| Some(rule.0) == parent && rule.2.contains(known));
        let top = parent.is_none() && *known == "testsuites";
        if !fits && !top {
            wrong.push(format!("{name} stands in {parent:?}"));
        }
        *counts.entry(*known).or_default() += 1;
        let written: BTreeMap<String, String> = tag
            .attributes()
            .map(|it| it.unwrap())
            .map(|it| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(it.key.as_ref()), text(&it.value))
            })
            .collect();
        for (attribute, value) in &written {
            if !attributes.iter().any(|it| it.trim_end_matches('!') == attribute) {
                wrong.push(format!("{name} has no attribute {attribute}"));
            }
            if attribute == "time" && !is_time(value) {
                wrong.push(format!("{name}: {value} is no time"));
            }
        }
        for needed in attributes.iter().filter_map(|it| it.strip_suffix('!')) {
            if !written.contains_key(needed) {
                wrong.push(format!("{name} lacks {needed}"));
            }
        }
        if name == "testsuites" {
            for what in ["tests", "failures", "errors"] {
                stated.insert(what.to_owned(), written[what].parse().unwrap());
            }
        }
        // GitLab knows a case by these two, and shows the first of those that share them.
        if name == "testcase" {
            let class = written.get("classname").cloned().unwrap_or_default();
            if class.is_empty() || !cases.insert((class, written["name"].clone())) {
                wrong.push(format!("GitLab passes over {written:?}"));
            }
        }
        if !empty {
            open.push(name);
        }
    }
    for (what, element) in [("tests", "testcase"), ("failures", "failure"), ("errors", "error")] {
        let count = counts.get(element).copied().unwrap_or(0);
        if stated.get(what) != Some(&count) {
            wrong.push(format!("{what} is not {count}"));
        }
    }
    wrong
}

fn of(events: impl IntoIterator<Item = Event>) -> String {
    let mut cases = Cases::default();
    events.into_iter().for_each(|event| cases.add(&stamped(event)));
    cases.xml().unwrap()
}

fn ended(exit: u8) -> Event {
    Event::RunEnded {
        changed: 0,
        failed: 0,
        skipped: 0,
        unreachable: 0,
        blocked: 0,
        exit,
        seconds: 1_234.5,
    }
}

fn pending(resource: &str) -> Event {
    let (host, task) = (host("a1"), Task::Base);
    Event::Pending { host, task, resource: resource.into(), why: "missing".into() }
}

/// The rules find what the library wrote before it was mended, so they can find more.
#[test]
fn the_rules_bite() {
    let suites = |inner: &str, skipped: &str| {
        format!(
            "<testsuites name=\"x\" tests=\"1\"{skipped} failures=\"0\" errors=\"0\"><testsuite name=\"s\" tests=\"1\" failures=\"0\" errors=\"0\">{inner}</testsuite></testsuites>"
        )
    };
    let case = "<testcase name=\"n\" classname=\"c\" time=\"0.1\"/>";
    assert_eq!(wrong(&suites(case, "")), Vec::<String>::new());
    for (inner, skipped) in [
        (case, " skipped=\"0\""),
        (&*format!("{case}{case}"), ""),
        ("<testcase name=\"n\"/>", ""),
        ("<testcase name=\"n\" classname=\"c\"><properties/></testcase>", ""),
        ("<testcase classname=\"c\" name=\"n\" time=\"1 s\"/>", ""),
        ("", ""),
        ("<testcase name=\"n\" classname=\"c\">text</testcase>", ""),
    ] {
        assert!(!wrong(&suites(inner, skipped)).is_empty(), "{inner}");
    }
}

#[test]
fn every_run_is_what_jenkins_and_gitlab_read() {
    let twice = || all("a < b & \"c\"\u{1b}]").into_iter().chain(all("again"));
    for events in [
        all("x"),
        twice().collect(),
        vec![ended(0)],
        vec![ended(75)],
        vec![pending("f"), pending("f"), ended(2)],
    ] {
        let xml = of(events);
        assert_eq!(wrong(&xml), Vec::<String>::new(), "{xml}");
    }
}

#[test]
fn what_a_check_finds_is_what_jenkins_and_gitlab_read() {
    let place = Place { file: "a&b.yaml".into(), line: 3, column: 5, length: 2 };
    let error = || Problem::error(Some(place.clone()), "bad-flag", "x < y").help("mend it");
    let warning = Problem::warning(None, "open-ports", "none");
    for problems in [vec![], vec![error(), error(), warning]] {
        for denied in [Severity::Error, Severity::Warning] {
            let xml = of_problems(&problems, "a&b.yaml", denied).unwrap();
            assert_eq!(wrong(&xml), Vec::<String>::new(), "{xml}");
        }
    }
}

/// What is pending fails where the exit code says so, and is named where it does not.
#[test]
fn pending_changes_fail_where_they_have_an_exit_code() {
    let fine = of([pending("file /x"), ended(0)]);
    assert!(
        fine.contains("failures=\"0\"") && fine.contains("<skipped message=\"pending: missing\""),
        "{fine}"
    );
    let drift = of([pending("file /x"), ended(2)]);
    assert!(drift.contains("failures=\"1\""), "{drift}");
    assert!(drift.contains("type=\"pending\">pending: missing</failure>"), "{drift}");
}

/// Nobody takes a run for a good one that did not do what it should.
#[test]
fn a_run_that_was_refused_has_a_case_that_fails() {
    let locked = Problem::error(None, "locked", "m1 is locked by run r");
    let xml = of([Event::Problem { problem: locked, host: Some(host("m1")) }, ended(75)]);
    assert!(xml.contains("failures=\"1\"") && xml.contains("m1 is locked by run r"), "{xml}");
    let xml = of([ended(1)]);
    assert!(xml.contains("the run ended with exit code 1</failure>"), "{xml}");
    let xml = of([ended(0)]);
    assert!(xml.contains("tests=\"1\"") && xml.contains("failures=\"0\""), "{xml}");
}
