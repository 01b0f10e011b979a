//! E: what comes from elsewhere, and what is there already: archives, packages, services.

use std::fs;

use super::twin::{Host, run};

const TASKS: &str = "base,spark";

/// Holds apt's lock as apt does, until it is killed.
const HOLD: &str = "setsid python3 -c 'import fcntl, time; f = open(\"/var/lib/dpkg/lock-frontend\", \"w\"); \
     fcntl.lockf(f, fcntl.LOCK_EX); open(\"/held\", \"w\"); time.sleep(10000)' </dev/null >/dev/null 2>&1 &";

/// A host where a package is to be installed and somebody else has apt's lock; their process's id.
fn held() -> (Host, String) {
    let host = Host::start();
    host.sh("dpkg --purge --force-depends curl");
    host.sh(HOLD);
    host.until("test -e /held");
    let pid = host.sh("pgrep -f lock-frontend | head -n 1");
    (host, pid.trim().to_owned())
}

#[test]
fn fault_60_whoever_holds_apts_lock_is_named_at_once_and_waited_for() {
    let (host, pid) = held();
    let mut running = host.operator.start("apply", &["-y", "-t", TASKS]);
    running.line(&["h1", &format!("apt is in use by python3 (pid {pid})")]);
    host.until("grep -q 'waiting for apt' /var/lib/provision/runs/*/a*.log");
    host.sh(&format!("kill {pid}"));
    running.wait().said(0, &["changed h1: packages base", "Apply complete"]);
    host.is_converged(TASKS);
}

#[test]
fn fault_60_apts_lock_that_is_never_freed_ends_the_wait_with_its_holder() {
    let (host, pid) = held();
    // Its clock runs fast: the wait is as many looks as ever.
    host.wrap("sleep", "exit 0");
    let ran = host.run("apply", &["-y", "-t", TASKS]);
    let holder = format!("apt has been in use by python3 (pid {pid}) for 5 minutes");
    ran.said(3, &["FAILED h1: packages base", &holder, "wait for its end, or stop it"]);
    host.sh(&format!("rm /usr/local/sbin/sleep; kill {pid}"));
    host.converges(TASKS);
}

/// The archive comes from a web server on the host itself, which answers with these bytes.
fn from_web(host: &Host, make: &str, digest: Option<&str>) {
    host.sh(&format!("rm -rf /web; mkdir -p /web/in; cd /web/in; {make}"));
    let running = host.try_sh("ss -Hltn | grep -q ':8000 '", "").code == 0;
    if !running {
        host.sh("cd / && setsid python3 -m http.server -d /web 8000 >/dev/null 2>&1 &");
        host.until("ss -Hltn | grep -q ':8000 '");
    }
    let digest = digest.map_or_else(
        || host.sh("sha512sum </web/spark.tgz").split_whitespace().next().unwrap().to_owned(),
        str::to_owned,
    );
    let text = fs::read_to_string(host.operator.inventory()).unwrap();
    let line = text.lines().find(|line| line.contains("archive:")).unwrap().to_owned();
    let new =
        format!("  archive: {{ url: \"http://127.0.0.1:8000/spark.tgz\", sha512: {digest} }}");
    host.operator.edit(&line, &new);
}

#[track_caller]
fn nothing_unpacked(host: &Host) {
    assert_eq!(
        host.sh("ls -A /opt; find / -xdev -name 'evil*' -not -path '/web/*' -not -path '/proc/*'"),
        ""
    );
    let left = host.sh("find /opt /var/lib/provision -name '.provision.*'");
    assert_eq!(left, "", "temporaries are left");
}

const GOOD: &str = "mkdir -p s/bin; echo '#!/bin/sh' >s/bin/spark-submit; tar -czf ../spark.tgz s";

#[test]
fn fault_66_a_mirror_that_does_not_give_the_file_is_named_with_its_answer() {
    let host = Host::start();
    from_web(&host, GOOD, None);
    let url = "http://127.0.0.1:8000/spark.tgz";
    // Half of it, and then nothing.
    host.sh("cp /web/spark.tgz /root/; rm /web/spark.tgz");
    host.run("apply", &["-y", "-t", TASKS])
        .said(3, &[&format!("download of {url} answered HTTP 404"), "FAILED h1: unpacked"]);
    nothing_unpacked(&host);
    host.sh("pkill -f [h]ttp.server; while ss -Hltn | grep -q ':8000 '; do sleep 0.1; done");
    host.run("apply", &["-y", "-t", TASKS]).said(3, &[&format!("download of {url} failed")]);
    let half = "import socket\ns = socket.create_server((\"127.0.0.1\", 8000))\nwhile True:\n c = s.accept()[0]\n \
         c.recv(4096)\n c.sendall(b\"HTTP/1.0 200 OK\\r\\nContent-Length: 200000\\r\\n\\r\\n\" + b\"x\" * 1000)\n c.close()\n";
    host.sh_with("cat >/half.py; setsid python3 /half.py </dev/null >/dev/null 2>&1 &", half);
    host.until("ss -Hltn | grep -q ':8000 '");
    host.run("apply", &["-y", "-t", TASKS])
        .said(3, &["bytes remaining to read", &format!("download of {url} failed")]);
    nothing_unpacked(&host);
    assert_eq!(host.sh("ls -A /var/lib/provision/cache"), "", "a half file was kept");
    host.sh("pkill -f [h]alf.py; mv /root/spark.tgz /web/; while ss -Hltn | grep -q ':8000 '; do sleep 0.1; done");
    host.sh("cd / && setsid python3 -m http.server -d /web 8000 >/dev/null 2>&1 &");
    host.until("ss -Hltn | grep -q ':8000 '");
    host.converges(TASKS);
}

#[test]
fn fault_67_a_checksum_that_does_not_match() {
    let host = Host::start();
    from_web(&host, GOOD, Some(&"0".repeat(128)));
    let ran = host.run("apply", &["-y", "-t", TASKS]);
    ran.said(3, &["checksum mismatch for http://127.0.0.1:8000/spark.tgz", "expected 000", "got "]);
    nothing_unpacked(&host);
    assert_eq!(host.sh("ls -A /var/lib/provision/cache"), "", "a poisoned file was kept");
    from_web(&host, GOOD, None);
    host.converges(TASKS);
}

#[test]
fn fault_69_archives_that_lead_out_of_their_directory_are_refused() {
    let host = Host::start();
    for make in [
        "mkdir -p s/bin; touch s/bin/spark-submit evil; tar -czPf ../spark.tgz s --transform 's,^evil,../../evil,' evil",
        "mkdir -p s/bin; touch s/bin/spark-submit /web/evil; tar -czPf ../spark.tgz s /web/evil",
        "mkdir -p s/bin; touch s/bin/spark-submit; ln -s /etc s/evil; tar -czf ../spark.tgz s",
    ] {
        from_web(&host, make, None);
        host.run("apply", &["-y", "-t", TASKS]).said(3, &["out of its directory"]);
        nothing_unpacked(&host);
    }
    from_web(&host, GOOD, None);
    host.converges(TASKS);
}

#[test]
fn fault_70_a_page_instead_of_an_archive() {
    let host = Host::start();
    let page = "printf '<!DOCTYPE html>\\n<html>log in</html>' >../spark.tgz";
    from_web(&host, page, Some(&"1".repeat(128)));
    host.run("apply", &["-y", "-t", TASKS]).said(3, &["HTML page", "captive portal"]);
    from_web(&host, page, None);
    host.run("apply", &["-y", "-t", TASKS]).said(3, &["is an HTML page, not an archive"]);
    nothing_unpacked(&host);
}

#[test]
fn fault_72_a_package_that_is_held_is_named() {
    let host = Host::start();
    host.sh("dpkg --purge --force-depends curl; apt-mark hold curl");
    let ran = host.run("apply", &["-y", "-t", TASKS]);
    ran.said(3, &["FAILED h1: packages base", "Held packages were changed", "curl"]);
    host.sh("apt-mark unhold curl");
    host.converges(TASKS);
}

/// A package of Mesos with a configuration file of its own.
fn packed(host: &Host, version: &str, setting: &str) {
    host.sh(&format!(
        "rm -rf /pack; dpkg-deb -R /root/mesos.deb /pack; sed -i 's/^Version: .*/Version: {version}/' /pack/DEBIAN/control; \
         echo '{setting}' >/pack/etc/mesos-tool.conf; chmod 644 /pack/etc/mesos-tool.conf; \
         echo /etc/mesos-tool.conf >>/pack/DEBIAN/conffiles; mkdir -p /web; dpkg-deb -b /pack /web/mesos.deb >/dev/null"
    ));
}

#[test]
fn fault_73_dpkg_asks_nobody_about_a_configuration_file_and_keeps_the_users() {
    let host = Host::start();
    packed(&host, "1.10.0-1", "setting = old");
    host.sh(
        "dpkg --purge mesos; dpkg -i /web/mesos.deb; systemctl disable -q mesos-master mesos-slave",
    );
    host.sh("systemctl stop mesos-master mesos-slave; echo 'setting = mine' >/etc/mesos-tool.conf");
    packed(&host, "1.11.0-1", "setting = new");
    host.sh("cd / && setsid python3 -m http.server -d /web 8000 >/dev/null 2>&1 &");
    host.until("ss -Hltn | grep -q ':8000 '");
    let digest = host.sh("sha256sum </web/mesos.deb");
    let digest = digest.split_whitespace().next().unwrap();
    let package = format!("{{ deb: \"http://127.0.0.1:8000/mesos.deb\", sha256: {digest} }}");
    host.operator.edit("package: { preinstalled: true }", &format!("package: {package}"));
    let tasks = "base,zookeeper,masters";
    let ran = host.run("apply", &["-y", "-t", tasks]);
    let kept =
        "kept /etc/mesos-tool.conf as it was; the package's is /etc/mesos-tool.conf.dpkg-dist";
    ran.said(0, &["changed h1: packages mesos", kept]);
    assert_eq!(host.sh("cat /etc/mesos-tool.conf"), "setting = mine\n");
    assert_eq!(host.sh("cat /etc/mesos-tool.conf.dpkg-dist"), "setting = new\n");
    assert!(host.sh("dpkg-query -Wf '${Version}' mesos").starts_with("1.11.0-1"));
    host.is_converged(tasks);
}

/// Packages of these names with nothing in them.
fn pretend_installed(host: &Host, names: &[&str]) {
    for name in names {
        host.sh(&format!(
            "mkdir -p /pack-{name}/DEBIAN; printf 'Package: {name}\nVersion: 99\nArchitecture: all\nMaintainer: a <a@b>\n\
             Description: a test\n' >/pack-{name}/DEBIAN/control; dpkg-deb -b /pack-{name} /{name}.deb; dpkg -i /{name}.deb"
        ));
    }
}

#[test]
fn fault_75_an_engine_that_does_not_start_or_answer_is_the_docker_tasks_failure() {
    let host = Host::start();
    // No engine can run in here; what is meant is what is said of one that does not.
    pretend_installed(&host, &["docker.io", "iptables"]);
    let unit = |start: &str| {
        host.sh_with("cat >/etc/systemd/system/docker.service", &format!(
            "[Unit]\nDescription=Docker\n[Service]\n{start}\n[Install]\nWantedBy=multi-user.target\n"
        ));
    };
    let apply = || host.run("apply", &["-y", "-t", "base,docker"]);
    unit(
        "Type=notify\nExecStart=/bin/sh -c 'echo failed to start daemon: Devices cgroup is not mounted; exit 1'",
    );
    apply().said(
        3,
        &[
            "FAILED h1: service docker: docker does not start",
            "failed to start daemon: Devices cgroup is not mounted",
            "log on h1: /var/lib/provision/runs/",
        ],
    );
    unit("ExecStart=/usr/bin/sleep infinity");
    let client = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock";
    host.sh_with(
        "cat >/usr/local/bin/docker; chmod 755 /usr/local/bin/docker",
        &format!("#!/bin/sh\necho '{client}' >&2\nexit 1\n"),
    );
    host.wrap("sleep", "exit 0");
    apply().said(3, &["FAILED h1: service docker: docker does not answer", client]);
    // Nothing of it counts as done.
    host.sh("printf '#!/bin/sh\\nexit 0\\n' >/usr/local/bin/docker; rm /usr/local/sbin/sleep");
    host.converges("base,docker");
}

/// A proxy that asks for a password, and writes down what it was asked for by whom.
const PROXY: &str = r#"
import base64, http.server, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        who = base64.b64decode((self.headers.get("Proxy-Authorization") or "x ").split(" ")[1]).decode()
        open("/asked", "a").write(who + " " + self.path + "\n")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = direct.open(self.path).read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", 3128), Handler).serve_forever()
"#;

/// Writes down every argument list that holds `hunter2`, until `/stop`.
const ARGUMENTS: &str = "until [ -e /stop ]; do
for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$p 2>/dev/null; echo; done | grep -a hunter[2] >>/arguments
echo x >>/samples; done; touch /stopped";

#[test]
fn fault_77_a_proxy_is_used_where_it_is_meant_and_its_password_goes_nowhere_else() {
    let host = Host::start();
    from_web(&host, GOOD, None);
    host.sh_with("cat >/proxy.py; setsid python3 /proxy.py </dev/null >/dev/null 2>&1 &", PROXY);
    host.until("ss -Hltn | grep -q ':3128 '");
    let password = "hunter2-9f8e7d";
    let proxy = format!("proxy: {{ http: \"http://us:{password}@127.0.0.1:3128\" }}\nhosts:\n");
    host.operator.edit("hosts:\n", &proxy);
    let before = host.sh("cat /etc/environment /etc/profile /home/ops/.profile");
    let mut said = host.run("check", &[]).all();
    let plan = host.operator.path("plan.json");
    let refused = host.run("plan", &["-t", TASKS, "--out", plan.to_str().unwrap()]);
    refused.said(1, &["a URL in the inventory holds a password, which a saved plan must not"]);
    assert!(!plan.exists());
    // Whoever looks at the argument lists there, as fast as one shell can, sees it only where the test
    // itself put it.
    host.sh_with("cat >/watch; nohup setsid sh /watch >/dev/null 2>&1 &", ARGUMENTS);
    host.until("[ -s /samples ]");
    host.sh(&format!("sh -c 'sleep 3; :' {password}"));
    host.until(&format!("grep -q {password} /arguments"));
    host.sh("rm /arguments; wc -l </samples >/before");
    let ran = host.run("apply", &["-y", "-v", "-t", TASKS]);
    ran.said(0, &["Apply complete"]);
    host.is_converged(TASKS);
    host.sh("touch /stop; [ $(wc -l </samples) -gt $(($(cat /before) + 3)) ]");
    host.until("[ -e /stopped ]");
    let shown = host.sh(&format!("grep -as {password} /arguments || :; rm -f /arguments"));
    assert_eq!(shown, "", "its password was an argument");
    let asked = format!("us:{password} http://127.0.0.1:8000/spark.tgz\n");
    assert_eq!(host.sh("cat /asked"), asked, "the download did not go through it");
    assert_eq!(host.sh("cat /etc/environment /etc/profile /home/ops/.profile"), before);
    let apt = "/etc/apt/apt.conf.d/90provision-proxy";
    assert_eq!(host.sh(&format!("stat -c %a {apt}")), "600\n");
    // Nobody is told, not even when it answers no more.
    host.sh("pkill -f [p]roxy.py; rm -rf /opt/spark* /var/lib/provision/cache/*");
    let failed = host.run("apply", &["-y", "-v", "-t", TASKS]);
    failed.said(3, &["download of http://127.0.0.1:8000/spark.tgz failed"]);
    let history = run(&mut host.operator.program(&["history"]), "");
    assert_eq!(history.code, 0, "{history:?}");
    for text in [refused.all(), ran.all(), failed.all(), history.all()] {
        said.push_str(&text);
    }
    assert!(!said.contains(password), "{said}");
    let found =
        host.sh(&format!("grep -rlas {password} /var /run /etc /opt /root /home /tmp || :"));
    assert_eq!(found, format!("{apt}\n"));
    let mut here = std::process::Command::new("grep");
    let here = run(here.args(["-rla", password]).arg(host.operator.home.path()), "");
    let inventory = host.operator.inventory();
    assert_eq!(here.out.trim(), inventory.to_str().unwrap(), "on this machine");
}

#[test]
fn fault_78_a_port_that_somebody_else_has() {
    let host = Host::start();
    host.sh("setsid python3 -m http.server 2181 >/dev/null 2>&1 &");
    host.until("ss -Hltn | grep -q ':2181 '");
    let before = host.tree();
    let ran = host.run("apply", &["-y", "-t", "zookeeper"]);
    ran.said(
        1,
        &[
            "h1",
            "port 2181, which zookeeper needs, is taken by",
            "python3",
            "pid=",
            "nothing was changed",
        ],
    );
    assert_eq!(host.tree(), before);
}

#[test]
fn fault_79_a_service_that_starts_and_then_dies_is_shown_with_its_last_words() {
    let host = Host::start();
    let tasks = "base,zookeeper";
    host.applied(tasks);
    let unit = "/etc/systemd/system/zookeeper.service";
    let old = host.sh(&format!("cat {unit}"));
    let bad = "zookeeper.config.java_options=-XX:+NoSuchOption";
    let ran = host.run("apply", &["-y", "-t", tasks, "-e", bad]);
    ran.said(
        3,
        &[
            "h1",
            "zookeeper",
            "Unrecognized VM option 'NoSuchOption'",
            "--unit zookeeper` shows why; mend it, then run `provision apply",
        ],
    );
    // What ran before is kept, and is the way back.
    let kept = host.sh(&format!("cat $(ls -1td /var/lib/provision/backup/*{unit} | head -n 1)"));
    assert_eq!(kept, old);
    host.run("plan", &["-t", tasks, "-e", bad, "--detailed-exitcode"])
        .said(2, &["service zookeeper"]);
    host.converges(tasks);
    host.sh("systemctl is-active -q zookeeper");
    assert_eq!(host.sh(&format!("cat {unit}")), old);
}
