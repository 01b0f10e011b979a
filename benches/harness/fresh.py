"""A whole cluster on fresh hosts: where its time goes, and how long `scp` takes for the same large files.

    fresh.py [--hosts 20] [--rounds 3]

What an agent is sent for its Spark image it is sent as a client's Spark here, for the hosts have no engine. Each round
begins with new hosts, a copy by `scp` to all of them at once, and the installation; then the archive is taken away and
sent again, with nothing else to do, from here and then from host to host (`seed: host`). Before the first there is also
a plan, to see how much of it somebody would have to read. The packages are on the hosts already, as from a mirror next door.

Run through benches/run.sh, which prepares what is needed and sets BENCH_WORK.
"""

import argparse
import json
import sys

import measure
import timeline
import twin
from converge import ARCHIVE, CLUSTER, DEB, SSH, Start, Tools

TASKS = f"{CLUSTER},spark"


def main():
    options = arguments()
    hosts = twin.Twin(options.hosts)
    twin.SSH_CONFIG.write_text("")
    twin.archive(ARCHIVE)
    results = {"machine": twin.machine(), "hosts": options.hosts, "printed": None, "rounds": []}
    tools = Tools(hosts)
    for _ in range(options.rounds):
        measure.stop_masters()
        hosts.down()
        hosts.up()
        tools.write(hosts.agents, clients=hosts.agents)
        if results["printed"] is None:
            plan = [twin.PROVISION, "plan", str(twin.WORK / "inventory.yaml"), "-t", TASKS]
            results["printed"] = succeeded(Start(plan, tools.env), hosts).output.count("\n")
            measure.stop_masters()
        one = {"scp": copied(tools, hosts), "provision": installed(tools, hosts), "again": sent_again(tools, hosts),
               "seeded": sent_again(tools, hosts, "-e", "seed=host")}
        results["rounds"].append(one)
        print(f"# scp {one['scp']['wall']:7.2f} s; provision {one['provision']['wall']:7.2f} s, of which sending "
              f"{one['provision']['sending']:7.2f} s, and alone {one['again']['sending']:7.2f} s, from host to host "
              f"{one['seeded']['sending']:7.2f} s", file=sys.stderr)
    measure.stop_masters()
    twin.save("fresh", results)


def copied(tools, hosts):
    """What `provision` sends to agents, by one `scp` for each of them, all at once."""
    scp = " ".join(["scp", "-q", *SSH[:SSH.index("-l")]])
    each = "".join(f'{scp} {DEB} {ARCHIVE} root@{hosts.address[name]}:/var/tmp/ & all="$all $!"; '
                   for name in hosts.agents)
    cost = succeeded(Start(["sh", "-c", f"{each}for one in $all; do wait $one || exit 1; done"], tools.env), hosts)
    for name in hosts.agents:
        hosts.inside(name, f"rm -f /var/tmp/{DEB.name} /var/tmp/{ARCHIVE.name}")
    return {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts}


def installed(tools, hosts):
    """The whole installation, and where its time went."""
    cost, events, done = applied(tools, hosts, TASKS)
    own = timeline.own_work(events)
    slowest = max(own, key=own.get)
    return {**cost, "table": timeline.table(done), "covered": timeline.covered(done), "own_host": slowest,
            "own": own[slowest], "own_sent": sum(span.seconds for span in transfers(done) if span.host == slowest)}


def sent_again(tools, hosts, *more):
    """The archive alone, to hosts that have everything else."""
    for name in hosts.agents:
        hosts.inside(name, "rm -rf /opt/spark-* /var/lib/provision/cache/*")
    return applied(tools, hosts, "spark", *more)[0]


def applied(tools, hosts, tasks, *more):
    """`apply`: what it cost, its events, and what they say was done."""
    cost = succeeded(tools.provision(tasks, "--json", *more), hosts)
    # Warnings about the inventory stand among them.
    events = [json.loads(line) for line in cost.output.splitlines() if line.startswith("{")]
    done = timeline.spans(events, timeline.scripts(hosts, events[0]["run"]))
    return {"wall": cost.wall, "here": cost.here, "hosts": cost.hosts,
            "sending": timeline.covered(transfers(done))}, events, done


def transfers(done):
    return [span for span in done if span.work == "transfer"]


def succeeded(start, hosts):
    """A run that must not fail; the master's processor time counts too."""
    def seconds():
        return sum(twin.cpu_seconds(*groups) for groups in hosts.cgroups(hosts.names))

    cost = measure.run(start.words, seconds, env=start.env)
    if cost.status != 0:
        raise SystemExit(f"{' '.join(start.words)[:200]} ended with {cost.status}:\n{cost.output[-4000:]}")
    return cost


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=20, help="agents; a master comes on top")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
