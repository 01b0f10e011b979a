//! Every kind's probe and fix in the shells that hosts have, in a room of its own: what is wanted is so
//! after one fix, and stays so after a second.

mod agents;
mod archives;
mod files;
mod packages;
mod proofs;

use super::support::room::{Room, in_each_shell, me, said};
use archives::archive;
use provision::ground::digest::sha256;
use provision::ground::{Digest, HostName};
use provision::inventory::{Fetch, ImageBuild, Proxy, Source};
use provision::resource::directory::Directory;
use provision::resource::file::File;
use provision::resource::image::{Build, Copied, Image, Origin};
use provision::resource::link::Link;
use provision::resource::proof::NOT_RUN;
use provision::resource::service::{Ready, Service, State};
use provision::resource::unpacked::Unpacked;
use provision::resource::{Look, Resource, probe, read};
use provision::script::Fix;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

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
fn services_are_turned_and_stamped() {
    in_each_shell(|room| {
        let mut running = Service::running("x", sha256("inputs"), vec![]);
        running.between = Some(format!("echo between >> {}", room.text("calls")));
        running.ready = Some(Ready { command: "systemctl is-ready".to_owned(), secs: 30 });
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

/// What somebody restarted is told by when it started, and systemd before 251 writes time its own way.
#[test]
fn a_service_is_read_of_an_older_systemd() {
    in_each_shell(|room| {
        let input = room.text("input");
        fs::write(&input, "x").unwrap();
        let wanted = Resource::Service(Service::running("x", sha256("inputs"), vec![input]));
        for older in [false, true] {
            if older {
                fs::write(room.path("systemd-247"), "").unwrap();
            }
            let _ = fs::remove_dir_all(room.path("state"));
            room.settles(&wanted);
            fs::write(room.path("state/unit-x.invocation"), "another").unwrap();
            let gaps = room.gaps(&wanted);
            assert_eq!(gaps.len(), 1, "{:?} {older}: {gaps:?}", room.shell);
            assert_eq!(gaps[0].seen.as_deref(), Some("older than its files"), "{gaps:?}");
        }
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
            by: ImageBuild::Each,
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

#[test]
fn an_image_of_all_is_saved_once_and_loaded_whole() {
    in_each_shell(|room| {
        engine_runs(room);
        let build = |from: &str| Build {
            by: ImageBuild::Once,
            dockerfile: format!("FROM {from}\n"),
            files: Vec::new(),
            trees: Vec::new(),
            blobs: Vec::new(),
        };
        let built = |from: &str| image("spark-mesos", Origin::Build(Arc::new(build(from))));
        room.settles(&built("x"));
        let theirs = fs::read_to_string(room.path("state/build")).unwrap();
        assert_eq!(theirs.trim().len(), 36, "{theirs}");
        let copy = |from: &str, build: Option<String>| {
            let (host, inputs) = (HostName::new("a1"), self::inputs(&built(from)));
            image("spark-mesos", Origin::Copy(Copied { from: host, inputs, build }))
        };
        let cache = room.path("var/lib/provision/cache");
        let copies = |cache: &Path| {
            let names = fs::read_dir(cache).unwrap().map(|it| it.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().ends_with(".tar.gz")).count()
        };
        // Another one of the same inputs, which is not that of the others.
        let other = copy("x", Some("another".to_owned()));
        assert_eq!(room.gaps(&other)[0].fact, "build");
        let same = copy("x", Some(theirs.trim().to_owned()));
        assert_eq!(room.gaps(&same), []);
        // One that is saved half is none.
        fs::write(room.path("state/saves-until"), "spark-mesos").unwrap();
        assert!(!room.fix(&other, &room.gaps(&other)).status.success());
        assert_eq!(copies(&cache), 0);
        fs::remove_file(room.path("state/saves-until")).unwrap();
        for _ in 0..2 {
            let done = room.fix(&other, &room.gaps(&other));
            assert!(done.status.success(), "{}", said(&done));
            assert_eq!(copies(&cache), 0, "what was loaded stays");
        }
        // What was built from other inputs is not handed over.
        let refused = room.fix(&copy("y", None), &room.gaps(&other));
        assert!(said(&refused).contains("was built from other inputs"), "{}", said(&refused));
    });
}

fn inputs(built: &Resource) -> String {
    built.want()["inputs"].clone()
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
fn the_first_failure_ends_a_fix() {
    in_each_shell(|room| {
        for body in ["false\nsay on", "say \"$unset\"\nsay on", "nosuchcommand\nsay on"] {
            let output = room.run(&Fix::new(body).script(|_| String::new()));
            assert!(!output.status.success(), "{:?}: {body}", room.shell);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{:?}: {body}", room.shell);
        }
    });
}
