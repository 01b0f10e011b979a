"""Writes measured figures between the marks of docs/benchmarks.md, and names what became worse.

    report.py DOCUMENT CRITERION_DIRECTORY
"""

import json
import pathlib
import re
import statistics
import sys

import figures
import measure
import timeline
import twin

PEERS = ["provision cold", "provision warm", "pyinfra", "ansible cold", "ansible warm"]


def main():
    document, criterion = map(pathlib.Path, sys.argv[1:3])
    text = document.read_text()
    parts = {}
    for part, write in [("converge", converge), ("fresh", fresh), ("scale", scale), ("offline", offline)]:
        path = twin.WORK / f"{part}.json"
        if path.exists():
            parts[part] = json.loads(path.read_text())
            text = put(text, part, write(parts[part]))
    now = figures.of(parts)
    changed = figures.compared(now)
    if changed is not None:
        print("\n".join(changed or ["no figure is beyond the committed one's noise"]))
        text = put(text, "compared", "\n".join(changed or ["Nothing beyond noise."]) + "\n")
    figures.commit(now)
    if criterion.is_dir():
        text = put(text, "core", core(criterion))
    document.write_text(text)


def put(text, part, body):
    """Replaces what stands between a part's marks."""
    begin, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
    head, rest = text.split(begin)
    return head + begin + body + end + rest.split(end, 1)[1]


def converge(results):
    about, rounds, counts = results["about"], results["rounds"], results["counts"]
    floor = middle(rounds["floor"], "wall")
    ours = {kind: middle(rounds[f"provision {kind}"], "wall") for kind in ("cold", "warm")}
    lines = [f"Machine: {about['machine']}.  ",
             f"Versions: {', '.join(about['versions'])}. {about['agents']} agents.", "",
             "| | wall s, median (min–max) | × floor | × `provision` | processor s here | on the hosts | "
             "together × floor | peak MiB | forks per host | round trips |",
             "|---|---|---|---|---|---|---|---|---|---|",
             row("floor: `ssh HOST true`", rounds["floor"], floor, None, rounds, counts.get("floor"))]
    for name in PEERS:
        if rounds.get(name):
            against = ours["warm" if name.endswith("warm") else "cold"]
            lines.append(row(name.replace("provision", "**provision**"), rounds[name], floor, against,
                             rounds, counts.get(name)))
    named = figures.of({"converge": results})
    lines += ["", "Side by side in each round: " + "; ".join(
        f"{name.removeprefix('converged: ')} {figures.shown(value)}" for name, value in named.items()
        if "÷ provision" in name) + "."]
    masters = rounds["masters"]
    lines += ["", f"{masters['count']} ssh masters that `provision` leaves for the next run: "
              f"{masters['mib']:.0f} MiB together (proportional share).", "",
              "Goals: " + "; ".join([
                  goal("cold", ours["cold"] / floor, 1.15),
                  goal("warm", ours["warm"] / floor, 0.25),
                  goal("pyinfra ÷ provision", middle(rounds["pyinfra"], "wall") / ours["cold"], 3, "at least")
              ]) + ".", "", "The same with a cheap key exchange (curve25519), where the floor is lowest:", "",
              "| | wall s, median (min–max) | × floor | processor s here | on the hosts | together × floor |",
              "|---|---|---|---|---|---|"]
    cheap = results["cheap"]
    for name in ["floor", "provision cold", "provision warm"]:
        runs = cheap[name]
        lines.append(f"| {name} | {walls(runs)} | {middle(runs, 'wall') / middle(cheap['floor'], 'wall'):.2f} | "
                     f"{middle(runs, 'here'):.2f} | {middle(runs, 'hosts'):.2f} | "
                     f"{both(runs) / both(cheap['floor']):.2f} |")
    ours = {kind: middle(cheap[f"provision {kind}"], "wall") / middle(cheap["floor"], "wall") for kind in ("cold", "warm")}
    lines += ["", f"Goals: {goal('cold', ours['cold'], 1.35)}; {goal('warm', ours['warm'], 0.6)}."]
    if results["first"]:
        lines += ["", f"First run on {about['first_hosts']} fresh hosts, once; `provision`'s includes waiting until "
                  "the agents serve, the peers' does not:", "",
                  "| | wall s | processor s here | on the hosts |", "|---|---|---|---|"]
        for tool, cost in results["first"].items():
            lines.append(f"| {tool} | {cost['wall']:.1f} | {cost['here']:.1f} | {cost['hosts']:.1f} |")
    return "\n".join(lines) + "\n"


def row(title, runs, floor, against, rounds, counts):
    wall = middle(runs, "wall")
    return (f"| {title} | {walls(runs)} | {wall / floor:.2f} | {f'{wall / against:.1f}' if against else ''} | "
            f"{middle(runs, 'here'):.2f} | {middle(runs, 'hosts'):.2f} | {both(runs) / both(rounds['floor']):.2f} | "
            f"{middle(runs, 'peak_mib'):.0f} | {counts['forks']:.0f} | {counts['trips']:.1f} |")


def walls(runs):
    return measure.spread([run["wall"] for run in runs])


def both(runs):
    """Processor seconds here and on the hosts."""
    return middle(runs, "here") + middle(runs, "hosts")


def middle(runs, field):
    return statistics.median(run[field] for run in runs)


def goal(name, ratio, bound, kind="at most"):
    met = ratio <= bound if kind == "at most" else ratio >= bound
    return f"{name} {ratio:.2f}, {kind} {bound}: {'met' if met else 'missed'}"


def fresh(results):
    rounds = [one["provision"] for one in results["rounds"]]
    wall = middle(rounds, "wall")
    lines = [f"Machine: {results['machine']}. {results['hosts']} agents and a master, medians of {len(rounds)} "
             "rounds.",
             "", "| stage | work | hosts | all hosts together s | the slowest s | going on for s | of the run |",
             "|---|---|---|---|---|---|---|"]
    tables = [{(row["stage"], row["work"]): row for row in one["table"]} for one in rounds]
    for key in dict.fromkeys(key for table in tables for key in table):
        rows = [table[key] for table in tables if key in table]
        hosts = rows[0]["hosts"]
        own = f"{middle(rows, 'sum'):.1f} | {middle(rows, 'slowest'):.1f}" if hosts else "|"
        lines.append(f"| {f'**{key[0]}**' if key[1] == timeline.ALL else ''} | {key[1]} | {hosts or ''} | {own} | "
                     f"{middle(rows, 'open'):.1f} | {middle(rows, 'open') / wall:.0%} |")
    copies, again, seeded = ([one[kind] for one in results["rounds"]] for kind in ("scp", "again", "seeded"))
    idle = statistics.median(one["wall"] - one["covered"] for one in rounds)
    named = {name: figures.shown(value) for name, value in figures.of({"fresh": results}).items()}
    lines += ["", f"The whole took {walls(rounds)} s, {middle(rounds, 'here'):.1f} processor seconds here and "
              f"{middle(rounds, 'hosts'):.1f} on the hosts; nothing of the table went on for {idle:.1f} s of it. The "
              f"slowest host's own work on packages and images was {middle(rounds, 'own'):.1f} s "
              f"({rounds[0]['own_host']}; {middle(rounds, 'own_sent'):.1f} s of it until what it needs was sent): the "
              f"whole took {named['fresh: whole ÷ slowest own work']} times as long.",
              "",
              f"`scp` of the same files to all agents at once: {walls(copies)} s, {middle(copies, 'here'):.1f} "
              f"processor seconds here and {middle(copies, 'hosts'):.1f} on the hosts. In the installation something "
              f"was being sent for {middle(rounds, 'sending'):.1f} s, {named['fresh: sending ÷ scp']} times as long; "
              f"the archive alone, sent again with nothing else to do, takes {middle(again, 'sending'):.1f} s, "
              f"{named['fresh: sending alone ÷ scp']} times as long ({middle(again, 'here'):.1f} processor seconds here "
              f"and {middle(again, 'hosts'):.1f} on the hosts for that whole run); with `seed: host` it leaves this "
              f"machine once, and takes {middle(seeded, 'sending'):.1f} s, "
              f"{named['fresh: from host to host ÷ scp']} times as long ({middle(seeded, 'here'):.1f} and "
              f"{middle(seeded, 'hosts'):.1f}).", "",
              f"`provision plan` of these hosts, all of them fresh, prints {results['printed']} lines."]
    return "\n".join(lines) + "\n"


def scale(results):
    sizes, limits = results["sizes"], results["limits"]
    lines = [f"Machine: {results['machine']}. Hosts are played by {results['sshds']} containers. `provision` was "
             f"started with {limits['soft files']:,} open files at most, and could raise that to "
             f"{limits['hard files']:,}.", "",
             "| | hosts | wall s | × floor | last host connected after s | processor s here | on the hosts | "
             "our peak MiB | open files | masters | their MiB | connected | unreachable | lines printed |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for size in sizes:
        floor, hosts = size["floor"], size["hosts"]
        lines.append(f"| floor: `ssh HOST true`, 64 at once | {hosts:,} | {floor['wall']:.1f} | 1.00 | | "
                     f"{floor['here']:.1f} | {floor['hosts']:.1f} | | | | | {hosts:,} | | |")
        lines += [looked(name, size, results["bad"]) for name in figures.LOOKS if name in size]
    for size in sizes:
        lines += lost(size, results["bad"])
    if len(sizes) == 2:
        lines += ["", grown(*sizes, results["bad"])]
    return "\n".join(lines) + "\n"


def looked(name, size, bad):
    """One row of `plan`. The time of a run that lost hosts is not that of all of them, so it gets no ratio."""
    one = size[name]
    ratio = f"{one['wall'] / size['floor']['wall']:.2f}" if figures.whole(name, size, bad) else "–"
    return (f"| plan, {name} | {size['hosts']:,} | {one['wall']:.1f} | {ratio} | {one['last_connected']:.1f} | "
            f"{one['here']:.1f} | {one['hosts']:.1f} | {one['peak_mib']:.0f} | {one['descriptors']:,} | "
            f"{one['masters']:,} | {one['masters_mib']:.0f} | {one['connected']:,} | {one['unreachable']:,} | "
            f"{one['printed']} |")


def lost(size, bad):
    """What a size did not come to."""
    lines = []
    if size.get("asked", size["hosts"]) > size["hosts"]:
        lines += ["", f"Asked for were {size['asked']:,} hosts. Each takes {size['mib_per_host']:.1f} MiB of this "
                  f"machine, which is both ends of every connection, so {size['hosts']:,} fitted."]
    for name in figures.LOOKS:
        if name in size and not figures.whole(name, size, bad):
            reasons = "; ".join(f"{count:,} × “{reason}”" for reason, count in size[name]["reasons"].items())
            lines += ["", f"plan, {name}, of {size['hosts']:,} hosts lost {size[name]['unreachable']:,}: {reasons}."]
    return lines


def grown(small, large, bad):
    """How much more the larger size took, beside how much larger it is; nothing of a run that lost hosts."""
    fields = {"wall": "wall", "here": "processor here", "peak_mib": "peak memory", "descriptors": "open files"}
    parts = []
    for name in ("floor", "cold", "warm"):
        if name == "floor" or all(figures.whole(name, size, bad) for size in (small, large)):
            more = [f"{title} {large[name][field] / small[name][field]:.1f}" for field, title in fields.items()
                    if field in large[name]]
            parts.append(f"{name}: {', '.join(more)}")
    return f"{large['hosts'] / small['hosts']:.1f} times the hosts took so many times as much: {'; '.join(parts)}."


def offline(results):
    lines = [f"Machine: {results['machine']}.", "",
             "| command | hosts | wall s, median (min–max) | processor s | peak MiB |", "|---|---|---|---|---|"]
    for row in results["rows"]:
        lines.append(f"| {row['command']} | {row['hosts']:,} | {measure.spread(row['wall'])} | {row['here']:.2f} | "
                     f"{row['peak_mib']:.0f} |")
    largest = [row for row in results["rows"] if row["hosts"] == results["rows"][-1]["hosts"]]
    lines += ["", "Goals: " + "; ".join(
        goal(f"{row['command']}, {what} at {row['hosts']:,} hosts", value, bound)
        for row in largest
        for what, value, bound in [("seconds", statistics.median(row["wall"]), 1), ("MiB", row["peak_mib"], 300)]) + "."]
    return "\n".join(lines) + "\n"


def core(criterion):
    """Medians of criterion, and how they grow."""
    sizes = ["10", "100", "1000", "10000"]
    lines = ["| | " + " | ".join(f"{int(size):,} hosts" for size in sizes) + " | µs per host, 1,000 → 10,000 |",
             "|---|" + "---|" * (len(sizes) + 1)]
    for group in sorted(path for path in criterion.iterdir() if path.name != "report"):
        medians = {}
        for size in sizes:
            path = group / size / "new/estimates.json"
            if path.exists():
                medians[size] = json.loads(path.read_text())["median"]["point_estimate"] / 1e9
        if len(medians) == len(sizes):
            cells = " | ".join(duration(medians[size]) for size in sizes)
            lines.append(f"| {re.sub('_', ' ', group.name)} | {cells} | "
                         f"{medians['1000'] * 1e3:.0f} → {medians['10000'] * 1e2:.0f} |")
    return "\n".join(lines) + "\n"


def duration(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


if __name__ == "__main__":
    main()
