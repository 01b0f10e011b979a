//! Proofs: when they are stamped, and whose files they do not obey.

use super::super::support::room::{in_each_shell, me, said};
use super::super::support::world;
use provision::ground::digest::sha256;
use provision::resource::proof::{NOT_RUN, Proof};
use provision::resource::{Kind as _, Resource};
use provision::script::Step;
use provision::template::contexts::PiThroughMesos;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

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
        let context = PiThroughMesos {
            home: room.text("opt"),
            user: user.to_string(),
            constraints: None,
            agents: 1,
            slices: 1,
            timeout_secs: 20,
            not_run: NOT_RUN,
        };
        let script = world::templates().render(&context).unwrap();
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
