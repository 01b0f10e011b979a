//! Files, links and directories: whole or not at all, the old kept, nothing beside them touched.

use super::super::support::room::{SECRET, in_each_shell, me, said};
use super::{HOSTILE, directory, file};
use provision::ground::SecretRef;
use provision::ground::digest::sha256;
use provision::resource::file::{Content, File};
use provision::resource::leftovers::Leftovers;
use provision::resource::link::Link;
use provision::resource::{Kind as _, Resource};
use provision::script::{Fix, Step, slot};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

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
