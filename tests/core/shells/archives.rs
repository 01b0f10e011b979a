//! Archives: appear whole, lead nowhere out, are believed by their digest.

use super::super::support::room::{Room, in_each_shell, said};
use super::{local, unpacked};
use provision::ground::Digest;
use provision::ground::digest::sha256;
use provision::inventory::{Fetch, Proxy, Source};
use provision::resource::{Resource, fetched};
use provision::script::Step;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn tar(folder: &Path, to: &Path, arguments: &[&str]) {
    let output =
        Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(to).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// An archive that holds `spark-1/bin/spark-submit`, and whatever `add` puts beside it.
pub(super) fn archive(room: &Room, add: impl Fn(&Path)) -> Fetch {
    let tree = room.path("tree");
    fs::create_dir_all(tree.join("spark-1/bin")).unwrap();
    fs::write(tree.join("spark-1/bin/spark-submit"), "#!/bin/sh\n").unwrap();
    add(&tree.join("spark-1"));
    let to = room.path("spark.tar");
    tar(&tree, &to, &["spark-1"]);
    local(&to)
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
