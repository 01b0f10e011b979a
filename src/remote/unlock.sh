{
# What `provision unlock` is given: who works under the lock, and their end.

# PID: whether nobody can speak to that shell any more; as in change.sh.
p_orphan() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  [ -d "/proc/$1" ] || return 0
  ( bash -c 'read -t 0' <"/proc/$1/fd/0" ) 2>/dev/null
}

# LOCKFILE: the processes that have it open, and all that descend from them, one a line.
p_tree() {
  p_seeds=$(find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | cut -d/ -f3 | sort -un | tr '\n' ' ')
  [ -n "${p_seeds% }" ] || return 0
  # Not awk's own arguments: mawk gives up at a file that is gone by now.
  cat /proc/[0-9]*/status 2>/dev/null | awk -v seeds="$p_seeds" '
    $1 == "Pid:" { pid = $2 }
    $1 == "PPid:" { parent[pid] = $2 }
    END {
      n = split(seeds, seed, " ")
      for (i = 1; i <= n; i++) tree[seed[i]] = 1
      do {
        grown = 0
        for (pid in parent)
          if (!(pid in tree) && (parent[pid] in tree)) { tree[pid] = 1; grown = 1 }
      } while (grown)
      for (pid in tree) print pid
    }' | sort -n
}

# LOCKFILE STATE: `key=value` lines, then the processes, then the end of what the action printed.
p_who() {
  p_line=
  [ ! -f "$1" ] || read -r p_line <"$1"
  p_pids=$(p_tree "$1")
  echo "held=${p_pids:+yes}"
  p_pid=${p_line#* pid=}
  if p_orphan "${p_pid%% *}"; then p_line="$p_line orphan=yes"; fi
  echo "line=$p_line"
  for p_pid in $p_pids; do
    printf 'process=%s %s\n' "$p_pid" "$(tr '\0\n' '  ' <"/proc/$p_pid/cmdline" 2>/dev/null | cut -c 1-160)"
  done
  p_run=${p_line#run=}
  for p_f in "$2/runs/${p_run%% *}"/a*.log; do p_log=$p_f; done
  [ ! -f "$p_log" ] || { echo "log=$p_log"; tail -n 10 "$p_log" | sed 's/^/said=/'; }
}

# LOCKFILE RUN: ends them, unless the lock has gone to another run meanwhile.
p_finish() {
  p_line=
  read -r p_line <"$1"
  p_now=${p_line#run=}
  [ "${p_now%% *}" = "$2" ] || { echo "the lock is held by another run by now"; return 1; }
  p_pids=$(p_tree "$1")
  for p_signal in TERM KILL; do
    p_n=0
    for p_pid in $p_pids; do kill "-$p_signal" "$p_pid" 2>/dev/null; done
    while [ "$p_n" -lt 50 ]; do
      p_left=
      for p_pid in $p_pids; do [ ! -d "/proc/$p_pid" ] || p_left="$p_left $p_pid"; done
      [ -n "$p_left" ] || break
      p_n=$((p_n + 1))
      sleep 0.1
    done
    p_pids=$p_left
  done
  [ -z "$p_pids" ] || { echo "these did not end: $p_pids"; return 1; }
  p_left=$(p_tree "$1" | tr '\n' ' ')
  [ -z "$p_left" ] || { echo "the lock is still held by $p_left"; return 1; }
}
}
