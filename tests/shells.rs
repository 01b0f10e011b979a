//! Every kind's probe and fix in the shells that hosts have, in a room of its own: what is wanted is so
//! after one fix, and stays so after a second.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use provision::inventory::{Digest, Fetch, Proxy, SecretRef, Source};
use provision::resource::directory::Directory;
use provision::resource::drain::{By, Drain};
use provision::resource::file::{Content, File};
use provision::resource::image::{Build, Image, Origin};
use provision::resource::link::Link;
use provision::resource::package::Packages;
use provision::resource::proof::{NOT_RUN, Proof};
use provision::resource::service::{Service, State};
use provision::resource::unpacked::Unpacked;
use provision::resource::user::User;
use provision::resource::weights::Weights;
use provision::resource::{Look, Resource, fetched, probe, read, sha256};
use provision::script::{Fix, Step, slot};

#[path = "support/room.rs"]
mod room;

use room::{Room, SECRET, in_each_shell, me, said};

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
        for step in wanted.fix() {
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

#[test]
fn a_drain_is_noted_before_it_begins_and_ended_only_once_it_is_over() {
    in_each_shell(|room| {
        let drain = Drain {
            masters: vec!["http://follower:5050".to_owned(), "http://leader:5050".to_owned()],
        };
        let begin = |by, id: &str| room.run(&drain.begin(id, by).script(|_| String::new()));
        let resource = Resource::Drain(drain.clone());
        // Refused, it is no drain of ours; nor is it where an operator came first.
        assert!(said(&begin(By::Us, "id-S2")).contains("Unknown agent"));
        assert!(begin(By::Operator, "id-S1").status.success());
        assert_eq!(room.gaps(&resource), []);
        assert!(begin(By::Us, "id-S1").status.success());
        let note = fs::read_to_string(room.path("var/lib/provision/drained")).unwrap();
        assert_eq!(note, "id-S1\n");
        assert_eq!(fs::read_to_string(room.path("state/drain")).unwrap(), "DRAINING\n");
        room.settles(&resource);
        assert!(!room.path("state/drain").exists(), "{:?}: still drained", room.shell);
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
