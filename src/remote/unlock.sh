{
# What `provision unlock` is given: who works under the lock, and their end.

# LOCKFILE: the processes that have it open, and all that descend from them, one a line.
p_tree() {
  p_seeds=$(p_holders "$1" | cut -d/ -f3 | sort -un | tr '\n' ' ')
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

# LOCKFILE: sets p_line to what the run has written that holds it, and p_run to its id.
p_read() {
  p_line=
  p_held=$(p_holders "$1" | head -n 1)
  [ -z "$p_held" ] || read -r p_line <"$p_held"
  p_run=${p_line#run=}
  p_run=${p_run%% *}
}

# LOCKFILE STATE: `key=value` lines, then the processes, then the end of what the action printed.
p_who() {
  p_read "$1"
  p_pids=$(p_tree "$1")
  echo "held=${p_pids:+yes}"
  for p_f in "$2/runs/$p_run"/a*.log; do p_log=$p_f; done
  echo "line=$(p_holder "$2" "$p_line")"
  for p_pid in $p_pids; do
    printf 'process=%s %s\n' "$p_pid" "$(tr '\0\n' '  ' <"/proc/$p_pid/cmdline" 2>/dev/null | cut -c 1-160)"
  done
  [ ! -f "$p_log" ] || { echo "log=$p_log"; tail -n 10 "$p_log" | sed 's/^/said=/'; }
}

# LOCKFILE RUN: whether the lock has gone to another run meanwhile.
p_gone() {
  p_read "$1"
  [ "$p_run" != "$2" ] || return 1
  echo "the lock is held by another run by now"
}

# LOCKFILE STATE RUN: frees the lock of what a run left running, which lives on: a lock file that was
# written stands in the place of theirs.
p_leave() {
  ! p_gone "$1" "$3" || return 1
  case $(p_holder "$2" "$p_line") in
    *' over=yes') ;;
    *) echo "its work goes on: the lock is free once that has ended"; return 1 ;;
  esac
  rm -f "$1" && printf 'left by run %s\n' "$3" >"$1"
}

# LOCKFILE RUN: ends them.
p_finish() {
  ! p_gone "$1" "$2" || return 1
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
