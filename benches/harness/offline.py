"""`check`, `render` and `simulate` as whole processes: wall time, processor time, peak memory.

    offline.py [--runs 5]

The inventory has two pools, a template in every attribute and resource, and workloads. What they print is
thrown away, but written.
"""

import argparse
import statistics
import sys

import measure
import twin

SIZES = [100, 1000, 10000]
COMMANDS = [["check"], ["render"], ["simulate"]]


def main():
    runs = arguments().runs
    results = {"machine": twin.machine(), "rows": []}
    for agents in SIZES:
        path = twin.WORK / f"offline-{agents}.yaml"
        path.write_text(inventory(agents))
        for words in COMMANDS:
            costs = [measure.run([twin.PROVISION, *words, str(path)], lambda: 0.0) for _ in range(runs)]
            failed = next((cost for cost in costs if cost.status != 0), None)
            if failed:
                raise SystemExit(f"{' '.join(words)} of {agents} hosts: {failed.output[-2000:]}")
            row = {"command": " ".join(words), "hosts": agents + 3, "wall": [cost.wall for cost in costs],
                   "here": statistics.median(cost.here for cost in costs),
                   "peak_mib": max(cost.peak_mib for cost in costs)}
            results["rows"].append(row)
            print(f"# {row['command']:9} {row['hosts']:6} hosts {statistics.median(row['wall']):6.3f} s, "
                  f"processor {row['here']:.2f} s, {row['peak_mib']:.0f} MiB", file=sys.stderr)
    twin.save("offline", results)


def inventory(agents):
    """So many agents in two pools, and three masters."""
    hosts, width = "", min(200, agents)
    for block in range(-(-agents // width)):
        first, last = block * width + 1, min((block + 1) * width, agents)
        hosts += (f'  a[{first}:{last}]: {{ address: "10.{1 + block // 200}.{block % 200}.[1:{last - first + 1}]", '
                  f"vars: {{ rack: r{block % 4} }} }}\n")
    half = agents // 2

    def pool(name, first, last, cpus):
        return f"""    {name}:
      hosts: ["a[{first}:{last}]"]
      vars: {{ cpus: {cpus} }}
      attributes: {{ rack: "{{{{ host.vars.rack }}}}", name: "x-{{{{ host.name }}}}", pool: "{{{{ host.pool }}}}", dc: "{{{{ vars.dc }}}}" }}
      resources: {{ cpus: "{{{{ vars.cpus }}}}", mem: "{{{{ vars.cpus * 4 }}}}GB", disk: 100GB, ports: "[31000-32000]" }}
      reserved: {{ etl: {{ cpus: "{{{{ vars.cpus / 2 }}}}", mem: 4GB }} }}
"""

    return f"""version: 1
cluster: bench
vars: {{ dc: seoul }}
hosts:
  m[1:3]: {{ address: "10.0.0.[1:3]" }}
{hosts}zookeeper: {{ servers: {{ m1: 1, m2: 2, m3: 3 }} }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  roles: {{ etl: {{ weight: 2 }}, adhoc: {{ weight: 1 }} }}
  masters: {{ hosts: ["m[1:3]"] }}
  agents:
{pool("small", 1, half, 8)}{pool("large", half + 1, agents, 16)}spark:
  version: 3.5.1
  archive: {{ url: "https://files.example/spark.tgz", sha512: "{"0" * 128}" }}
  defaults: {{ spark.cores.max: 8 }}
  clients: {{ hosts: [m1] }}
workloads:
  nightly: {{ role: etl, executors: {{ cores: 2, memory: 4GB }}, cores_max: 4000, constraints: "rack:r1" }}
  notebook: {{ role: adhoc, executors: {{ cores: 1, memory: 2GB }}, cores_max: 100 }}
"""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
