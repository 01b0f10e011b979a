//! G: secrets and privacy. A canary is looked for wherever it could have gone; and nobody who stops
//! reading our output stops our work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use provision::internals::{Password, SecretRef, Secrets, sha256};

use super::twin::{Host, Ran, run};

const TASKS: &str = "base,spark";
const CANARY: &str = "cAnArY-9f8e7d6c";

/// What the canary looks like as it is, in hex, in a URL, in base 64 wherever in a text it begins, and
/// as its digest.
fn shapes() -> Vec<String> {
    let mut shapes =
        vec![CANARY.to_owned(), CANARY.replace('-', "%2D"), CANARY.replace('-', "%2d")];
    shapes.push(CANARY.bytes().map(|byte| format!("{byte:02x}")).collect());
    shapes.push(sha256(CANARY));
    for before in 0..3 {
        let text = base64(&[&vec![b'x'; before], CANARY.as_bytes()].concat());
        // What comes before and after shows in the outermost digits.
        let within = &text[(before * 8).div_ceil(6)..(before + CANARY.len()) * 8 / 6];
        shapes.push(within.to_owned());
    }
    shapes
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |three: u32, place: u32| char::from(DIGITS[(three >> (6 * place) & 63) as usize]);
    let three =
        |chunk: &[u8]| (0..3).fold(0, |all, n| all << 8 | u32::from(*chunk.get(n).unwrap_or(&0)));
    bytes.chunks(3).flat_map(|chunk| [3, 2, 1, 0].map(|place| digit(three(chunk), place))).collect()
}

#[test]
fn the_canary_is_found_in_every_shape() {
    // Source: `printf` and `base64` of coreutils.
    assert_eq!(base64(b"ab cd"), "YWIgY2QA");
    assert!(shapes().contains(&"63416e4172592d3966386537643663".to_owned()));
    for before in ["", "x", "xy", "xyz"] {
        let text = base64(format!("{before}{CANARY}and on").as_bytes());
        assert!(shapes().iter().any(|shape| text.contains(shape)), "{text}");
    }
}

/// A host whose inventory has a secret, which is in the environment.
fn host() -> Host {
    let mut host = Host::start();
    host.operator.edit(
        "  package: { preinstalled: true }",
        "  package: { preinstalled: true }\n  credentials: { framework: { principal: spark, secret: { env: TOKEN } }, \
         agent: { principal: agent, secret: { env: TOKEN } } }",
    );
    host.operator.environment.push(("TOKEN".to_owned(), CANARY.to_owned()));
    host
}

#[track_caller]
fn has_no_canary(what: &str, text: &str) {
    for shape in shapes() {
        assert!(!text.contains(&shape), "{shape} is in {what}");
    }
}

/// Looks into the argument lists of all processes of this machine until it is dropped, and says what it
/// found there.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    fn start() -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut looks, mut hits) = (0, Vec::new());
            while !stopped.load(Ordering::SeqCst) {
                let all = fs::read_dir("/proc").unwrap().flatten();
                for line in all.filter_map(|it| fs::read_to_string(it.path().join("cmdline")).ok())
                {
                    if shapes().iter().any(|shape| line.contains(shape)) {
                        hits.push(line);
                    }
                }
                looks += 1;
            }
            (looks, hits)
        });
        Watch { stop, thread }
    }

    #[track_caller]
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        let (looks, hits) = self.thread.join().unwrap();
        assert!(looks > 3, "only {looks} looks");
        assert_eq!(hits, [""; 0], "in an argument list here");
    }
}

#[test]
fn fault_92_a_secret_is_in_no_argument_list_and_no_environment_there() {
    let host = host();
    // Not to find the search itself.
    let search = format!("[{}]{}", &CANARY[..1], &CANARY[1..]);
    // Sampled as fast as one shell can, from before the first action until after the last.
    host.sh(&format!(
        "nohup setsid sh -c 'until [ -e /stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null \
         | tr \"\\0\" \"\\n\" | grep -a {search} >>/hits; echo x >>/samples; done' >/dev/null 2>&1 &"
    ));
    let samples = || host.sh("wc -l </samples").trim().parse::<u32>().unwrap();
    // It finds what is in an argument list, and what is in an environment.
    for shown in ["sh -c 'sleep 60; :' SECRET &", "SECRET=SECRET sleep 60 &"] {
        let shown = shown.replacen("SECRET=", "X=", 1).replace("SECRET", CANARY);
        host.sh(&format!(": >/hits; {{ {shown} }} >/dev/null 2>&1; echo $! >/shown"));
        host.until("[ -s /hits ]");
        host.sh("pkill -P $(cat /shown); kill $(cat /shown) 2>/dev/null; :");
    }
    // A sample that had begun before may still find those.
    let before = samples();
    super::twin::until("two samples more", || samples() > before + 2);
    host.sh(": >/hits");
    let before = samples();
    host.applied(TASKS);
    let during = samples() - before;
    host.is_converged(TASKS);
    host.sh("touch /stop");
    assert_eq!(host.sh("cat /hits"), "");
    assert!(during > 3, "{during} samples");
    assert_eq!(host.sh("cat /etc/spark-secrets/spark"), CANARY);
}

#[test]
fn fault_93_a_secret_is_in_no_output_log_plan_record_or_file_but_its_own() {
    let host = host();
    host.operator.with_agents();
    // Masters, agents and Spark: whoever has a secret of Mesos'.
    let tasks = "base,zookeeper,masters,agents,spark";
    let path = |name: &str| host.operator.path(name).to_str().unwrap().to_owned();
    let watch = Watch::start();
    for (round, more) in [
        &["-v", "--junit", &path("junit.xml"), "--log-file", &path("log.txt")][..],
        &["--json", "-e", "spark.defaults.spark.cores.max=1", "--log-file", &path("log.json")][..],
        &["-v", "--format", "github", "-e", "spark.defaults.spark.cores.max=3"][..],
    ]
    .into_iter()
    .enumerate()
    {
        let saved = path(&format!("plan{round}.json"));
        let sets = more.iter().skip_while(|word| **word != "-e").take(2).copied();
        let sets: Vec<&str> = sets.collect();
        let plan = host.run("plan", &[&["-v", "-t", tasks, "--out", &saved], &sets[..]].concat());
        assert_eq!(plan.code, 0, "{plan:?}");
        has_no_canary("plan", &plan.all());
        has_no_canary(
            "plan --json",
            &host.run("plan", &[&["--json", "-t", tasks], &sets[..]].concat()).all(),
        );
        let apply = host.run("apply", &[&["-y", "-t", tasks], more].concat());
        assert_eq!(apply.code, 0, "{apply:?}");
        has_no_canary("apply", &apply.all());
    }
    has_no_canary("render", &host.run("render", &[]).all());
    has_no_canary("status", &host.run("status", &[]).all());
    // Nor when its file cannot be written.
    host.sh("rm -r /etc/spark-secrets; ln -s /nowhere /etc/spark-secrets");
    let failed = host.run("apply", &["-y", "-v", "-t", tasks, "--junit", &path("failed.xml")]);
    assert_eq!(failed.code, 3, "{failed:?}");
    has_no_canary("a failed apply", &failed.all());
    host.sh("rm /etc/spark-secrets");
    host.converges(tasks);
    // The file, before it is compared away, may be replaced: its old version is not kept.
    host.sh("chmod 644 /etc/spark-secrets/spark");
    host.converges(tasks);
    let history = run(&mut host.operator.program(&["history"]), "");
    let mut words = history.out.split_whitespace();
    let id = words.find(|word| word.starts_with("20") && word.contains("Z-"));
    let id = id.expect("a run in the history");
    for more in [&[][..], &["--inventory"][..]] {
        let words = [&["history", id], more].concat();
        let ran = run(&mut host.operator.program(&words), "");
        assert_eq!(ran.code, 0, "{ran:?}");
        has_no_canary("history", &[history.all(), ran.all()].concat());
    }
    watch.end();
    let shapes = shapes().iter().map(|shape| format!("-e {shape}")).collect::<Vec<_>>().join(" ");
    let found =
        host.sh(&format!("grep -rlas {shapes} /var /run /etc /opt /root /home /tmp | sort"));
    let own = [
        "/etc/mesos-secrets/agent-agent.json",
        "/etc/mesos-secrets/master-agent,spark.json",
        "/etc/spark-secrets/spark",
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), own);
    let modes = host.sh(&format!("stat -c '%a %U' {}", own.join(" ")));
    assert_eq!(modes, "600 root\n600 root\n600 spark\n");
    has_no_canary("the journal", &host.sh("journalctl -q --no-pager"));
    // Plans, logs, JUnit, the copies of records and events: whatever is left on this machine.
    for name in ["plan0.json", "log.txt", "log.json", "junit.xml", "failed.xml"] {
        assert!(host.operator.path(name).exists(), "{name} was not looked into");
    }
    let mut here = Command::new("sh");
    here.args(["-c", &format!("grep -rla {shapes} \"$1\" || :"), "sh"]);
    let here = run(here.arg(host.operator.home.path()), "");
    assert_eq!(here.out, "", "on this machine");
}

#[test]
fn fault_93_a_secret_is_in_no_panic() {
    let values = BTreeMap::from([(SecretRef::Env("TOKEN".to_owned()), CANARY.to_owned())]);
    let (secrets, password) = (Secrets::new(values), Password(CANARY.to_owned()));
    // What a panic has to say of the values that hold secrets, its report included.
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| heard.lock().unwrap().push_str(&info.to_string())));
    let panicked = std::panic::catch_unwind(|| {
        let failing = || -> Result<(), _> { Err((secrets, password)) };
        failing().unwrap();
    });
    std::panic::set_hook(before);
    assert!(panicked.is_err());
    let said = said.lock().unwrap();
    assert!(said.contains("hidden"), "{said}");
    has_no_canary("a panic", &said);
}

#[test]
fn fault_94_a_secret_in_the_inventory_is_refused_and_not_repeated() {
    let host = host();
    host.operator.edit("{ env: TOKEN }", CANARY);
    let ran = host.run("check", &[]);
    ran.said(1, &["inventory.yaml:"]);
    has_no_canary("check", &ran.all());
}

/// Every path below a directory.
fn everything(directory: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(everything(&entry.path()));
        }
        all.insert(entry.path());
    }
    all
}

#[test]
fn fault_95_what_we_leave_on_this_machine_is_nobody_elses() {
    let host = host();
    let before = everything(host.operator.home.path());
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "umask 000; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_provision"),
        "apply",
        "-y",
        "-t",
        TASKS,
    ]);
    shell.arg(host.operator.inventory()).env_remove("SSH_AUTH_SOCK");
    for (name, value) in &host.operator.environment {
        shell.env(name, value);
    }
    run(&mut shell, "").said(0, &[]);
    // Everything that was not there before, and there is something: sockets, the run's events.
    let after = everything(host.operator.home.path());
    let made: Vec<&PathBuf> = after.difference(&before).collect();
    assert!(made.iter().any(|path| path.starts_with(host.operator.path("provision"))), "{made:?}");
    assert!(made.iter().any(|path| path.starts_with(host.operator.path("state"))), "{made:?}");
    for path in made {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        // What is in a directory that only we may enter nobody else can reach, whatever its mode.
        let closed = path.ancestors().skip(1).any(|above| {
            above.starts_with(host.operator.home.path())
                && above != host.operator.home.path()
                && fs::metadata(above).unwrap().permissions().mode() & 0o077 == 0
        });
        assert!(closed || mode & 0o077 == 0, "{path:?} has mode {mode:o}");
    }
    let own = fs::metadata(host.operator.path("provision")).unwrap().permissions().mode() & 0o777;
    assert_eq!(own, 0o700);
    // A directory of somebody else's making is not used.
    host.operator.disconnect();
    fs::set_permissions(host.operator.path("provision"), fs::Permissions::from_mode(0o777))
        .unwrap();
    let within = || everything(&host.operator.path("provision"));
    let before = within();
    let ran = host.run("plan", &["-t", TASKS]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(within(), before, "{ran:?}");
}

#[test]
fn fault_96_nobody_has_to_read_what_we_say() {
    let shell = |host: &Host, line: &str, environment: &[(&str, &str)]| -> Ran {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env_remove("SSH_AUTH_SOCK").env_remove("TERM");
        shell.current_dir(host.operator.home.path()).stdin(Stdio::null());
        for (name, value) in &host.operator.environment {
            shell.env(name, value);
        }
        run(shell.envs(environment.iter().copied()), "")
    };
    let program = env!("CARGO_BIN_EXE_provision");
    let apply = format!("{program} apply -v -y -t {TASKS}");
    let host = host();
    for (line, environment) in [
        (format!("{apply} >&- 2>&-; exit $?"), &[][..]),
        (format!("{apply} >/dev/full 2>/dev/full; exit $?"), &[][..]),
        (format!("{apply} --json 2>&1 | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"), &[][..]),
        (format!("{apply} 2>&1 | true; exit ${{PIPESTATUS[0]}}"), &[][..]),
        (apply.clone(), &[("LANG", "C"), ("LC_ALL", "C"), ("COLUMNS", "20"), ("TERM", "dumb")][..]),
    ] {
        host.sh("rm -rf /opt/spark /opt/spark-3.5.1-*");
        let ran = shell(&host, &line, environment);
        // What nobody could be told is an error of its own; the hosts are right all the same.
        let code = i32::from(line.contains("/dev/full"));
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        host.is_converged(TASKS);
    }
}
