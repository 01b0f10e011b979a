"""A thousand hosts observed and ten thousand, played by few containers on as many addresses; some dead, some silent.

    scale.py [--hosts 1000] [--bad 50] [--many 10000] [--sshds 4] [--soft-files N]

Both sizes go through the same containers, so that they can be compared. `plan` is used: it only looks, and one
machine has one lock. It is limited to one host, which limits what would be changed and not what is observed:
only that one is also asked the preflight question, whose list of all listening processes is another on a
machine that is a thousand. Dead addresses refuse; black holes accept and never say a word.

What does not fit the machine is left out and said (`--many`), and a run that loses hosts stays in the table with
what it said of them: its time is no time of all of them, so it has no ratio. `provision` is started with the soft
limit on open files that is there (`--soft-files` sets another), and may raise it itself: the hard one is enough.

Needs root here, for routes, the containers' networks and limits of the kernel.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import resource
import socket
import sys
import threading
import time

import measure
import twin

# Documentation's own range would not be routed; these never leave the machine. One /16 for each container.
PREFIXES = [f"10.{number}" for number in range(240, 256)]
# So many as `provision` shakes hands with hosts' own sshds at once: DIRECT in src/remote/handshakes.rs.
AT_ONCE = 64
# What `provision` has open for one host at most: pipes and a socket stay, four were seen, and seven on a busy machine.
FILES_PER_HOST = 8
# Processes for one host, all on this machine: its ssh master, its sshd, its shell and what that is just running.
PROCESSES_PER_HOST = 4
# What is left to others on this machine.
SPARE_MIB = 512
PID_MAX = pathlib.Path("/proc/sys/kernel/pid_max")


def main():
    options = arguments()
    played = Played(options.sshds)
    played.up()
    pids = int(PID_MAX.read_text())
    PID_MAX.write_text(str(max(pids, PROCESSES_PER_HOST * max(options.hosts, options.many) + 10_000)))
    try:
        results = measured(played, options, pids)
    finally:
        PID_MAX.write_text(str(pids))
        measure.stop_masters()
        played.down()
    twin.save("scale", results)


def measured(played, options, pids):
    machine, files, silent = twin.machine(), limits(options), Silent()
    first = sized(played, options.hosts, files)
    bad = played.hosts(options.hosts)
    for number in range(options.bad):
        # Each has an address of its own, for one connection serves all hosts of one address.
        at, dead = f"127.{1 + number % 2}.0.{1 + number}", number % 2
        bad[number].reach = f", ssh: {{ host: {at}, port: {1 if dead else silent.listen(at)} }}"
    first |= {f"with bad {kind}": cost for kind, cost in plan(played, "with bad", bad, files).items()}
    sizes = [first]
    if options.many:
        fits = min(options.many, room(first))
        sizes.append({**sized(played, fits, files), "asked": options.many, "mib_per_host": per_host_mib(first)})
    return {"machine": machine, "sshds": options.sshds, "bad": options.bad, "sizes": sizes,
            "limits": {"soft files": files[0], "hard files": files[1], "pid_max": pids}}


def sized(played, count, files):
    """One size: the floor, and `plan` of hosts that are all well."""
    hosts = played.hosts(count)
    known_hosts().write_text("".join(f"{host.address} {host.key}\n" for host in hosts))
    costs = {"hosts": count, "floor": floor(played, hosts)}
    print(f"# {count} hosts, floor: {costs['floor']}", file=sys.stderr)
    return {**costs, **plan(played, "well", hosts, files)}


def plan(played, name, hosts, files):
    """`plan` cold and warm."""
    path, events = twin.WORK / "scale.yaml", twin.WORK / "events.ndjson"
    path.write_text(inventory(hosts))
    start = [twin.PROVISION, "plan", str(path), "-l", master(hosts), "--log-file", str(events)]
    costs = {}
    for kind in ("cold", "warm"):
        if kind == "cold":
            played.settle()
        events.unlink(missing_ok=True)
        cost = measure.run(start, played.cpu_seconds, env=environment(), files=files, spare_mib=SPARE_MIB)
        costs[kind] = {**told(events), **figures(cost), "hosts_mib": played.memory_mib()}
        print(f"# {len(hosts)} hosts, {name} {kind}: {costs[kind]}", file=sys.stderr)
        if cost.status < 0 or costs[kind]["connected"] == 0:
            raise SystemExit(f"ended with {cost.status} (killed: no memory was left):\n{cost.output[-2000:]}")
    played.settle()
    return costs


def told(events):
    """What the events say of hosts. `observed`, the number, is of those that also answered what they were asked."""
    all_of = collections.defaultdict(list)
    for line in events.read_text().splitlines():
        event = json.loads(line)
        all_of[event["event"]].append(event)
    connected = [event["seconds"] for event in all_of["host_connected"]]
    # One reason for all that it is true of: ports and addresses are each host's own.
    reasons = collections.Counter(re.sub(r"port \d+|\d+\.\d+\.\d+\.\d+", "…", event["reason"])
                                  for event in all_of["host_unreachable"])
    return {"connected": len(connected), "last_connected": max(connected, default=0),
            "observed": len(all_of["observed"]), "unreachable": len(all_of["host_unreachable"]),
            "reasons": dict(reasons.most_common(5))}


def figures(cost):
    masters = measure.members()
    return {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts, "peak_mib": cost.peak_mib,
            "descriptors": cost.descriptors, "printed": cost.output.count("\n"), "status": cost.status,
            "masters": len(masters), "masters_mib": measure.memory_mib(masters)}


def floor(played, hosts):
    """`ssh HOST true` for each host, as many at once as we shake hands at once."""
    played.settle()
    listing = twin.WORK / "scale-hosts"
    listing.write_text("".join(f"{host.address}\n" for host in hosts))
    command = (f"xargs -a {listing} -P {AT_ONCE} -I@ ssh -F /dev/null -S none -i {twin.IDENTITY} "
               f"-o UserKnownHostsFile={known_hosts()} -o BatchMode=yes -l root @ true")
    cost = measure.run(["sh", "-c", command], played.cpu_seconds, env=environment())
    if cost.status != 0:
        raise SystemExit(f"the floor does not reach every host:\n{cost.output[-2000:]}")
    return {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts}


def limits(options):
    """The soft and the hard limit on open files: the soft one is the machine's, and what `provision` makes of it is
    measured too. The hard one is no hindrance."""
    most = int(pathlib.Path("/proc/sys/fs/nr_open").read_text())
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (most if limit == resource.RLIM_INFINITY else limit for limit in found)
    soft = options.soft_files or soft
    return soft, max(soft, hard, FILES_PER_HOST * max(options.hosts, options.many) + 1024)


def room(costs):
    """How many hosts fit the memory that is free, by what each took of the smaller size; a tenth stays free."""
    return int(0.9 * measure.available_mib() / per_host_mib(costs))


def per_host_mib(costs):
    """What masters and sshds hold when the plan is over, for the machine is both ends; shells, and the kernel's share
    of masters, come on top of that."""
    cold = costs["cold"]
    return 1.2 * (cold["masters_mib"] + cold["hosts_mib"]) / cold["connected"]


def inventory(hosts):
    """One pool of them all; its first good host is the master too."""
    lines = "".join(f"  {host.name}: {{ address: {host.address}{host.reach} }}\n" for host in hosts)
    first = master(hosts)
    agents = ", ".join(host.name for host in hosts if host.name != first)
    return f"""version: 1
cluster: scale
ssh:
  user: root
  identity_file: {twin.IDENTITY}
  known_hosts: {known_hosts()}
  config_file: /dev/null
  connect_timeout: 10secs
hosts:
{lines}zookeeper:
  servers: {{ {first}: 1 }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  masters: {{ hosts: [{first}] }}
  agents:
    all:
      hosts: [{agents}]
      resources: {{ cpus: 2, mem: 2GB, disk: 10GB }}
"""


def master(hosts):
    return next(host.name for host in hosts if not host.reach)


def known_hosts():
    return twin.WORK / "scale_known_hosts"


def environment():
    return {**os.environ, "XDG_RUNTIME_DIR": str(twin.WORK / "run"), "NO_COLOR": "1"}


class Host:
    """An address that some container answers on, or does not."""

    def __init__(self, name, address, key):
        self.name, self.address, self.key, self.reach = name, address, key, ""


class Played:
    """Containers that take every address of a range as their own."""

    def __init__(self, sshds):
        self.twin = twin.Twin(0)
        self.twin.names = self.twin.agents = [f"scale{number}" for number in range(1, sshds + 1)]
        self.keys = []

    def up(self):
        self.twin.up()
        self.keys = [line.split(" ", 1)[1] for line in twin.KNOWN_HOSTS.read_text().splitlines()]
        for name, prefix in zip(self.twin.names, PREFIXES):
            pid = twin.sh("docker", "inspect", "-f", "{{.State.Pid}}", f"provision-bench-{name}")
            twin.sh("nsenter", "-t", pid, "-n", "ip", "route", "replace", "local", f"{prefix}.0.0/16", "dev", "lo")
            # By a route and not on the wire: neighbours are the containers alone, so no table of them runs over.
            twin.sh("ip", "route", "replace", f"{prefix}.0.0/16", "via", self.twin.address[name])
            # sshd of one machine sheds connections of many hosts otherwise; the shells need processes.
            self.twin.inside(name, "printf 'MaxStartups 4096\\nUseDNS no\\n' >/etc/ssh/sshd_config.d/05-scale.conf; "
                                   "systemctl set-property --runtime ssh.service TasksMax=infinity; "
                                   "systemctl reload ssh")

    def down(self):
        for name, prefix in zip(self.twin.names, PREFIXES):
            twin.sh("ip", "route", "del", f"{prefix}.0.0/16", check=False)
            twin.sh("docker", "rm", "-f", "-v", f"provision-bench-{name}", check=False)

    def hosts(self, count):
        """So many, dealt out to the containers in turn."""
        width = len(str(count - 1))
        return [self.host(f"h{number:0{width}}", *reversed(divmod(number, len(self.keys)))) for number in range(count)]

    def host(self, name, container, number):
        return Host(name, f"{PREFIXES[container]}.{number // 200}.{1 + number % 200}", self.keys[container])

    def cpu_seconds(self):
        return self.twin.cgroup_seconds()

    def memory_mib(self):
        return sum(twin.memory_mib(*groups) for groups in self.twin.cgroups(self.twin.names))

    def settle(self):
        """Ends all connections; what is measured next begins with none of them at either end."""
        measure.stop_masters()
        for name in self.twin.names:
            # The listener stays, and counts.
            ended = "n=0; while [ $(pgrep -c -x sshd) -gt 1 ] && [ $n -lt 600 ]; do sleep 0.2; n=$((n + 1)); done"
            self.twin.inside(name, ended)


class Silent:
    """A port that takes connections and says nothing, at some addresses: as good as black holes to ssh."""

    def __init__(self):
        self.kept, self.port = [], 0

    def listen(self, at):
        # One port for all of them, as hosts have: what is said of them is the same then.
        server = socket.create_server((at, self.port), backlog=16)
        threading.Thread(target=self.accept, args=(server,), daemon=True).start()
        self.port = server.getsockname()[1]
        return self.port

    def accept(self, server):
        while True:
            self.kept.append(server.accept())


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--bad", type=int, default=50)
    parser.add_argument("--many", type=int, default=10_000, help="0 leaves it out")
    parser.add_argument("--sshds", type=int, default=4, choices=range(1, len(PREFIXES) + 1))
    parser.add_argument("--soft-files", type=int, default=0, help="soft limit on open files to start with")
    return parser.parse_args()


if __name__ == "__main__":
    (twin.WORK / "run").mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    main()
    print(f"# took {time.monotonic() - started:.0f} s", file=sys.stderr)
