"""Runs a command in a cgroup of its own and says what it cost.

What daemonises (ssh masters) stays in the cgroup, so its work is counted too.
"""

import dataclasses
import os
import pathlib
import resource
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
    """Of one run: wall seconds, processor seconds here and on the hosts, and of the process itself the most memory and
    the most descriptors at once."""

    wall: float
    here: float
    hosts: float
    peak_mib: float
    descriptors: int
    status: int
    output: str


def group():
    """The cgroup that what is measured runs in."""
    root = V1 if V1.exists() else pathlib.Path("/sys/fs/cgroup")
    path = root / GROUP
    path.mkdir(exist_ok=True)
    return path


def run(words, hosts, env=None, cwd=None, files=None, spare_mib=0):
    """Runs one command. `hosts` gives the processor time of all hosts when called; `files` is the pair of limits on
    open files that it is started with, if not ours; it is killed where the machine has less memory left than
    `spare_mib`, before others are."""
    inside = group()

    def enter():
        (inside / "cgroup.procs").write_text(str(os.getpid()))
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, files)

    out = open(twin.WORK / "last.out", "w+b")
    hosts_before, here_before = hosts(), twin.cpu_seconds(GROUP)
    start = time.monotonic()
    # A pipe would be held open by what daemonises.
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                             preexec_fn=enter, env=env, cwd=cwd)
    # Not rusage: what this Python held when it forked counts there. The mark only rises, so that what
    # is read last is right but for the last few milliseconds.
    peak, ended = {"memory": 0, "files": 0}, threading.Event()

    def watch():
        while not ended.wait(0.005):
            peak["memory"] = max(peak["memory"], high_water(child.pid))
            peak["files"] = max(peak["files"], open_files(child.pid))
            if available_mib() < spare_mib:
                child.kill()

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = child.wait()
    wall = time.monotonic() - start
    ended.set()
    watcher.join()
    # sshd and systemd end sessions a little later than the client leaves.
    time.sleep(0.3)
    cost = Cost(wall, twin.cpu_seconds(GROUP) - here_before, hosts() - hosts_before,
                peak["memory"] / 1024, peak["files"], status, "")
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


def open_files(pid):
    """How many descriptors a process has open; 0 when it has gone."""
    path = f"/proc/{pid}/fd"
    try:
        # Since Linux 6.2 the directory's size says it: to list thousands of them again and again is work too.
        return os.stat(path).st_size or len(os.listdir(path))
    except OSError:
        return 0


def available_mib():
    """What the machine could still give away."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024


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
    # Ten thousand need their time to end; to go on with some of them would be half warm.
    until = time.monotonic() + 120
    while left := members():
        if time.monotonic() > until:
            raise SystemExit(f"{len(left)} processes of the run before do not end")
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
