//! The image that all hosts of these tests are made from.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use provision::internals::{self as lab, Debian, TwinSpec};
use tempfile::TempDir;

use super::run;

/// The network of all hosts.
pub(super) const NETWORK: &str = "provision-faults";

/// What is in the image beside a bare host: what the tasks install, nothing of what they configure. Without
/// Mesos' library nothing runs through it: these hosts have no Spark to run.
const RECIPE: &str = "RUN apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
        curl e2fsprogs openjdk-17-jre-headless python3 zookeeper
COPY mesos.deb /root/mesos.deb
RUN dpkg -i /root/mesos.deb && rm /usr/lib/libmesos* && systemctl disable -q mesos-master mesos-slave
";

/// The image of all hosts, made where it is missing. Tests of other processes wait for it.
pub(super) fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = root.join(".cache");
        fs::create_dir_all(&cache).unwrap();
        let lock = File::create(cache.join("faults.lock")).unwrap();
        lock.lock().unwrap();
        if !is_there(&["network", "inspect", NETWORK]) {
            docker(&["network", "create", "--subnet", "10.214.0.0/16", NETWORK]);
        }
        let deb = cache.join("mesos-standin.deb");
        if !deb.exists() {
            let mut build = Command::new("sh");
            build.current_dir(root).arg("tests/standin/build-deb.sh").arg(&deb);
            let ran = run(&mut build, "");
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        let mut hash = DefaultHasher::new();
        RECIPE.hash(&mut hash);
        let mut files: Vec<PathBuf> = fs::read_dir(root.join("Dockerfiles/lab-host"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.push(deb.clone());
        for file in files {
            fs::read(file).unwrap().hash(&mut hash);
        }
        let tag = format!("provision-faults/host:{:016x}", hash.finish());
        if !is_there(&["image", "inspect", &tag]) {
            build_image(&tag, &deb);
        }
        tag
    })
}

fn build_image(tag: &str, deb: &Path) {
    // The library's own way to a bare host.
    let spec = TwinSpec {
        cluster: "faults".to_owned(),
        hosts: Vec::new(),
        debian: None,
        image: None,
        spark_base: Debian::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = runtime.block_on(lab::image(&spec, &mut |_| ()));
    let base = base.expect("a bare host (without an engine run tests/assets/engine.sh first)");
    let context = TempDir::new().unwrap();
    fs::copy(deb, context.path().join("mesos.deb")).unwrap();
    let dockerfile = format!("FROM {base}\n{RECIPE}");
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    docker(&["build", "-q", "-t", tag, context.path().to_str().unwrap()]);
}

fn is_there(words: &[&str]) -> bool {
    run(Command::new("docker").args(words), "").code == 0
}

pub(super) fn docker(words: &[&str]) -> String {
    let ran = run(Command::new("docker").args(words), "");
    assert_eq!(ran.code, 0, "docker {words:?}: {ran:?}");
    ran.out
}
