//! Every kind's probe and fix in the shells that hosts have, in a room of its own: what is wanted is so
//! after one fix, and stays so after a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use provision::ground::digest::sha256;
use provision::ground::{Digest, HostName, SecretRef};
use provision::inventory::{Fetch, Proxy, Source};
use provision::resource::directory::Directory;
use provision::resource::drain::{By, Drain};
use provision::resource::file::{Content, File};
use provision::resource::image::{Build, Image, Origin};
use provision::resource::leftovers::Leftovers;
use provision::resource::link::Link;
use provision::resource::offers::{self, Offers};
use provision::resource::package::{LOSSES, Packages};
use provision::resource::proof::{NOT_RUN, Proof};
use provision::resource::reboot::Reboot;
use provision::resource::registry::{Registry, Turn};
use provision::resource::service::{Service, State};
use provision::resource::unpacked::Unpacked;
use provision::resource::user::User;
use provision::resource::weights::Weights;
use provision::resource::{Kind as _, Look, Resource, fetched, probe, read};
use provision::script::{Fix, Step, slot};

use super::support::room::{Room, SECRET, in_each_shell, me, said};
use super::support::world;

/// Words that a careless script would trip over.
const HOSTILE: [&str; 9] =
    ["it's", "$HOME", "`id`", "$(id)", "%s %d", "a b", "-rf", "naïve ★", "*"];

/// A file of whoever runs the tests.
fn file(path: String, text: &str) -> File {
    let (owner, group) = me();
    File { owner, group, ..File::new(path, text) }
}

fn directory(path: String, only: &[&str]) -> Directory {
    let (owner, group) = me();
    let only = Some(only.iter().map(|name| (*name).to_owned()).collect());
    Directory { owner, group, only, ..Directory::new(path) }
}

fn local(path: &Path) -> Fetch {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    let hex = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    Fetch { source: Source::Path(path.to_owned()), digest: Digest::Sha256(hex) }
}

fn tar(folder: &Path, to: &Path, arguments: &[&str]) {
    let output =
        Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(to).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// An archive that holds `spark-1/bin/spark-submit`, and whatever `add` puts beside it.
fn archive(room: &Room, add: impl Fn(&Path)) -> Fetch {
    let tree = room.path("tree");
    fs::create_dir_all(tree.join("spark-1/bin")).unwrap();
    fs::write(tree.join("spark-1/bin/spark-submit"), "#!/bin/sh\n").unwrap();
    add(&tree.join("spark-1"));
    let to = room.path("spark.tar");
    tar(&tree, &to, &["spark-1"]);
    local(&to)
}

fn unpacked(room: &Room, archive: Fetch) -> Unpacked {
    Unpacked::new(room.text("opt/spark-1"), archive, Proxy::default(), "bin/spark-submit")
}

fn image(name: &str, origin: Origin) -> Resource {
    Resource::Image(Image { name: name.to_owned(), origin, proxy: Proxy::default() })
}

/// The engine runs: its pid file names a process.
fn engine_runs(room: &Room) {
    fs::write(room.path("docker.pid"), format!("{}\n", std::process::id())).unwrap();
}

#[test]
fn files_of_any_content_at_any_path() {
    in_each_shell(|room| {
        for word in HOSTILE {
            let path = room.text(&format!("etc/{word}"));
            let text = format!("{word}\n\n'{word}'\n\"{word}\"\\\n$x\t%s\n");
            room.settles(&Resource::File(file(path.clone(), &text)));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // No line end at the end, and nothing at all, are contents too.
        room.settles(&Resource::File(file(room.text("etc/open"), "a\nb")));
        room.settles(&Resource::File(file(room.text("etc/empty"), "")));
    });
}

#[test]
fn a_changed_file_is_kept_in_the_backup_with_its_mode() {
    in_each_shell(|room| {
        let path = room.path("etc/conf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let wanted = Resource::File(file(path.to_str().unwrap().to_owned(), "new"));
        assert!(room.fix(&wanted, &room.gaps(&wanted)).status.success());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let kept = room.path("backup").join(path.strip_prefix("/").unwrap());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "old");
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    });
}

#[test]
fn what_follows_a_file_must_work_too() {
    in_each_shell(|room| {
        let mut unit = file(room.text("etc/x.service"), "[Unit]\n");
        unit.after = Some("systemctl daemon-reload");
        room.fails_with("daemon-reload", &Resource::File(unit.clone()));
        assert!(room.calls().contains("daemon-reload"));
    });
}

#[test]
fn links_and_directories_in_a_files_place_are_refused() {
    in_each_shell(|room| {
        fs::create_dir_all(room.path("etc/folder")).unwrap();
        fs::write(room.path("precious"), "precious").unwrap();
        symlink(room.path("precious"), room.path("etc/link")).unwrap();
        symlink(room.path("nowhere"), room.path("etc/dangling")).unwrap();
        for name in ["etc/link", "etc/dangling", "etc/folder"] {
            let wanted = Resource::File(file(room.text(name), "x"));
            let output = room.fix(&wanted, &room.gaps(&wanted));
            assert!(!output.status.success(), "{:?}: {name}", room.shell);
            assert!(said(&output).contains(name), "{}", said(&output));
        }
        assert_eq!(fs::read_to_string(room.path("precious")).unwrap(), "precious");
        assert!(fs::read_link(room.path("etc/link")).is_ok() && !room.path("nowhere").exists());
    });
}

#[test]
fn a_secret_is_written_closed_and_not_kept() {
    in_each_shell(|room| {
        let path = room.path("secrets/agent.json");
        let mut wanted = file(path.to_str().unwrap().to_owned(), "");
        wanted.mode = "600";
        wanted.content = Content::Secret {
            template: format!("{{\"it's\":{}}}", slot(0)),
            secrets: vec![SecretRef::Env("X".to_owned())],
            label: "agent".to_owned(),
        };
        room.settles(&Resource::File(wanted.clone()));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{{\"it's\":{SECRET}}}"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        wanted.content = Content::Secret {
            template: slot(0),
            secrets: vec![SecretRef::Env("X".to_owned())],
            label: "spark".to_owned(),
        };
        assert!(room.fix(&Resource::File(wanted), &[]).status.success());
        assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
        assert!(!room.path("backup").exists());
        assert!(!room.calls().contains("hunter2"), "{}", room.calls());
    });
}

#[test]
fn a_file_says_whether_it_holds_the_secret_and_nothing_of_it() {
    in_each_shell(|room| {
        let secret = File {
            content: Content::Secret {
                template: format!("{{\"secret\": \"{}\"}}", slot(0)),
                secrets: vec![SecretRef::Env("TOKEN".to_owned())],
                label: "agent".to_owned(),
            },
            mode: "600",
            ..file(room.text("secret.json"), "")
        };
        room.settles(&Resource::File(secret.clone()));
        let asked = |value: &str| {
            let output = room.run(&secret.holds().unwrap().script(|_| value.to_owned()));
            assert!(output.status.success(), "{:?}: {}", room.shell, said(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(asked(SECRET), "");
        assert_eq!(asked("another"), format!("{}\n", secret.path));
        assert!(file(room.text("plain"), "text").holds().is_none());
    });
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    in_each_shell(|room| {
        let path = room.path("etc/conf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "old").unwrap();
        let big = "x".repeat(200_000);
        let wanted = file(path.to_str().unwrap().to_owned(), &big);
        for step in wanted.fix(&[]) {
            let Step::Run(fix) = step else { panic!("a file is not pushed") };
            // The limit on a file's size stands for the disk: the write ends half way.
            let script = format!("trap '' XFSZ\nulimit -f 8\n{}", fix.script(|_| String::new()));
            let file = room.path("big");
            fs::write(&file, script).unwrap();
            let output =
                Command::new(room.shell[0]).args(&room.shell[1..]).arg(file).output().unwrap();
            assert!(!output.status.success(), "{:?}: {}", room.shell, said(&output));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["conf"], "{:?}: a temporary file was left", room.shell);
    });
}

/// A disk may lie about what it took: what was written is read back before it takes the old file's place.
#[test]
fn a_file_with_another_digest_than_expected_is_not_put() {
    in_each_shell(|room| {
        let (owner, group) = me();
        fs::write(room.path("conf"), "old").unwrap();
        let path = room.text("conf");
        let body = format!("put {path} {owner} {group} 644 {} new", sha256("something else"));
        assert!(!room.run(&Fix::new(body).script(|_| String::new())).status.success());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    });
}

#[test]
fn strays_of_any_name_are_moved_into_the_backup() {
    in_each_shell(|room| {
        let path = room.path("etc/mesos-slave");
        fs::create_dir_all(path.join("attributes.d")).unwrap();
        fs::write(path.join("attributes.d/x"), "x").unwrap();
        fs::write(path.join("ip"), "10.0.0.1\n").unwrap();
        for word in HOSTILE {
            fs::write(path.join(word), word).unwrap();
        }
        symlink(room.path("bin"), path.join("link")).unwrap();
        room.settles(&Resource::Directory(directory(path.to_str().unwrap().to_owned(), &["ip"])));
        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["ip"]);
        let kept = room.path("backup").join(path.strip_prefix("/").unwrap());
        for word in HOSTILE {
            assert_eq!(fs::read_to_string(kept.join(word)).unwrap(), word);
        }
        assert_eq!(fs::read_to_string(kept.join("attributes.d/x")).unwrap(), "x");
        // What a link points to is nobody's business.
        assert!(room.path("bin/fake").exists() && fs::read_link(kept.join("link")).is_ok());
    });
}

#[test]
fn old_secrets_of_any_name_are_deleted_and_nothing_beside_them() {
    in_each_shell(|room| {
        let path = room.path("etc/mesos-secrets");
        let directory = path.to_str().unwrap().to_owned();
        let used = ["master-a,b.json".to_owned()].into();
        let old = Resource::from(Leftovers { directory, prefix: "master-", used });
        fs::create_dir_all(path.join("master-dir")).unwrap();
        for name in ["master-a,b.json", "agent-a.json"] {
            fs::write(path.join(name), "stays").unwrap();
        }
        for word in HOSTILE {
            fs::write(path.join(format!("master-{word}")), "goes").unwrap();
        }
        symlink(room.path("bin/fake"), path.join("master-link")).unwrap();
        room.settles(&old);
        let left = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name());
        let left: BTreeSet<_> = left.map(|name| name.into_string().unwrap()).collect();
        let stays = ["agent-a.json", "master-a,b.json", "master-dir"].map(str::to_owned);
        assert_eq!(left, stays.into());
        assert!(room.path("bin/fake").exists() && !room.path("backup/etc").exists());
    });
}

#[test]
fn a_stray_that_cannot_be_kept_is_not_removed() {
    in_each_shell(|room| {
        let path = room.path("etc/mesos-slave");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("quorum.bak"), "2").unwrap();
        fs::write(room.path("backup"), "a file where the backup should be").unwrap();
        let wanted = Resource::Directory(directory(path.to_str().unwrap().to_owned(), &[]));
        assert!(!room.fix(&wanted, &room.gaps(&wanted)).status.success());
        assert!(path.join("quorum.bak").exists());
    });
}

#[test]
fn a_link_in_a_directorys_place_is_refused() {
    in_each_shell(|room| {
        fs::create_dir_all(room.path("elsewhere")).unwrap();
        symlink(room.path("elsewhere"), room.path("owned")).unwrap();
        let wanted = Resource::Directory(directory(room.text("owned"), &[]));
        assert!(!room.fix(&wanted, &room.gaps(&wanted)).status.success());
    });
}

#[test]
fn links_are_switched() {
    in_each_shell(|room| {
        fs::create_dir_all(room.path("opt/spark-1/conf")).unwrap();
        fs::create_dir_all(room.path("opt/spark-2")).unwrap();
        for version in ["opt/spark-1", "opt/spark-2", "opt/not $there"] {
            let link = Link { path: room.text("opt/spark"), target: room.text(version) };
            room.settles(&Resource::Link(link));
        }
        let mut names: Vec<_> =
            fs::read_dir(room.path("opt")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["spark", "spark-1", "spark-2"]);
        let taken =
            Resource::Link(Link { path: room.text("opt/spark-1"), target: "/x".to_owned() });
        assert!(!room.fix(&taken, &room.gaps(&taken)).status.success());
    });
}

#[test]
fn archives_appear_whole() {
    in_each_shell(|room| {
        let good = archive(room, |tree| {
            symlink("bin/spark-submit", tree.join("inside")).unwrap();
            fs::write(tree.join("it's $HOME"), "x").unwrap();
        });
        room.settles(&Resource::Unpacked(unpacked(room, good)));
        assert!(room.path("opt/spark-1/it's $HOME").exists());
        assert!(fs::read_link(room.path("opt/spark-1/inside")).is_ok());
        let left: Vec<_> =
            fs::read_dir(room.path("opt")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["spark-1"]);
    });
}

type Make = fn(&Room) -> Fetch;

#[test]
fn archives_that_lead_out_are_refused() {
    let evil: [(&str, Make); 6] = [
        ("a link out", |room| {
            archive(room, |tree| symlink("/etc/passwd", tree.join("out")).unwrap())
        }),
        ("a link up", |room| {
            archive(room, |tree| symlink("../../../x", tree.join("out")).unwrap())
        }),
        ("an absolute name", |room| {
            let _ = archive(room, |_| ());
            let absolute = room.text("tree/spark-1");
            tar(&room.path("tree"), &room.path("evil.tar"), &["-P", "spark-1", &absolute]);
            local(&room.path("evil.tar"))
        }),
        ("a name that goes up", |room| {
            let _ = archive(room, |_| ());
            fs::write(room.path("outside"), "x").unwrap();
            tar(&room.path("tree"), &room.path("evil.tar"), &["-P", "spark-1", "../outside"]);
            local(&room.path("evil.tar"))
        }),
        ("a damaged archive", |room| {
            let whole = archive(room, |_| ());
            let Source::Path(path) = whole.source else { panic!("a path") };
            let bytes = fs::read(path).unwrap();
            fs::write(room.path("evil.tar"), &bytes[..700]).unwrap();
            local(&room.path("evil.tar"))
        }),
        ("a page", |room| {
            fs::write(room.path("evil.tar"), "<!DOCTYPE html><p>log in").unwrap();
            local(&room.path("evil.tar"))
        }),
    ];
    in_each_shell(|outer| {
        for (what, make) in evil {
            let room = Room::new(outer.shell);
            let wanted = Resource::Unpacked(unpacked(&room, make(&room)));
            let output = room.fix(&wanted, &room.gaps(&wanted));
            assert!(!output.status.success(), "{:?}: {what}", room.shell);
            assert!(!room.path("opt/spark-1").exists(), "{:?}: {what}", room.shell);
            let left = fs::read_dir(room.path("opt")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{:?}: {what} left something", room.shell);
        }
    });
}

#[test]
fn downloads_are_believed_by_digest_only() {
    in_each_shell(|room| {
        fs::write(room.path("served"), "the right bytes").unwrap();
        let digest = Digest::Sha256(sha256("the right bytes"));
        let url = "http://files/it's $HOME.tgz".to_owned();
        let fetch = Fetch { source: Source::Url(url), digest };
        let run = |room: &Room| {
            let steps = fetched::steps(&fetch, &Proxy::default());
            let [Step::Run(fix)] = &steps[..] else { panic!("one script") };
            room.run(&fix.script(|_| String::new()))
        };
        fs::write(room.path("served"), "<html>log in").unwrap();
        let output = run(room);
        assert!(
            !output.status.success() && said(&output).contains("HTML page"),
            "{}",
            said(&output)
        );
        assert!(said(&output).contains("checksum mismatch"), "{}", said(&output));
        room.fail("curl");
        fs::write(room.path("fail"), "-sSL").unwrap();
        assert!(!run(room).status.success());
        fs::remove_file(room.path("fail")).unwrap();
        assert_eq!(fs::read_dir(room.path("var/lib/provision/cache")).unwrap().count(), 0);
        fs::write(room.path("served"), "the right bytes").unwrap();
        for _ in 0..2 {
            let output = run(room);
            assert!(output.status.success(), "{}", said(&output));
        }
        let there = fetched::path(&fetch).replace("/var/lib", &room.text("var/lib"));
        assert_eq!(fs::read_to_string(there).unwrap(), "the right bytes");
    });
}

#[test]
fn packages_accounts_and_weights() {
    in_each_shell(|room| {
        let packages = Resource::Packages(Packages {
            quiet: vec!["mesos-slave".to_owned()],
            ..Packages::named("mesos", ["mesos", "curl"])
        });
        room.fails_with("install", &packages);
        assert!(room.calls().contains("unmask --runtime -q mesos-slave"), "{}", room.calls());
        room.settles(&packages);
        let user = Resource::User(User { name: "spark".to_owned() });
        room.fails_with("useradd", &user);
        room.settles(&user);
        let weights = Resource::Weights(Weights {
            masters: vec!["http://follower:5050".to_owned(), "http://leader:5050".to_owned()],
            roles: BTreeMap::from([("etl".to_owned(), 2.0), ("it's".to_owned(), 1.5)]),
        });
        room.fails_with("PUT", &weights);
        room.settles(&weights);
    });
}

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
fn what_was_made_is_taken_away_and_nothing_beside_it() {
    in_each_shell(|room| {
        let (path, link) = (room.text("etc/a b"), room.text("l"));
        let wanted = [
            Resource::Directory(directory(room.text("etc"), &[])),
            Resource::File(file(path.clone(), "it's")),
            Resource::Link(Link { path: link.clone(), target: "/x".to_owned() }),
        ];
        let undo = |resource: &Resource| {
            let script = Fix::new(resource.undo().unwrap()).script(|_| String::new());
            assert!(room.run(&script).status.success(), "{:?}: {}", room.shell, resource.id());
        };
        for resource in &wanted {
            assert!(room.fix(resource, &[]).status.success());
        }
        fs::write(room.path("etc/theirs"), "x").unwrap();
        // Twice: what is gone is no failure.
        for _ in 0..2 {
            undo(&wanted[1]);
            undo(&wanted[2]);
        }
        assert!(!Path::new(&path).exists() && fs::symlink_metadata(&link).is_err());
        let backup = room.path("backup").join(path.trim_start_matches('/'));
        assert_eq!(fs::read_to_string(backup).unwrap(), "it's");
        undo(&wanted[0]);
        assert!(room.path("etc/theirs").exists(), "{:?}: a stranger's file went", room.shell);
        fs::remove_file(room.path("etc/theirs")).unwrap();
        undo(&wanted[0]);
        assert!(!room.path("etc").exists());
        // Not a link of ours: it stays.
        fs::write(&link, "x").unwrap();
        undo(&wanted[2]);
        assert!(Path::new(&link).exists());
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

#[test]
fn services_are_turned_and_stamped() {
    in_each_shell(|room| {
        let mut running = Service::running("x", sha256("inputs"), vec![]);
        running.between = Some(format!("echo between >> {}", room.text("calls")));
        running.ready = Some("systemctl is-ready");
        for verb in ["enable", "start"] {
            room.fails_with(verb, &Resource::Service(running.clone()));
        }
        room.settles(&Resource::Service(running.clone()));
        let calls = room.calls();
        let at = |what: &str| calls.rfind(what).unwrap_or_else(|| panic!("no {what} in {calls}"));
        assert!(at("systemctl stop x") < at("between") && at("between") < at("systemctl start x"));
        // Only the unit file is wrong: the process is left alone.
        fs::remove_file(room.path("state/unit-x.enabled")).unwrap();
        let before = room.calls().matches("systemctl st").count();
        let wanted = Resource::Service(running);
        assert!(room.fix(&wanted, &room.gaps(&wanted)).status.success());
        assert_eq!(room.calls().matches("systemctl st").count(), before);

        let stopped = Resource::Service(Service::of("x", State::Stopped));
        room.fails_with("stop", &stopped);
        room.settles(&stopped);
        let masked = Resource::Service(Service::of("x", State::Masked));
        room.fails_with("mask", &masked);
        room.settles(&masked);
    });
}

#[test]
fn a_service_whose_library_is_missing_is_left_stopped() {
    in_each_shell(|room| {
        let mut service = Service::running("x", sha256("inputs"), vec![]);
        service.needs = vec![room.text("lib/no such.so")];
        let wanted = Resource::Service(service);
        // Somebody has enabled it.
        fs::create_dir_all(room.path("state")).unwrap();
        fs::write(room.path("state/unit-x.enabled"), "").unwrap();
        let output = room.fix(&wanted, &room.gaps(&wanted));
        assert_eq!(output.status.code(), Some(NOT_RUN), "{}", said(&output));
        assert!(!room.calls().contains("systemctl start"));
        assert_eq!(room.gaps(&wanted), [], "as right as it can be");
        fs::create_dir_all(room.path("lib")).unwrap();
        fs::write(room.path("lib/no such.so"), "").unwrap();
        room.settles(&wanted);
    });
}

#[test]
fn images_are_built_loaded_and_pulled() {
    in_each_shell(|room| {
        engine_runs(room);
        let tree = archive(room, |_| ());
        fs::write(room.path("mesos.deb"), "deb").unwrap();
        let build = Build {
            dockerfile: "FROM x\nRUN echo 'it'\\''s' \"$HOME\" %s\n".to_owned(),
            files: vec![("spark-submit".to_owned(), "#!/bin/sh\nexec \"$@\"\n".to_owned())],
            trees: vec![("spark".to_owned(), tree, "bin/spark-submit")],
            blobs: vec![("mesos.deb".to_owned(), local(&room.path("mesos.deb")))],
        };
        let built = image("spark-mesos", Origin::Build(Arc::new(build.clone())));
        room.fails_with("build", &built);
        room.settles(&built);
        let context = room.path("state/context");
        assert_eq!(fs::read_to_string(context.join("Dockerfile")).unwrap(), build.dockerfile);
        assert_eq!(fs::read_to_string(context.join("mesos.deb")).unwrap(), "deb");
        assert!(context.join("spark/bin/spark-submit").exists());
        assert_eq!(fs::read_dir(room.path("var/lib/provision/build")).unwrap().count(), 0);

        fs::write(room.path("base.tar"), "an image").unwrap();
        let stamp = "/var/lib/provision/stamps/base.image".to_owned();
        let loaded =
            image("base.tar", Origin::Load { archive: local(&room.path("base.tar")), stamp });
        room.fails_with("load", &loaded);
        room.settles(&loaded);
        fs::remove_file(room.path("state/image-base:1")).unwrap();
        assert!(!room.gaps(&loaded).is_empty(), "the image went and its stamp stayed");

        let pulled = image("x@sha256:00", Origin::Pull);
        room.fails_with("pull", &pulled);
        room.settles(&pulled);
    });
}

/// Asking a stopped engine would start it through its socket.
#[test]
fn a_stopped_engine_is_not_asked() {
    in_each_shell(|room| {
        let wanted = image("x", Origin::Pull);
        assert_eq!(
            read(&wanted, &room.ask(&probe(&[&wanted]))),
            Look::Later("the Docker engine runs")
        );
        assert!(!room.calls().contains("docker"), "{}", room.calls());
    });
}

#[test]
fn proofs_are_stamped_only_when_there_is_nothing_to_gain_from_another() {
    in_each_shell(|room| {
        let proof =
            |script: &str| Resource::Proof(Proof::new("pi", sha256(script), script.to_owned()));
        room.settles(&proof("say 3.14"));
        for (script, status, stamped) in [
            ("false; true", 1, false),
            ("return 71", 71, false),
            ("say no; return 70", 70, true),
            ("exit 3", 3, false),
        ] {
            let wanted = proof(script);
            let output = room.fix(&wanted, &room.gaps(&wanted));
            assert_eq!(
                output.status.code(),
                Some(status),
                "{:?}: {script}: {}",
                room.shell,
                said(&output)
            );
            assert_eq!(room.gaps(&wanted).is_empty(), stamped, "{:?}: {script}", room.shell);
        }
    });
}

#[test]
fn the_first_failure_ends_a_fix() {
    in_each_shell(|room| {
        for body in ["false\nsay on", "say \"$unset\"\nsay on", "nosuchcommand\nsay on"] {
            let output = room.run(&Fix::new(body).script(|_| String::new()));
            assert!(!output.status.success(), "{:?}: {body}", room.shell);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{:?}: {body}", room.shell);
        }
    });
}

#[test]
fn a_proof_that_fails_now_is_not_taken_for_proven() {
    let dir = tempfile::tempdir().unwrap();
    let mut proof = Proof::new("pi", "new".to_owned(), "echo no; return 1".to_owned());
    proof.stamp = dir.path().join("pi.proof").to_str().unwrap().to_owned();
    fs::write(&proof.stamp, "old\n").unwrap();
    // As the engine does: step after step, until one fails.
    let run = |proof: &Proof| {
        let mut last = None;
        for step in proof.fix(&[]) {
            let Step::Run(fix) = step else { panic!("{step:?}") };
            let script = fix.script(|_| String::new());
            // Who it belongs to is root's business.
            let script = script.replace("chown \"$2:$3\" \"$t\"; ", "");
            last = Command::new("sh").args(["-c", &script]).output().unwrap().status.code();
            if last != Some(0) {
                break;
            }
        }
        last
    };
    assert_eq!(run(&proof), Some(1));
    assert!(!Path::new(&proof.stamp).exists());
    proof.script = "echo yes".to_owned();
    assert_eq!(run(&proof), Some(0));
    assert_eq!(fs::read_to_string(&proof.stamp).unwrap(), "new\n");
}

/// What any local user can leave in /tmp, or in the Spark user's own home, is none of the proof's business.
#[test]
fn a_proof_through_mesos_obeys_no_file_of_others() {
    in_each_shell(|room| {
        let (user, _) = me();
        for name in ["opt/bin", "opt/examples/src/main/python", "tmp/.local"] {
            fs::create_dir_all(room.path(name)).unwrap();
        }
        fs::write(room.path("libmesos.so"), "").unwrap();
        let program = |path: &str, text: &str| {
            fs::write(room.path(path), text).unwrap();
            fs::set_permissions(room.path(path), fs::Permissions::from_mode(0o755)).unwrap();
        };
        // runuser -u USER -- COMMAND…
        program("bin/runuser", "#!/bin/sh\nshift 3\nexec \"$@\"\n");
        let submit = "#!/bin/sh\n\
            mode=$(stat -c %a:%U .)\n\
            strange=$(env | grep -v -e ^HOME= -e ^USER= -e ^LOGNAME= -e ^PATH= -e ^LANG= -e ^PYTHONNOUSERSITE= -e ^PWD= -e ^SHLVL= -e ^_=)\n\
            [ \"$HOME\" = \"$PWD\" ] && [ -z \"$(ls -A)\" ] || exit 1\n\
            user=$(python3 -c 'import site; print(site.ENABLE_USER_SITE)')\n\
            wide=$(find .. -perm /066 ! -type d | head -n 1)\n\
            echo \"Pi is roughly $mode user=$user strange=$strange wide=$wide\"\n\
            echo '{\"submissionId\": \"d1\"}'\n";
        program("opt/bin/spark-submit", submit);
        let context = serde_json::json!({
            "home": room.text("opt"), "user": user, "constraints": null, "agents": 1, "slices": 1,
            "timeout_secs": 20, "not_run": NOT_RUN, "rest": "http://r", "master": "mesos://m",
        });
        let script = world::templates().render("smoke/pi-through-mesos.sh", &context).unwrap();
        let script = script.replace("/usr/lib/libmesos.so", &room.text("libmesos.so"));
        let proof = Resource::Proof(Proof::new("pi", sha256(&script), script));
        let output = room.fix(&proof, &room.gaps(&proof));
        assert!(output.status.success(), "{:?}: {}", room.shell, said(&output));
        let Step::Run(run) = &proof.fix(&[])[0] else { panic!() };
        let output = said(&room.run(&run.script(|_| String::new())));
        let wanted = format!("Pi is roughly 700:{user} user=False strange= wide=\n");
        assert!(output.contains(&wanted), "{:?}: {output}", room.shell);
    });
}

/// The real apt, on a system of its own that only it believes in, where it simulates every installation.
fn apt(folder: &Path) -> impl Fn(&str) -> std::process::Output + '_ {
    let path = |name: &str| folder.join(name);
    for name in
        ["state/lists/partial", "cache/archives/partial", "etc/preferences.d", "repo", "bin"]
    {
        fs::create_dir_all(path(name)).unwrap();
    }
    let package = |name: &str, version: &str, more: &str| {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\n{more}Description: x\n"
        )
    };
    let file = "Filename: ./x.deb\nSize: 1\nSHA256: 00\n";
    let offered = [
        package("wanted", "2", &format!("Conflicts: theirs\nDepends: lib (= 4)\n{file}")),
        package("harmless", "1", file),
        package("lib", "4", file),
    ];
    let installed = [("theirs", "1:3-1"), ("lib", "5")]
        .map(|(name, version)| package(name, version, "Status: install ok installed\n"));
    fs::write(path("repo/Packages"), offered.join("\n")).unwrap();
    fs::write(path("status"), installed.join("\n")).unwrap();
    let root = folder.display();
    let pin = "Package: lib\nPin: version 4\nPin-Priority: 1001\n";
    fs::write(path("etc/preferences"), pin).unwrap();
    fs::write(path("etc/sources.list"), format!("deb [trusted=yes] file:{root}/repo ./\n"))
        .unwrap();
    let conf = format!(
        "Dir \"{root}\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nDir::Etc \"{root}/etc\";\nDir::Log \"{root}\";\n\
         APT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
         APT::Get::Simulate \"true\";\nDebug::NoLocking \"1\";\n"
    );
    fs::write(path("conf"), conf).unwrap();
    let dpkg = "#!/bin/sh\n[ \"$1\" = --configure ] || exec /usr/bin/dpkg \"$@\"\n";
    fs::write(path("bin/dpkg"), dpkg).unwrap();
    fs::set_permissions(path("bin/dpkg"), fs::Permissions::from_mode(0o755)).unwrap();
    move |script: &str| {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.join("bin").display());
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PATH", path).env("APT_CONFIG", folder.join("conf"));
        shell.output().unwrap()
    }
}

#[test]
fn apt_takes_nothing_away_but_what_was_named_and_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let run = apt(folder.path());
    let updated = run("apt-get -q -o APT::Get::Simulate=false update");
    assert!(updated.status.success(), "{}", said(&updated));
    let _ = fs::remove_file(folder.path().join("cache/pkgcache.bin"));
    let simulated = |words: &str| {
        let output = run(&format!("{LOSSES}apt_losses {words}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut losses: Vec<String> = simulated("wanted").lines().map(str::to_owned).collect();
    losses.sort();
    assert_eq!(losses, ["lower lib 5 4", "remove theirs 1:3-1"]);
    assert_eq!(simulated("harmless"), "");
    assert_eq!(simulated("nowhere"), "");
    assert!(!folder.path().join("cache/pkgcache.bin").exists(), "looking wrote something");
    let install = |name: &str, may_lose: &[&str]| {
        let may_lose = may_lose.iter().map(|name| (*name).to_owned()).collect();
        let packages = Packages { may_lose, ..Packages::named("x", [name]) };
        let Step::Run(fix) = packages.fix(&[]).remove(0) else { panic!() };
        let output = run(&fix.script(|_| String::new()));
        (output.status.success(), said(&output))
    };
    let (done, said) = install("harmless", &[]);
    assert!(done, "{said}");
    let (done, said) = install("wanted", &[]);
    assert!(!done && said.contains("remove is disabled"), "{said}");
    // What is allowed is what was named, and nothing that came later.
    let (done, said) = install("wanted", &["lib"]);
    assert!(!done && said.contains("apt would remove theirs 1:3-1 too"), "{said}");
    let (done, said) = install("wanted", &["theirs", "lib"]);
    assert!(done && said.contains("Remv theirs"), "{said}");
}
