//! What is asked of masters about agents, and kept of a registry that is to begin anew.

use super::super::support::room::{Room, in_each_shell, said};
use provision::ground::HostName;
use provision::resource::Resource;
use provision::resource::drain::{By, Drain};
use provision::resource::offers::{self, Offers};
use provision::resource::reboot::Reboot;
use provision::resource::registry::{Registry, Stale, Turn};
use provision::script::Step;
use std::fs;

/// The steps of a call about an agent, as the engine takes them.
fn calls(room: &Room, drain: &Drain, steps: Vec<Step>, noted: bool) -> std::process::Output {
    let mut last = None;
    for step in steps {
        let output = match step {
            Step::Lead(fix) => room.lead(&fix),
            Step::Run(fix) => {
                let script = fix.script(|_| String::new());
                room.run(&script.replace("/var/lib/mesos", &room.text("var/lib/mesos")))
            }
            other => panic!("{other:?}"),
        };
        if !output.status.success() && noted {
            assert!(room.run(&drain.refused().script(|_| String::new())).status.success());
        }
        last = Some(output);
    }
    last.unwrap()
}

#[test]
fn a_registry_is_saved_its_log_set_aside_and_all_restored() {
    in_each_shell(|room| {
        let masters = vec!["http://follower:5050".to_owned(), "http://leader:5050".to_owned()];
        let of = |turn| Resource::Registry(Registry { masters: masters.clone(), turn });
        let log = room.path("mesos/replicated_log");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("CURRENT"), "1").unwrap();
        let aside = of(Turn::Aside(room.text("mesos")));
        // Without what it holds nothing happens to the log.
        assert!(!room.fix(&aside, &[]).status.success() && log.exists());
        let before = r#"[{"role":"etl","weight":2.0}]"#;
        fs::create_dir_all(room.path("state")).unwrap();
        fs::write(room.path("state/weights"), before).unwrap();
        assert!(room.fix(&of(Turn::Saved), &[]).status.success());
        assert_eq!(room.gaps(&of(Turn::Restored)), []);
        let done = room.fix(&aside, &[]);
        assert!(
            done.status.success() && said(&done).contains("the old log is kept in"),
            "{}",
            said(&done)
        );
        let kept: Vec<_> = fs::read_dir(room.path("mesos")).unwrap().flatten().collect();
        assert!(kept.len() == 1 && kept[0].path().join("CURRENT").exists() && !log.exists());
        fs::write(room.path("state/weights"), "[]").unwrap();
        let restored = of(Turn::Restored);
        room.fails_with("PUT", &restored);
        room.settles(&restored);
        assert_eq!(fs::read_to_string(room.path("state/weights")).unwrap(), before);
    });
}

#[test]
fn what_a_member_holds_of_earlier_is_kept_under_another_name() {
    in_each_shell(|room| {
        let paths = ["zk/version-2", "a log/version-2", "not there/version-2"];
        for path in &paths[..2] {
            fs::create_dir_all(room.path(path)).unwrap();
            fs::write(room.path(path).join("log.1"), *path).unwrap();
        }
        let paths: Vec<String> = paths.iter().map(|path| room.text(path)).collect();
        let turn = Turn::Stale(Stale { unit: "zookeeper", paths: paths.clone() });
        let stale = Resource::Registry(Registry { masters: Vec::new(), turn });
        let done = room.fix(&stale, &[]);
        let words = "is kept, under names that end with .of-2";
        assert!(done.status.success() && said(&done).contains(words), "{}", said(&done));
        for path in ["zk", "a log"] {
            let all: Vec<_> = fs::read_dir(room.path(path)).unwrap().flatten().collect();
            let name = all[0].file_name().into_string().unwrap();
            assert!(all.len() == 1 && name.starts_with("version-2.of-2"), "{all:?}");
            let held = fs::read_to_string(all[0].path().join("log.1")).unwrap();
            assert_eq!(held, format!("{path}/version-2"));
        }
        assert!(!room.path("not there").exists());
        // With nothing left to move it is done once more.
        assert!(room.fix(&stale, &[]).status.success());
    });
}

#[test]
fn a_drain_is_noted_before_it_begins_and_ended_only_once_it_is_over() {
    in_each_shell(|room| {
        let drain =
            Drain { address: "10.0.1.1".to_owned(), agent: provision::inventory::AgentUnit::Slave };
        let begin = |by, id: &str| calls(room, &drain, drain.begin(id, by), by == By::Us);
        let resource = Resource::Drain(drain.clone());
        // Refused, it is no drain of ours; nor is it where an operator came first.
        assert!(said(&begin(By::Us, "id-S2")).contains("Unknown agent"));
        assert!(begin(By::Operator, "id-S1").status.success());
        assert_eq!(room.gaps(&resource), []);
        assert!(begin(By::Us, "id-S1").status.success());
        let note = fs::read_to_string(room.path("var/lib/provision/drained")).unwrap();
        assert_eq!(note, "id-S1\n");
        assert_eq!(fs::read_to_string(room.path("state/drain")).unwrap(), "DRAINING\n");
        // What a host says of another's agent moves nothing.
        let other = Resource::Drain(Drain {
            address: "10.0.1.2".to_owned(),
            agent: provision::inventory::AgentUnit::Slave,
        });
        let refused = room.fix(&other, &room.gaps(&other));
        assert!(said(&refused).contains("another host"), "{}", said(&refused));
        assert_eq!(fs::read_to_string(room.path("state/drain")).unwrap(), "DRAINED\n");
        room.settles(&resource);
        assert!(!room.path("state/drain").exists(), "{:?}: still drained", room.shell);
    });
}

#[test]
fn an_agent_is_drained_by_hand_until_it_is_empty_and_bears_no_note() {
    in_each_shell(|room| {
        let drain =
            Drain { address: "10.0.1.1".to_owned(), agent: provision::inventory::AgentUnit::Slave };
        let offers = |state| {
            let agent = "id-S1".to_owned();
            Resource::Offers(Offers { agent, drain: drain.clone(), state })
        };
        let drained = || fs::read_to_string(room.path("state/drain")).unwrap_or_default();
        // A run of ours had begun.
        let begun = calls(room, &drain, drain.begin("id-S1", By::Us), true);
        assert!(begun.status.success());
        let output = room.fix(&offers(offers::State::Drained), &[]);
        assert!(output.status.success(), "{:?}: {output:?}", room.shell);
        assert_eq!(drained(), "DRAINED\n");
        assert_eq!(room.gaps(&Resource::Drain(drain.clone())), []);
        assert!(room.fix(&offers(offers::State::Made), &[]).status.success());
        assert_eq!(drained(), "");
    });
}

#[test]
fn a_reboot_is_ordered_and_not_waited_for() {
    in_each_shell(|room| {
        let reboot = Resource::Reboot(Reboot { host: HostName::new("h") });
        assert!(room.fix(&reboot, &[]).status.success());
        assert!(!room.calls().contains("systemctl reboot"), "{:?}: at once", room.shell);
        while !room.calls().contains("systemctl reboot") {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
}

#[test]
fn an_agent_is_held_back_with_a_drains_note_and_one_that_is_gone_leaves_none() {
    in_each_shell(|room| {
        let drain =
            Drain { address: "10.0.1.1".to_owned(), agent: provision::inventory::AgentUnit::Slave };
        let hold = |id: &str| calls(room, &drain, drain.hold(id), true);
        let gone = |id: &str| calls(room, &drain, drain.gone(id), false);
        let resource = Resource::Drain(drain.clone());
        assert!(said(&hold("id-S2")).contains("Unknown agent"));
        assert_eq!(room.gaps(&resource), [], "what was refused is noted");
        assert!(hold("id-S1").status.success());
        let state = || fs::read_to_string(room.path("state/drain")).unwrap();
        assert_eq!(state(), "DEACTIVATED\n");
        assert_eq!(room.gaps(&resource).len(), 1);
        room.settles(&resource);
        assert!(!room.path("state/drain").exists(), "{:?}: still held", room.shell);
        // Gone: neither the note nor its id is left for an agent that would be refused with it.
        assert!(hold("id-S1").status.success());
        fs::create_dir_all(room.path("var/lib/mesos/meta/slaves")).unwrap();
        fs::write(room.path("var/lib/mesos/meta/slaves/latest"), "").unwrap();
        assert!(said(&gone("id-S2")).contains("Unknown agent"));
        assert!(gone("id-S1").status.success());
        assert_eq!(state(), "GONE\n");
        assert!(!room.path("var/lib/mesos/meta/slaves/latest").exists());
        assert_eq!(room.gaps(&resource), []);
    });
}
