"""The figures that do not depend on the machine, each with its dispersion, and what became of the committed ones.

A figure is a ratio of what was measured side by side in one round (or a peak of memory), over all rounds: median, least
and most. It is worse, or better, when the two ranges do not even touch.
"""

import json
import pathlib
import statistics

COMMITTED = pathlib.Path(__file__).resolve().parents[1] / "figures.json"
# Of what is measured once the dispersion is not known: what a repetition on a quiet machine was seen to differ by.
ONCE = 0.1
LOOKS = ["cold", "warm", "with bad cold", "with bad warm"]
OURS = {"provision cold": ["pyinfra", "ansible cold"], "provision warm": ["ansible warm"]}


def of(parts):
    """name → [least, median, most], of the parts that were measured."""
    found = {}
    if converged := parts.get("converge"):
        for series, title in [("rounds", "converged"), ("cheap", "converged, curve25519")]:
            rounds = converged[series]
            floors = [one["wall"] for one in rounds["floor"]]
            # Two floors are taken in each round, one before and one after.
            pairs = list(zip(floors[::2], floors[1::2]))
            for name, runs in rounds.items():
                if name not in ("floor", "masters"):
                    found[f"{title}: {name} ÷ floor"] = spread(
                        [run["wall"] / statistics.mean(pair) for run, pair in zip(runs, pairs)])
        rounds = converged["rounds"]
        for ours, peers in OURS.items():
            for peer in filter(rounds.get, peers):
                found[f"converged: {peer} ÷ {ours}"] = spread(
                    [other["wall"] / one["wall"] for one, other in zip(rounds[ours], rounds[peer])])
        found["converged: peak MiB"] = spread([run["peak_mib"] for run in rounds["provision cold"]])
    if fresh := parts.get("fresh"):
        runs = [one["provision"] for one in fresh["rounds"]]
        found["fresh: whole ÷ slowest own work"] = spread([run["wall"] / run["own"] for run in runs])
        for run, title in [("provision", "sending"), ("again", "sending alone"), ("seeded", "from host to host")]:
            found[f"fresh: {title} ÷ scp"] = spread([one[run]["sending"] / one["scp"]["wall"] for one in fresh["rounds"]])
    if scale := parts.get("scale"):
        for size in scale["sizes"]:
            for name in filter(lambda name: name in size and whole(name, size, scale["bad"]), LOOKS):
                title, one = f"{size['hosts']:,} hosts: {name}", size[name]
                found[f"{title} ÷ floor"] = once(one["wall"] / size["floor"]["wall"])
                found[f"{title}, peak MiB"] = once(one["peak_mib"])
                found[f"{title}, open files per host"] = once(one["descriptors"] / size["hosts"])
    if offline := parts.get("offline"):
        for row in offline["rows"]:
            found[f"offline: {row['command']} of {row['hosts']:,} hosts, peak MiB"] = once(row["peak_mib"])
    return found


def whole(name, size, bad):
    """Whether a run of `scale` observed every host that there was to observe."""
    return size[name]["observed"] == size["hosts"] - (bad if name.startswith("with bad") else 0)


def spread(values):
    return [min(values), statistics.median(values), max(values)]


def once(value):
    return [value * (1 - ONCE), value, value * (1 + ONCE)]


def compared(now):
    """Lines about what is worse and what is better than the committed figures; `None` where there are none."""
    if not COMMITTED.exists():
        return None
    then = json.loads(COMMITTED.read_text())
    lines = []
    for name in sorted(now.keys() & then.keys()):
        (low, _, high), (was_low, _, was_high) = now[name], then[name]
        word = "higher" if low > was_high else "lower" if high < was_low else None
        if word:
            # A peer's time beside ours is the only figure that is to be large.
            good = (word == "higher") == ("÷ provision" in name)
            lines.append(f"- {'better' if good else 'worse'}: {name}: {shown(now[name])}, was {shown(then[name])}")
    lines += [f"- not measured: {name}" for name in sorted(then.keys() - now.keys())]
    return lines


def shown(figure):
    low, middle, high = figure
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def commit(now):
    """Keeps them, those of parts that were not measured as they were."""
    then = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    text = json.dumps({**then, **now}, indent=1, ensure_ascii=False, sort_keys=True)
    COMMITTED.write_text(text + "\n")
