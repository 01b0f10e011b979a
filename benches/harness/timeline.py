"""Where the time of an installation goes, by stage and by kind of work.

Told by the run's events, and by the times of the scripts that ran on each host. What is sent has no event of its own:
it is a step of an action, between two of its scripts, each of which leaves aNNNN.start and aNNNN.rc on its host. A
stamp has none either, and is a script by that name.
"""

import collections
import dataclasses
import datetime

FILES = {"file", "directory", "link", "user", "leftovers", "unpacked"}
SERVICES = {"service", "drain", "reboot"}
# Tasks whose whole work is the engine and its images.
DOCKER = {"docker", "image"}
# A stage's whole, among its parts.
ALL = "all of it"
# What a host has to do itself, however fast the rest is.
OWN = {"packages", "docker"}


@dataclasses.dataclass
class Span:
    """Something that was done, on one host where it was one's own, from then until then."""

    stage: str
    work: str
    host: str | None
    begin: float
    end: float

    @property
    def seconds(self):
        return self.end - self.begin


@dataclasses.dataclass
class Script:
    """A script that ran on a host: of which action, from then until then."""

    name: str
    begin: float
    end: float


def scripts(hosts, run):
    """host → its scripts of a run, in order."""
    ask = (f"cd /var/lib/provision/runs/{run} 2>/dev/null || exit 0; for s in a*.start; do r=${{s%.start}}.rc; "
           "[ ! -f $r ] || echo \"$(stat -c %.9Y $s) $(stat -c %.9Y $r) $(cat $s)\"; done")
    found = {}
    for host in hosts.names:
        lines = (line.split(" ", 2) for line in hosts.inside(host, ask).splitlines())
        found[host] = [Script(name, float(begin), float(end)) for begin, end, name in lines]
    return found


def spans(events, scripts):
    """All that was done in a run."""
    done, stage = looked(events), "before"
    stages = [(at(event), event["stage"]) for event in events if event["event"] == "stage_started"]
    for event in events:
        if event["event"] == "stage_started":
            stage = event["stage"]
        elif event["event"] == "action_ended" and event["outcome"] != "skipped":
            done += action(event, stage, scripts)
        elif event["event"] == "gate_ended":
            done += [Span(stage, "gate", host, at(event) - event["seconds"], at(event)) for host in event["hosts"]]
    for host, ran in scripts.items():
        for script in ran:
            if script.name.startswith("stamp"):
                titles = [title for since, title in stages if since <= script.begin]
                done.append(Span(titles[-1] if titles else "before", "stamp", host, script.begin, script.end))
    return done


def looked(events):
    """What comes before the first stage. A host's answer is told by its seconds since hosts began to be opened."""
    first = {}
    for event in events:
        first.setdefault(event["event"], at(event))
    connected = {event["host"]: event for event in events if event["event"] == "host_connected"}
    opened = min(at(event) - event["seconds"] for event in connected.values())
    done = [Span("connect", "connecting", host, at(event) - event["seconds"], at(event))
            for host, event in connected.items()]
    done += [Span("look", "looking", event["host"], at(connected[event["host"]]), opened + event["seconds"])
             for event in events if event["event"] == "observed" and event["host"] in connected]
    moments = [("look", "preflight", first["observed"], first["planned"]),
               ("look", "lock, record", first["planned"], first.get("stage_started", first["planned"]))]
    return done + [Span(stage, work, None, begin, end) for stage, work, begin, end in moments]


def action(event, stage, scripts):
    """An action's own work, and what was sent for it."""
    begin, end = at(event) - event["seconds"], at(event)
    # Millisecond of the event, and of the file system.
    near = 0.02
    name = f"{event['task']}/{event['resource']}".replace(" ", "_")
    own = [script for script in scripts.get(event["host"], ())
           if script.name == name and begin - near <= script.begin <= end + near]
    sent = [Span(stage, "transfer", event["host"], before.end, after.begin) for before, after in zip(own, own[1:])]
    done = []
    for span in sent:
        done.append(Span(stage, kind(event), event["host"], begin, span.begin))
        begin = span.end
    return sent + done + [Span(stage, kind(event), event["host"], begin, end)]


def kind(event):
    """What an action works on."""
    word = event["resource"].split()[0]
    if event["task"] in DOCKER:
        return "docker"
    return "files" if word in FILES else "services" if word in SERVICES else word


def table(done):
    """Rows in the order in which they began, each stage's whole before its parts."""
    rows = collections.defaultdict(list)
    for span in done:
        rows[span.stage, ALL].append(span)
        rows[span.stage, span.work].append(span)
    begun = {key: min(span.begin for span in some) for key, some in rows.items()}
    order = sorted(rows, key=lambda key: (begun[key[0], ALL], key[1] != ALL, begun[key]))
    return [row(stage, work, rows[stage, work]) for stage, work in order]


def row(stage, work, some):
    """How long all hosts together, the slowest of them, and somebody at all."""
    hosts = by_host(some)
    slowest = max(hosts, key=hosts.get, default=None)
    return {"stage": stage, "work": work, "hosts": len(hosts), "sum": sum(hosts.values()),
            "slowest": hosts.get(slowest, 0.0), "slowest_host": slowest, "open": covered(some)}


def by_host(some):
    """host → seconds of these."""
    hosts = collections.Counter()
    for span in some:
        if span.host is not None:
            hosts[span.host] += span.seconds
    return hosts


def own_work(events):
    """host → seconds of its actions on packages and images, by their events: what is sent for them among it."""
    hosts = collections.Counter()
    for event in events:
        if event["event"] == "action_ended" and kind(event) in OWN:
            hosts[event["host"]] += event["seconds"]
    return hosts


def covered(some):
    """For how long at least one of these went on."""
    total, until = 0.0, 0.0
    for span in sorted(some, key=lambda span: span.begin):
        total += max(0.0, span.end - max(span.begin, until))
        until = max(until, span.end)
    return total


def at(event):
    """Seconds since the epoch."""
    return datetime.datetime.fromisoformat(event["ts"].replace("Z", "+00:00")).timestamp()

