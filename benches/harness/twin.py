"""The hosts of the benchmark: containers made as the twin makes a host without Docker, plus python3.

Import `Twin`; everything here is set-up and measuring, nothing is timed in it.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

WORK = pathlib.Path(os.environ["BENCH_WORK"])
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROVISION = os.environ.get("PROVISION", str(ROOT / "target/release/provision"))
NETWORK = "provision-bench"
LABEL = "provision.bench=1"
# What comes on top of the twin's own host. The list of packages is kept, as hosts in use have one: no tool is to
# refresh it in a timed run, however old this image is, so its files are of the future, by each tool's own mark. The
# packages of a first installation are kept too: a mirror's way to us is not what is measured.
RECIPE = """
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
    --no-install-recommends python3 python3-apt && apt-get clean && apt-get install -y -q --download-only \
    --no-install-recommends curl zookeeper openjdk-17-jre-headless && mkdir -p /var/lib/apt/periodic && \
    touch -d 2037-01-01 /var/lib/apt/lists/*Packages* /var/lib/apt/lists /var/lib/apt/periodic/update-success-stamp
# What Debian 12 offers, over the one cheap exchange of the twin: it is what users' hosts have.
RUN echo 'KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org' \
    >/etc/ssh/sshd_config.d/00-bench.conf
"""
IMAGE = f"provision-bench/host:{hashlib.sha256(RECIPE.encode()).hexdigest()[:12]}"
IDENTITY = WORK / "id_ed25519"
KNOWN_HOSTS = WORK / "known_hosts"
SSH_CONFIG = WORK / "ssh_config"


def sh(*words, stdin=None, check=True):
    """Output of a command; its own stderr is the message when it fails."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(words[:6])} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


class Twin:
    """Containers m1 (ZooKeeper and master) and a01…aNN (agents)."""

    def __init__(self, agents):
        self.agents = [f"a{n:02}" for n in range(1, agents + 1)]
        self.names = ["m1", *self.agents]
        self.address = {}

    def up(self):
        WORK.mkdir(parents=True, exist_ok=True)
        image()
        if not IDENTITY.exists():
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(IDENTITY))
        if not sh("docker", "network", "ls", "-q", "-f", f"name=^{NETWORK}$"):
            sh("docker", "network", "create", "--label", LABEL, NETWORK)
        with ThreadPoolExecutor(4) as pool:
            keys = list(pool.map(self.start, self.names))
        KNOWN_HOSTS.write_text("".join(keys))

    def start(self, name):
        container = f"provision-bench-{name}"
        if not sh("docker", "ps", "-aq", "-f", f"name=^{container}$"):
            # The flags of src/lab/container.rs for a host without an engine of its own.
            sh("docker", "run", "--detach", "--name", container, "--hostname", name,
               "--network", NETWORK, "--label", LABEL, "--tmpfs", "/run", "--tmpfs", "/run/lock",
               "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
               "--env", "TWIN_DNS=" + name_servers(), IMAGE)
        for _ in range(600):
            told = self.inside(name, "systemctl is-system-running 2>&1; :", check=False)
            if told in ("running", "degraded"):
                break
            time.sleep(0.2)
        else:
            raise SystemExit(f"{name} does not boot: {told}")
        key = IDENTITY.with_suffix(".pub").read_text()
        sh("docker", "exec", "-i", container, "sh", "-c",
           "umask 077; cat >/root/.ssh/authorized_keys", stdin=key)
        self.address[name] = sh("docker", "inspect", "-f",
                                "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
        host_key = self.inside(name, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
        return f"{name},{self.address[name]} {host_key}\n"

    def down(self):
        found = sh("docker", "ps", "-aq", "-f", f"label={LABEL}").split()
        if found:
            sh("docker", "rm", "-f", "-v", *found)
        sh("docker", "network", "rm", NETWORK, check=False)

    def inside(self, name, script, check=True):
        return sh("docker", "exec", f"provision-bench-{name}", "sh", "-c", script, check=check)

    def cgroup_seconds(self):
        """Processor time of all agents' containers since they were made."""
        return sum(cpu_seconds(*groups) for groups in self.cgroups(self.agents))

    def cgroups(self, names):
        """Of each of these hosts the names that its cgroup may have: v1's, and systemd's with v2."""
        ids = sh("docker", "inspect", "-f", "{{.Id}}", *(f"provision-bench-{name}" for name in names)).split()
        return [(f"docker/{one}", f"system.slice/docker-{one}.scope") for one in ids]

    def last_pid(self, name):
        """The last process id given out in a host: forks (and threads) are differences of it."""
        return int(self.inside(name, "read -r l </proc/loadavg; echo ${l##* }"))


def cpu_seconds(*names):
    """Processor time of a cgroup: v1's cpuacct, or v2."""
    for name in names:
        v1 = pathlib.Path("/sys/fs/cgroup/cpuacct", name, "cpuacct.usage")
        v2 = pathlib.Path("/sys/fs/cgroup", name, "cpu.stat")
        if v1.exists():
            return int(v1.read_text()) / 1e9
        if v2.exists():
            return int(v2.read_text().split()[1]) / 1e6
    raise SystemExit(f"there is no cgroup {names}")


def memory_mib(*names):
    """Memory of a cgroup, the kernel's for it included."""
    for name in names:
        v1 = pathlib.Path("/sys/fs/cgroup/memory", name, "memory.usage_in_bytes")
        v2 = pathlib.Path("/sys/fs/cgroup", name, "memory.current")
        for path in (v1, v2):
            if path.exists():
                return int(path.read_text()) / (1 << 20)
    raise SystemExit(f"there is no cgroup {names}")


def name_servers():
    lines = pathlib.Path("/etc/resolv.conf").read_text().splitlines()
    words = [line.split()[1] for line in lines if line.startswith("nameserver ")]
    return " ".join(word for word in words if not word.startswith("127."))


def image():
    """The twin's own host image with python3 on it: `provision lab up` makes the first part."""
    if sh("docker", "images", "-q", IMAGE):
        return
    seed = WORK / "seed.yaml"
    seed.write_text((ROOT / "inventories/single-host.yaml").read_text().split("spark:")[0]
                    .replace("cluster: single", "cluster: benchseed")
                    .replace("{ deb: ./mesos_1.11.0_amd64.deb }", "{ preinstalled: true }"))
    sh(PROVISION, "lab", "up", str(seed))
    base = sh("docker", "inspect", "-f", "{{.Config.Image}}", "provision-lab-benchseed-box1")
    sh(PROVISION, "lab", "down", str(seed))
    sh("docker", "build", "-q", "-t", IMAGE, "-", stdin=f"FROM {base}{RECIPE}")


def archive(path):
    """As large as a real Spark, for its digest and its way to hosts are part of the work. It unpacks at once: a tar of
    one file, and zeros behind its end, which tar does not read and ssh does not compress."""
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("spark-3.5.1-bin-hadoop3/bin/spark-submit"))
    os.truncate(path, 400 << 20)


def inventory(twin, path, agents=None, deb=None, archive=None, clients=()):
    """The benchmark's inventory: what a user would write, with a large archive whose digest counts. `clients` get it as
    Spark's own."""
    agents = agents or twin.agents
    hosts = "".join(f"  {name}: {{ address: {twin.address[name]}, vars: {{ rack: r{1 + index % 2} }} }}\n"
                    for index, name in enumerate(["m1", *agents]))
    pathlib.Path(path).write_text(f"""version: 1
cluster: bench
ssh: {{ user: root, identity_file: {IDENTITY}, known_hosts: {KNOWN_HOSTS}, config_file: {SSH_CONFIG} }}
hosts:
{hosts}zookeeper:
  servers: {{ m1: 1 }}
mesos:
  version: 1.11.0
  package: {{ deb: {deb} }}
  roles: {{ etl: {{ weight: 2 }}, adhoc: {{ weight: 1 }} }}
  masters: {{ hosts: [m1] }}
  agents:
    compute:
      hosts: [{", ".join(agents)}]
      attributes: {{ rack: "{{{{ host.vars.rack }}}}", os: debian-12 }}
      resources: {{ cpus: 2, mem: 3GB, disk: 10GB, ports: "[31000-32000]" }}
      reserved: {{ etl: {{ cpus: 1, mem: 1GB }} }}
      # Containers as hosts, and no Docker in them: what the twin sets, and one containerizer less.
      flags: {{ launcher: posix, systemd_enable_support: false, containerizers: mesos }}
      batch: 100%
docker: {{ images: [ {{ archive: {archive} }} ] }}
{spark(archive, clients)}""")


def spark(archive, clients):
    if not clients:
        return ""
    return f"""spark:
  version: 3.5.1
  archive: {{ path: {archive} }}
  clients: {{ hosts: [{", ".join(clients)}] }}
  defaults: {{ spark.cores.max: 2 }}
allow: {{ no-docker-containerizer: "nothing runs here; the benchmark's hosts have no engine" }}
"""


def machine():
    """What the figures were taken on."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) // (1 << 20)
    load = open("/proc/loadavg").read().split()[0]
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.split(",")[0]
    return (f"{os.cpu_count()} cores of {model}, {memory} GiB, Linux {os.uname().release}, {ssh}, "
            f"load {load} at the start, {time.strftime('%Y-%m-%d')}")


def save(name, value):
    (WORK / f"{name}.json").write_text(json.dumps(value, indent=1))
