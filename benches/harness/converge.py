"""The same state on the same hosts by provision, pyinfra and Ansible, beside parallel `ssh HOST true`.

    converge.py [--agents 20] [--rounds 5] [--slow-rounds 2] [--first-hosts 20]

A second series has clients ask for curve25519, a seventh of the default exchange's processor time:
the smaller the floor, the more a probe weighs against it. Where a first run's time goes is in fresh.py.

Run through benches/run.sh, which prepares what is needed and sets BENCH_WORK.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import statistics
import sys

import measure
import twin
from proxy import Proxy

PEERS = pathlib.Path(__file__).resolve().parents[1] / "peers"
WORK = twin.WORK
BIN = WORK / "venv/bin"
DEB = WORK / "mesos.deb"
ARCHIVE = WORK / "spark-3.5.1-bin-hadoop3.tgz"
SSH = ["-F", str(twin.SSH_CONFIG), "-i", str(twin.IDENTITY), "-o", f"UserKnownHostsFile={twin.KNOWN_HOSTS}",
       "-o", "BatchMode=yes", "-l", "root"]
# What an agent host needs but for Docker and its images, which need an engine in the container.
TASKS = "base,agents"
# The same, with what it needs of others.
CLUSTER = "base,zookeeper,masters,weights,agents"
# Seconds of round trip that the proxy adds: enough to stand out of the noise of one run.
DELAY = 0.2


def main():
    options = arguments()
    hosts = twin.Twin(options.agents)
    hosts.up()
    twin.SSH_CONFIG.write_text("")
    twin.archive(ARCHIVE)
    tools = Tools(hosts)
    about = {"machine": twin.machine(), "versions": versions(), "agents": options.agents,
             "first_hosts": options.first_hosts}
    print("# setting up:", about["machine"], file=sys.stderr)
    tools.write(hosts.agents)
    done = tools.provision(CLUSTER)
    done = measure.run(done.words, hosts.cgroup_seconds, env=done.env)
    if done.status != 0:
        raise SystemExit(f"provision does not set the hosts up:\n{done.output[-3000:]}")
    measure.stop_masters()
    rounds = converged(tools, hosts, options)
    twin.SSH_CONFIG.write_text("KexAlgorithms curve25519-sha256\n")
    cheap = converged(tools, hosts, options, peers=[])
    twin.SSH_CONFIG.write_text("")
    counts = counted(tools, hosts)
    first = first_run(tools, hosts, options.first_hosts) if options.first_hosts else {}
    twin.save("converge", {"about": about, "rounds": rounds, "cheap": cheap, "counts": counts, "first": first})


class Tools:
    """How each tool is started."""

    def __init__(self, hosts):
        self.hosts = hosts
        (WORK / "run").mkdir(exist_ok=True)
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(WORK / "run"), "XDG_CACHE_HOME": str(WORK / "cache"),
                    "NO_COLOR": "1", "ANSIBLE_CONFIG": str(PEERS / "ansible.cfg"),
                    "ANSIBLE_SSH_CONTROL_PATH_DIR": str(WORK / "run"), "ANSIBLE_HOME": str(WORK / "ansible"),
                    "ANSIBLE_INTERPRETER_PYTHON": "/usr/bin/python3", "LC_ALL": "C.UTF-8"}

    def write(self, agents, through=None, clients=()):
        """Inventories of all three for these agents; `through` reaches the first by a port here."""
        known = twin.KNOWN_HOSTS
        twin.inventory(self.hosts, WORK / "inventory.yaml", agents, DEB, ARCHIVE, clients)
        reach = {name: (self.hosts.address[name], 22) for name in agents}
        if through:
            key = next(line for line in known.read_text().splitlines() if line.startswith(agents[0]))
            with known.open("a") as file:
                file.write(f"[127.0.0.1]:{through} {key.split(' ', 1)[1]}\n")
            reach[agents[0]] = ("127.0.0.1", through)
            text = (WORK / "inventory.yaml").read_text()
            line = f"address: {self.hosts.address[agents[0]]},"
            text = text.replace(line, f"{line} ssh: {{ host: 127.0.0.1, port: {through} }},")
            (WORK / "inventory.yaml").write_text(text)
        self.reach = {"m1": (self.hosts.address["m1"], 22), **reach}
        common = {"zk_url": f"zk://{self.hosts.address['m1']}:2181/mesos", "mesos_deb": str(DEB)}
        per_host = {name: {"address": self.hosts.address[name], "rack": rack(index)}
                    for index, name in enumerate(agents, 1)}
        ansible = {"all": {"vars": {**common, "ansible_user": "root",
                                    "ansible_ssh_private_key_file": str(twin.IDENTITY),
                                    "ansible_ssh_common_args": f"-F {twin.SSH_CONFIG} -o UserKnownHostsFile={known}"},
                           "hosts": {name: {"ansible_host": reach[name][0], "ansible_port": reach[name][1],
                                            **values} for name, values in per_host.items()}}}
        (WORK / "ansible.json").write_text(json.dumps(ansible, indent=1))
        lines = [(name, {"ssh_hostname": reach[name][0], "ssh_port": reach[name][1], **values})
                 for name, values in per_host.items()]
        shared = {**common, "ssh_user": "root", "ssh_key": str(twin.IDENTITY),
                  "ssh_known_hosts_file": str(known), "ssh_config_file": "/dev/null"}
        (WORK / "pyinfra_inventory.py").write_text(f"agents = ({lines!r}, {shared!r})\n")

    def provision(self, tasks=TASKS, *more):
        return Start([twin.PROVISION, "apply", str(WORK / "inventory.yaml"), "-t", tasks, "-y", *more], self.env)

    def pyinfra(self):
        return Start([str(BIN / "pyinfra"), "-y", str(WORK / "pyinfra_inventory.py"),
                      str(PEERS / "pyinfra_deploy.py")], self.env)

    def ansible(self):
        return Start([str(BIN / "ansible-playbook"), "-i", str(WORK / "ansible.json"),
                      str(PEERS / "playbook.yml")], self.env)

    def floor(self):
        ssh = " ".join(["ssh", *SSH, "-S", "none"])
        each = "".join(f"{ssh} -p {port} {at} true & " for at, port in self.reach.values())
        return Start(["sh", "-c", f"{each}wait"], self.env)


class Start:
    """Words and environment of a command."""

    def __init__(self, words, env):
        self.words, self.env = words, env


def rack(index):
    return f"r{1 + index % 2}"


def converged(tools, hosts, options, peers=("pyinfra", "ansible")):
    """Interleaved rounds; every run must say that nothing changed."""
    rounds = collections.defaultdict(list)
    # A peer's first run brings what only it needs, such as the package's copy on the host.
    for peer in peers:
        start = getattr(tools, peer)()
        measure.run(start.words, hosts.cgroup_seconds, env=start.env)

    def take(name, start):
        cost = measure.run(start.words, hosts.cgroup_seconds, env=start.env)
        unchanged(name, cost)
        rounds[name].append({"wall": cost.wall, "here": cost.here, "hosts": cost.hosts,
                             "peak_mib": cost.peak_mib})
        print(f"# {name:16} {cost.wall:7.2f} s, processor {cost.here:6.2f} + {cost.hosts:6.2f} s",
              file=sys.stderr)

    for number in range(options.rounds):
        measure.stop_masters()
        take("floor", tools.floor())
        take("provision cold", tools.provision())
        if number == 0:
            left = measure.members()
            rounds["masters"] = {"count": len(left), "mib": measure.memory_mib(left)}
        take("provision warm", tools.provision())
        measure.stop_masters()
        take("floor", tools.floor())
        if "pyinfra" in peers:
            take("pyinfra", tools.pyinfra())
        if "ansible" in peers and number < options.slow_rounds:
            measure.stop_masters()
            take("ansible cold", tools.ansible())
            take("ansible warm", tools.ansible())
    measure.stop_masters()
    return rounds


def unchanged(name, cost):
    """A converged run that changed something, or failed, measures something else."""
    tool = name.split()[0]
    good = cost.status == 0
    if tool == "provision":
        good &= "No changes." in cost.output
    if tool == "ansible":
        good &= all(int(n) == 0 for n in re.findall(r"changed=(\d+)", cost.output))
    if tool == "pyinfra":
        good &= changes_of_pyinfra(cost.output) == 0
    if not good:
        raise SystemExit(f"{name}: not converged, or failed:\n{cost.output[-4000:]}")


def changes_of_pyinfra(text):
    """The sum of its table's column `Success`."""
    rows = [line for line in text.splitlines() if line.strip().startswith("Grand total")]
    words = rows[-1].split() if rows else []
    # Grand total | Hosts | Success | Error | No Change
    return 0 if len(words) >= 4 and words[3] == "-" else 1


def counted(tools, hosts):
    """Forks on one host, and round trips, of one converged run of each."""
    counts = {}
    commands = {"floor": tools.floor, "provision cold": tools.provision, "provision warm": tools.provision,
                "pyinfra": tools.pyinfra, "ansible cold": tools.ansible, "ansible warm": tools.ansible}
    probe = hosts.agents[0]
    tools.write([probe])
    measure.stop_masters()
    for name, make in commands.items():
        if not name.endswith("warm"):
            measure.stop_masters()
        base = quiet_forks(hosts, probe)
        before = hosts.last_pid(probe)
        start = make()
        measure.run(start.words, lambda: 0.0, env=start.env)
        counts[name] = {"forks": hosts.last_pid(probe) - before - base}
    proxy = Proxy(hosts.address[probe])
    tools.write([probe], through=proxy.port)
    for name, make in commands.items():
        walls = {}
        proxy.rtt = 0.0
        measure.stop_masters()
        if name.endswith("warm"):
            start = make()
            measure.run(start.words, lambda: 0.0, env=start.env)
        # Ansible's trips are many, and a run long: once is exact enough.
        for rtt in [0.0, DELAY] * (1 if name.startswith("ansible") else 2):
            proxy.rtt = rtt
            if not name.endswith("warm"):
                measure.stop_masters()
            start = make()
            cost = measure.run(start.words, lambda: 0.0, env=start.env)
            walls[rtt] = min(walls.get(rtt, 1e9), cost.wall)
        measure.stop_masters()
        counts[name]["trips"] = (walls[DELAY] - walls[0.0]) / DELAY
        print(f"# {name:16} {counts[name]}", file=sys.stderr)
    return counts


def quiet_forks(hosts, name):
    """What asking itself, and an idle host, add between two questions."""
    readings = [hosts.last_pid(name) for _ in range(5)]
    return statistics.median(b - a for a, b in zip(readings, readings[1:]))


def first_run(tools, hosts, count):
    """Fresh hosts for each; provision's run also waits until the agents serve."""
    first = {}
    names = hosts.agents[-count:]
    for tool, make in [("provision", tools.provision), ("pyinfra", tools.pyinfra), ("ansible", tools.ansible)]:
        renew(hosts, names)
        tools.write(names)
        start = make()
        cost = measure.run(start.words, hosts.cgroup_seconds, env=start.env)
        if cost.status != 0:
            raise SystemExit(f"{tool}: first run failed:\n{cost.output[-4000:]}")
        first[tool] = {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts}
        print(f"# first run, {tool:10} {cost.wall:7.2f} s", file=sys.stderr)
    measure.stop_masters()
    return first


def renew(hosts, names):
    """Other hosts by these names, that have nothing."""
    measure.stop_masters()
    twin.sh("docker", "rm", "-f", "-v", *(f"provision-bench-{name}" for name in names))
    hosts.up()


def versions():
    lines = twin.sh(str(BIN / "pip"), "list", "--format=freeze").splitlines()
    peers = [line for line in lines if line.lower().startswith(("pyinfra=", "ansible-core=", "paramiko="))]
    return [twin.sh(twin.PROVISION, "--version"), *peers]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=2)
    parser.add_argument("--first-hosts", type=int, default=20, help="fresh hosts of first runs")
    return parser.parse_args()


if __name__ == "__main__":
    shutil.which("ssh") or sys.exit("there is no ssh")
    main()
