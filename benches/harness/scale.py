"""A thousand hosts observed, played by one container on a thousand addresses; some dead, some silent.

    scale.py [--hosts 1000] [--bad 50]

Dead addresses refuse; black holes accept and never say a word. `plan` is used: it only looks, and one
machine has one lock. It is limited to one host, which limits what would be changed and not what is observed:
only that one is also asked the preflight question, whose list of all listening processes is another on a
machine that is a thousand. Needs root here, for routes and the container's network.
"""

import argparse
import json
import os
import pathlib
import socket
import sys
import threading
import time

import measure
import twin

HOST = "scale"
# Documentation's own range would not be routed; these never leave the machine.
PREFIX = "10.250"


def main():
    options = arguments()
    host = twin.Twin(0)
    host.names = [HOST]
    host.up()
    address = host.address[HOST]
    pid = twin.sh("docker", "inspect", "-f", "{{.State.Pid}}", f"provision-bench-{HOST}")
    # The container takes every address of the range as its own.
    twin.sh("nsenter", "-t", pid, "-n", "ip", "route", "replace", "local", f"{PREFIX}.0.0/16", "dev", "lo")
    twin.sh("ip", "route", "replace", f"{PREFIX}.0.0/16", "via", address)
    # sshd of one machine sheds connections of many hosts otherwise; the shells need processes.
    host.inside(HOST, "printf 'MaxStartups 4096\\nUseDNS no\\n' >/etc/ssh/sshd_config.d/05-scale.conf; "
                      "systemctl set-property --runtime ssh.service TasksMax=infinity; systemctl reload ssh")
    bad, good = options.bad, options.hosts - options.bad
    silent = Silent()
    key = twin.KNOWN_HOSTS.read_text().split(" ", 1)[1].strip()
    lines = []
    for number in range(options.hosts):
        at = f"{PREFIX}.{1 + number // 200}.{1 + number % 200}"
        if number < bad // 2:
            reach = f", ssh: {{ host: 127.1.0.{1 + number}, port: {silent.listen(f'127.1.0.{1 + number}')} }}"
        elif number < bad:
            reach = f", ssh: {{ host: 127.2.0.{1 + number}, port: 1 }}"
        else:
            reach = ""
        lines.append((f"h{number:04}", at, reach))
    known = twin.WORK / "scale_known_hosts"
    known.write_text("".join(f"{at} {key}\n" for _, at, _ in lines))
    results = {"machine": twin.machine()}
    env = {**os.environ, "XDG_RUNTIME_DIR": str(twin.WORK / "run"), "NO_COLOR": "1"}

    def hosts_seconds():
        one = twin.sh("docker", "inspect", "-f", "{{.Id}}", f"provision-bench-{HOST}")
        return twin.cpu_seconds(f"docker/{one}", f"system.slice/docker-{one}.scope")

    def look(name, chosen):
        path = twin.WORK / f"scale-{name}.yaml"
        path.write_text(inventory(chosen, known))
        events = twin.WORK / "events.ndjson"
        start = [twin.PROVISION, "plan", str(path), "-l", master(chosen), "--log-file", str(events)]
        for kind in ("cold", "warm"):
            if kind == "cold":
                measure.stop_masters()
            events.unlink(missing_ok=True)
            cost = measure.run(start, hosts_seconds, env=env)
            told = [json.loads(line) for line in events.read_text().splitlines()]
            connected = [event["seconds"] for event in told if event["event"] == "host_connected"]
            unreachable = [event["reason"] for event in told if event["event"] == "host_unreachable"]
            masters = measure.members()
            results[f"{name} {kind}"] = {
                "wall": cost.wall, "here": cost.here, "hosts": cost.hosts, "peak_mib": cost.peak_mib,
                "connected": len(connected), "unreachable": len(unreachable),
                "last_connected": max(connected, default=0), "status": cost.status,
                "masters": len(masters), "masters_mib": measure.memory_mib(masters)}
            print(f"# {name} {kind}: {results[f'{name} {kind}']}", file=sys.stderr)
            if len(connected) == 0:
                raise SystemExit(cost.output[-2000:])
        measure.stop_masters()

    healthy = [line for line in lines if not line[2]]
    look("healthy", healthy)
    look("with bad", lines)
    results["floor"] = floor(healthy, known, hosts_seconds, env)
    print(f"# floor: {results['floor']}", file=sys.stderr)
    assert len(healthy) == good
    results["hosts"], results["bad"] = options.hosts, bad
    twin.save("scale", results)
    twin.sh("ip", "route", "del", f"{PREFIX}.0.0/16", check=False)
    twin.sh("docker", "rm", "-f", "-v", f"provision-bench-{HOST}")


def floor(healthy, known, hosts_seconds, env):
    """`ssh HOST true` for each healthy host, as many at once as we shake hands at once."""
    measure.stop_masters()
    listing = twin.WORK / "scale-hosts"
    listing.write_text("\n".join(at for _, at, _ in healthy) + "\n")
    command = (f"xargs -a {listing} -P 8 -I@ ssh -F /dev/null -S none -i {twin.IDENTITY} "
               f"-o UserKnownHostsFile={known} -o BatchMode=yes -l root @ true")
    cost = measure.run(["sh", "-c", command], hosts_seconds, env=env)
    return {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts, "status": cost.status}


def inventory(lines, known):
    """One pool of them all; its first good host is the master too."""
    hosts = "".join(f"  {name}: {{ address: {at}{reach} }}\n" for name, at, reach in lines)
    first = master(lines)
    agents = ", ".join(name for name, _, _ in lines if name != first)
    return f"""version: 1
cluster: scale
ssh: {{ user: root, identity_file: {twin.IDENTITY}, known_hosts: {known}, config_file: /dev/null, connect_timeout: 10secs }}
hosts:
{hosts}zookeeper:
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


def master(lines):
    return next(name for name, _, reach in lines if not reach)


class Silent:
    """Ports that take connections and say nothing: as good as black holes to ssh. Each has an address
    of its own, for one connection serves all hosts of one address."""

    def __init__(self):
        self.kept = []

    def listen(self, at):
        server = socket.create_server((at, 0), backlog=16)
        threading.Thread(target=self.accept, args=(server,), daemon=True).start()
        return server.getsockname()[1]

    def accept(self, server):
        while True:
            self.kept.append(server.accept())


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--bad", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    pathlib.Path(twin.WORK / "run").mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    main()
    print(f"# took {time.monotonic() - started:.0f} s", file=sys.stderr)
