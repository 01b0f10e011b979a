//! C: files and disks. A managed file is the old one or the new one, whole; what was somebody else's is
//! refused or kept.

use std::process::Command;

use super::connection::through;
use super::proxy::Proxy;
use super::twin::{Host, Ran, run, until};

const TASKS: &str = "base,spark";
const DEFAULTS: &str = "/opt/spark/conf/spark-defaults.conf";

fn apply(host: &Host, more: &[&str]) -> Ran {
    host.run("apply", &[&["-y", "-t", TASKS], more].concat())
}

/// An apply with another setting than the last one.
fn changed(host: &Host) -> Ran {
    apply(host, &["-e", "spark.defaults.spark.cores.max=1"])
}

#[test]
fn fault_40_a_disk_too_small_is_said_before_and_a_full_one_keeps_the_old_file() {
    let host = Host::start_with(&["--tmpfs", "/opt:size=1m,mode=755"]);
    let before = host.tree();
    apply(&host, &[])
        .said(1, &["h1", "disk-full", "/opt needs 700 MiB free, 1 MiB are", "nothing was changed"]);
    assert_eq!(host.tree(), before);

    let host = Host::start_with(&["--tmpfs", "/var/lib/provision:size=1m,mode=700"]);
    host.sh("head -c 900000 /dev/zero >/var/lib/provision/filler");
    apply(&host, &[]).said(3, &["FAILED h1", "No space left on device"]);
    host.sh("! find /var/lib/provision/cache -name '*spark.tgz*' | grep .; rm /var/lib/provision/filler");
    host.converges(TASKS);
    // And with something to lose.
    host.sh("head -c 1100000 /dev/zero >/var/lib/provision/filler || :");
    let old = host.managed();
    let ran = changed(&host);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.all().contains("is its disk full?"), "{ran:?}");
    assert_eq!(host.managed(), old, "a file changed that could not be kept");
    host.sh("rm /var/lib/provision/filler");
    changed(&host).said(0, &[]);
    host.converges(TASKS);
}

#[test]
fn fault_41_a_disk_full_for_apt_is_its_message_and_dpkg_is_finished_next_time() {
    let host = Host::start_with(&["--tmpfs", "/var/cache/apt:size=64k"]);
    host.sh("dpkg --purge --force-depends curl");
    apply(&host, &[]).said(3, &["FAILED h1: packages base", "No space left on device"]);
    host.sh("rm -rf /var/cache/apt/*; printf 'Dir::Cache \"/root/apt\";\\n' >/etc/apt/apt.conf.d/99-cache; mkdir -p /root/apt/archives/partial");
    // What an installation that was cut short looks like.
    host.sh("dpkg --unpack /root/mesos.deb; dpkg-query -Wf '${db:Status-Status}' mesos | grep -qx unpacked");
    host.converges(TASKS);
    assert_eq!(host.sh("dpkg-query -Wf '${db:Status-Status}' mesos"), "installed");
}

#[test]
fn fault_42_no_inodes_is_said_to_be_that() {
    let host = Host::start_with(&["--tmpfs", "/var/lib/provision:size=50m,nr_inodes=12,mode=700"]);
    let before = host.tree();
    apply(&host, &[]).said(1, &["h1", "inodes", "nothing was changed"]);
    assert_eq!(host.tree(), before);
}

#[test]
fn fault_43_an_upload_that_is_cut_leaves_no_part_of_the_file() {
    let host = Host::start();
    let proxy = Proxy::to(&host.address);
    through(&host, &proxy);
    // The archive has twice as many bytes, and little goes before it.
    proxy.cut_at(100_000);
    let mut running = host.operator.start("apply", &["-y", "-v", "-t", TASKS]);
    // What arrived is thrown away there, and all of it is sent again.
    running.line(&["changed h1: unpacked /opt/spark-3.5.1-"]);
    running.wait().said(0, &["Apply complete"]);
    assert!(proxy.was_cut(), "the wire was never cut: {} bytes went", proxy.sent());
    let cached = host.sh("cd /var/lib/provision/cache; ls -A; sha512sum <$(ls -A)");
    let here = run(Command::new("sha512sum").arg(host.operator.path("spark.tgz")), "").out;
    assert_eq!(cached.lines().count(), 2, "a part is left: {cached}");
    assert_eq!(cached.lines().last().unwrap()[..128], here[..128]);
    host.is_converged(TASKS);
}

#[test]
fn fault_44_a_local_edit_is_shown_and_kept() {
    let host = Host::start();
    host.applied(TASKS);
    host.sh(&format!("echo 'spark.mine yes' >>{DEFAULTS}; touch -d '2 days ago' {DEFAULTS}"));
    let plan = host.run("plan", &["-t", TASKS, "--detailed-exitcode"]);
    plan.said(2, &["spark-defaults.conf: content: "]);
    host.converges(TASKS);
    assert!(!host.sh(&format!("cat {DEFAULTS}")).contains("spark.mine"));
    let kept = host.sh("find /var/lib/provision/backup -name spark-defaults.conf -exec cat {} +");
    assert!(kept.contains("spark.mine yes"), "{kept}");
    // Nothing is kept beside the file, where a daemon might take it for one of its own.
    assert_eq!(host.sh("ls -A /opt/spark/conf").lines().count(), 2);
}

#[test]
fn fault_45_a_symbolic_link_is_refused_and_its_target_untouched() {
    let host = Host::start();
    host.applied(TASKS);
    let target = host.sh("sha256sum /etc/passwd");
    host.sh(&format!("ln -sf /etc/passwd {DEFAULTS}"));
    changed(&host).said(3, &["is a symbolic link to /etc/passwd", "remove it"]);
    assert_eq!(host.sh("sha256sum /etc/passwd"), target);
    host.sh(&format!("rm {DEFAULTS}"));
    host.converges(TASKS);
}

/// Plants a link to a file that must not change at every name that a careless temporary would have; how many.
const PLANT: &str = "
import os, sys
names = []
for own in ['spark-defaults.conf', 'spark-env.sh', '.provision', '.spark-defaults.conf']:
    names += [own + end for end in ('.new', '.tmp', '.temp', '.part', '.old', '~', '.swp')]
    names += [own + '.' + str(n) for n in list(range(1, 10)) + list(range(os.getpid(), os.getpid() + 20000))]
for name in names:
    os.symlink('/etc/passwd', os.path.join(sys.argv[1], name))
print(len(names))
";

#[test]
fn fault_46_nothing_is_ever_made_where_others_may_plant_things() {
    // With nothing writable there, nothing can be made there.
    let host = Host::start_with(&[
        "--tmpfs",
        "/tmp:ro",
        "--tmpfs",
        "/var/tmp:ro",
        "--tmpfs",
        "/dev/shm:ro",
    ]);
    host.applied(TASKS);
    changed(&host).said(0, &[]);
    host.converges(TASKS);
    // Beside the file itself a name that could be guessed could be planted: its own with an ending, or one
    // with a process id of the next minutes. Links at all of those are neither followed nor taken away.
    let conf = host.sh("readlink -f /opt/spark/conf").trim().to_owned();
    let planted = host.sh_with(&format!("python3 - {conf}"), PLANT);
    host.sh("sha256sum /etc/passwd >/root/sum");
    changed(&host).said(0, &["spark-defaults.conf"]);
    host.sh("sha256sum -c /root/sum");
    let links = host.sh(&format!("find {conf} -lname /etc/passwd | wc -l"));
    assert_eq!(links, planted, "something was made at a name that can be guessed");
    host.sh(&format!("find {conf} -lname /etc/passwd -delete"));
    host.converges(TASKS);
}

#[test]
fn fault_47_a_directory_that_anybody_may_write_to_is_a_gap() {
    let host = Host::start();
    host.applied(TASKS);
    host.sh("chmod 777 /opt/spark/conf/.");
    host.run("plan", &["-t", TASKS, "--detailed-exitcode"]).said(2, &["/conf: mode: 777 → 755"]);
    host.converges(TASKS);
    assert_eq!(host.sh("stat -c %a /opt/spark/conf/.").trim(), "755");
    // Ours are never so.
    assert_eq!(host.sh("find /var/lib/provision /run/provision -perm /022 ! -type l"), "");
}

#[test]
fn fault_48_a_directory_or_a_pipe_in_a_files_place_is_named() {
    let host = Host::start();
    host.applied(TASKS);
    for make in ["mkdir", "mkfifo"] {
        host.sh(&format!("rm {DEFAULTS}; {make} {DEFAULTS}"));
        changed(&host)
            .said(3, &["spark-defaults.conf exists and is not a regular file; move it away"]);
        host.sh(&format!("rm -r {DEFAULTS}"));
        host.converges(TASKS);
    }
}

#[test]
fn fault_49_an_immutable_file_and_a_read_only_mount_are_named() {
    let host = Host::start_with(&["--cap-add", "LINUX_IMMUTABLE"]);
    host.applied(TASKS);
    let old = host.managed();
    if host.try_sh(&format!("chattr +i $(readlink -f {DEFAULTS})"), "").code == 0 {
        changed(&host).said(3, &["immutable", "chattr -i"]);
        assert_eq!(host.managed(), old);
        host.sh(&format!("chattr -i $(readlink -f {DEFAULTS})"));
    }
    host.converges(TASKS);
    let host = Host::start_with(&["--tmpfs", "/opt:ro,size=2g"]);
    apply(&host, &[]).said(3, &["FAILED h1", "Read-only file system"]);
}

#[test]
fn fault_50_modes_do_not_depend_on_anybodys_umask() {
    let listing = |umask: &str| {
        let host = Host::start();
        host.sh(&format!(
            "for f in /home/ops/.bashrc /root/.bashrc /etc/profile /home/ops/.profile; do \
             {{ echo 'umask {umask}'; cat $f 2>/dev/null; }} >/root/f; cat /root/f >$f; done; \
             printf 'session optional pam_umask.so umask={umask}\\n' >>/etc/pam.d/common-session; \
             printf 'Defaults umask=0{umask}, umask_override\\n' >/etc/sudoers.d/10-umask; chmod 440 /etc/sudoers.d/10-umask; visudo -cq"
        ));
        host.applied(TASKS);
        host.is_converged(TASKS);
        let modes = "find /opt /var/lib/provision /etc/spark* -printf '%P %m %y\\n' 2>/dev/null";
        let modes = host.sh(&format!(
            "{modes} | grep -v -e ^runs/ -e ^cache/ -e ^spark-3.5.1-[0-9a-f]* | sed 's,^records/[^ ]*,records/RUN,' | sort"
        ));
        let own = host.sh("find /var/lib/provision /run/provision -type d -printf '%m\\n' | sort -u; stat -c %a /opt/spark/conf/*");
        (modes, own)
    };
    let (all, none) = (listing("000"), listing("077"));
    assert_eq!(all, none);
    assert!(!all.1.contains("777"), "{all:?}");
}

#[test]
fn fault_51_tmp_need_not_be_executable() {
    let host = Host::start_with(&["--tmpfs", "/tmp:noexec", "--tmpfs", "/var/tmp:noexec"]);
    host.applied(TASKS);
    host.is_converged(TASKS);
}

#[test]
fn fault_52_a_run_killed_between_a_file_and_its_restart_is_finished_with_the_restart() {
    let host = Host::start();
    let tasks = "base,zookeeper";
    host.applied(tasks);
    let invocation = || host.sh("systemctl show -p InvocationID --value zookeeper");
    let before = invocation();
    host.operator.edit("zookeeper: {", "zookeeper: { config: { tickTime: 2500 },");
    // Once the new file has its name, the action waits until our process is gone.
    let held =
        "case \"$*\" in *zoo.cfg) touch /renamed; until [ -e /gate ]; do sleep 0.1; done ;; esac";
    host.wrap("mv", &format!("REAL \"$@\" || exit\n{held}"));
    let running = host.operator.start("apply", &["-y", "-t", tasks]);
    host.until("test -e /renamed");
    running.signal("KILL");
    assert_eq!(running.wait().code, 137);
    host.sh("touch /gate");
    until("its shell has ended", || host.try_sh("flock -n /run/provision/lock true", "").code == 0);
    host.sh("rm /usr/local/sbin/mv; grep -q tickTime=2500 /etc/zookeeper/conf/zoo.cfg");
    assert_eq!(invocation(), before, "it was restarted all the same");
    // The file is as it should be, and that is not all.
    let plan = host.run("plan", &["-t", tasks, "--detailed-exitcode"]);
    plan.said(
        2,
        &["service zookeeper: restart: what it was started with has changed", "1 to change"],
    );
    host.run("apply", &["-y", "-t", tasks]).said(0, &["changed h1: service zookeeper"]);
    assert_ne!(invocation(), before);
    let tick = "exec 3<>/dev/tcp/localhost/2181; echo conf >&3; grep ^tickTime <&3";
    assert_eq!(host.sh(&format!("bash -c '{tick}'")), "tickTime=2500\n");
    host.is_converged(tasks);
}

#[test]
fn fault_53_garbage_in_our_own_state_on_a_host_is_no_answer() {
    let host = Host::start();
    host.applied(TASKS);
    host.applied("zookeeper");
    let old = host.managed();
    host.sh(
        "r=/var/lib/provision/runs/zz-garbage; mkdir -p $r; head -c 300 /dev/urandom >$r/a0001.start; \
         printf '\\n\\033]0;x\\007$(touch /pwned)\\n' >$r/a0002.start; head -c 50 /dev/urandom >$r/a0001.rc; \
         head -c 100 /dev/urandom >/run/provision/lock; s=/var/lib/provision/stamps/zookeeper.service; test -s $s; \
         printf 'inputs=\\033]0;x\\007$(touch /pwned)\\n' >$s; head -c 100 /dev/urandom >>$s",
    );
    // A stamp that says nothing vouches for nothing: the service is started anew, and stamped.
    let invocation = "systemctl show -p InvocationID zookeeper";
    let before = host.sh(invocation);
    let ran = host.run("plan", &["-t", "base,spark,zookeeper"]);
    ran.said(0, &["service zookeeper: "]);
    assert!(!ran.all().contains('\x1b'), "{ran:?}");
    let ran = host.run("apply", &["-y", "-t", "base,spark,zookeeper"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.all().contains('\x1b'), "{ran:?}");
    assert_ne!(host.sh(invocation), before, "garbage was taken for a stamp");
    host.sh("! test -e /pwned; test -d /var/lib/provision/runs/zz-garbage");
    assert_eq!(host.managed(), old);
    // On this machine there is no state that could be truncated, garbage or of another cluster.
    host.is_converged("base,spark,zookeeper");
}

#[test]
fn fault_54_a_marker_that_is_gone_or_edited_is_compared_again() {
    let host = Host::start();
    host.applied(TASKS);
    let old = host.managed();
    for spoil in ["rm", "sed -i s/^./x/"] {
        host.sh(&format!("{spoil} /opt/spark/.provision"));
        host.run("plan", &["-t", TASKS, "--detailed-exitcode"]).said(2, &["/opt/spark-3.5.1-"]);
        host.converges(TASKS);
        assert_eq!(host.managed(), old);
    }
    host.sh("rm -rf /var/lib/provision");
    host.is_converged(TASKS);
}
