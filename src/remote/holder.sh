{
# Who has the lock, for whoever finds it held: a run that wants it, and `provision unlock`.

# LOCKFILE: the descriptors through which it is held, one a line. A lock file that was removed under a
# run is still open there, and the one in its place is empty until a run has taken it; once it was
# written, who has the old one open is of no account.
p_holders() {
  set -- "$1" "$1"
  [ -s "$1" ] || set -- "$1" "$1 (deleted)"
  find /proc/[0-9]*/fd \( -lname "$1" -o -lname "$2" \) 2>/dev/null
}

# PID: whether nobody can speak to that shell any more. Its input is a pipe; with no writer left a
# reader finds it at its end at once (`read -t 0`, which takes nothing, is bash's). What cannot be
# told, such as of a socket, counts as spoken to.
p_orphan() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  [ -d "/proc/$1" ] || return 0
  ( bash -c 'read -t 0' <"/proc/$1/fd/0" ) 2>/dev/null
}

# STATE LINE: the line of whoever holds the lock, and what it does not say of itself: that nobody can
# speak to its shell, and that its last action has ended too, so that only what this left running, a
# daemon perhaps, has the lock open.
p_holder() {
  p_pid=${2#* pid=}
  p_pid=${p_pid%% *}
  if ! p_orphan "$p_pid"; then printf '%s\n' "$2"; return; fi
  p_over=
  p_run=${2#run=}
  if ! [ -d "/proc/$p_pid" ]; then
    for p_f in "$1/runs/${p_run%% *}"/a*.start; do
      if [ -f "${p_f%.start}.rc" ]; then p_over=' over=yes'; else p_over=; fi
    done
  fi
  printf '%s orphan=yes%s\n' "$2" "$p_over"
}
}
