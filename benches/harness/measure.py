"""Runs a command in a cgroup of its own and says what it cost.

What daemonises (ssh masters) stays in the cgroup, so its work is counted too.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import threading
import time

import twin

V1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
# Two measurements at once need a group each: what is left in a group is ended.
GROUP = os.environ.get("BENCH_GROUP", "provision-bench")


@dataclasses.dataclass
class Cost:
    """Of one run: wall seconds, processor seconds here and on the hosts, peak memory of the process."""

    wall: float
    here: float
    hosts: float
    peak_mib: float
    status: int
    output: str


def group():
    """The cgroup that what is measured runs in."""
    root = V1 if V1.exists() else pathlib.Path("/sys/fs/cgroup")
    path = root / GROUP
    path.mkdir(exist_ok=True)
    return path


def run(words, hosts, env=None, cwd=None):
    """Runs one command. `hosts` gives the processor time of all hosts when called."""
    inside = group()

    def enter():
        (inside / "cgroup.procs").write_text(str(os.getpid()))

    out = open(twin.WORK / "last.out", "w+b")
    hosts_before, here_before = hosts(), twin.cpu_seconds(GROUP)
    start = time.monotonic()
    # A pipe would be held open by what daemonises.
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                             preexec_fn=enter, env=env, cwd=cwd)
    # Not rusage: what this Python held when it forked counts there. The mark only rises, so that what
    # is read last is right but for the last few milliseconds.
    peaks, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.005):
            peaks.append(max(peaks.pop(), high_water(child.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = child.wait()
    wall = time.monotonic() - start
    ended.set()
    watcher.join()
    # sshd and systemd end sessions a little later than the client leaves.
    time.sleep(0.3)
    cost = Cost(wall, twin.cpu_seconds(GROUP) - here_before, hosts() - hosts_before,
                peaks[0] / 1024, status, "")
    out.seek(0)
    cost.output = out.read().decode(errors="replace")
    out.close()
    return cost


def high_water(pid):
    """The most memory that a process ever had, in KiB; 0 when it has gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def members():
    """Processes that are left in the cgroup: ssh masters."""
    return [int(pid) for pid in (group() / "cgroup.procs").read_text().split()]


def memory_mib(pids):
    """Proportional share of memory of all of them."""
    total = 0
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def stop_masters():
    """Ends what a run left behind, so that the next is cold. Only our own cgroup's processes."""
    for _ in range(100):
        left = members()
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def spread(values, digits=2):
    """`median (min–max)`."""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}–{max(values):.{digits}f})")
