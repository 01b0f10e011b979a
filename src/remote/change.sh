{
# What only a run that may change the host is given: the lock, actions, files.

# With nobody left to tell, this shell still tidies up. Unlike an ignored signal, a caught one is
# back to normal in every child.
trap : PIPE

# STATE RUNTIME RUN BY FROM SINCE: takes the lock, or says who has it.
p_lock() {
  p_dir=$1/runs/$3
  p_lockfile=$2/lock
  p_who="run=$3"
  p_by="by=$4 from=$5 since=$6"
  p_whoami
  if [ "$p_uid" != 0 ]; then
    echo "error=changing this host needs root"
    return 1
  fi
  for p_d in "$1" "$2"; do
    if ! [ -d "$p_d" ] && ! p_said=$(mkdir -p -m 0700 "$p_d" 2>&1); then
      echo "error=$p_said"
      return 1
    fi
  done
  if ! command -v flock >/dev/null; then
    echo "error=flock is not installed (package util-linux)"
    return 1
  fi
  # Forks only to have the words; a regular command, for a shell ends when a special one cannot write.
  if ! true 2>/dev/null >>"$p_lockfile" && ! p_said=$( (: >>"$p_lockfile") 2>&1); then
    echo "error=$p_said"
    return 1
  fi
  # Actions inherit this descriptor: the kernel frees the lock when the last of them has ended.
  exec 9<>"$p_lockfile"
  p_held=
  if ! flock -n 9; then
    p_held=$p_lockfile
  elif ! [ "$p_lockfile" -ef "/proc/$$/fd/9" ]; then
    # Another file has taken its place since we opened it.
    echo "locked="
    return 1
  elif ! [ -s "$p_lockfile" ]; then
    # New: the first since the host booted, or one in place of a file that was removed under a run.
    p_held=$(exec 9>&-; p_holders "$p_lockfile" | grep -v "^/proc/$$/" | head -n 1)
  fi
  if [ -n "$p_held" ]; then
    # Read at once, and again while its holder is just writing it anew.
    p_n=0
    while p_said=$(head -n 1 "$p_held"); do
      case $p_said in *' since='*) break ;; esac
      p_n=$((p_n + 1))
      [ "$p_n" -lt 100 ] || break
    done
    echo "locked=$(p_holder "$1" "$p_said")"
    return 1
  fi
  p_step -
}

# NAME: what the lock says that we do. Written through the lock itself: whatever became of its name.
p_step() { printf '%s step=%s pid=%s %s\n' "$p_who" "$1" "$$" "$p_by" >"/proc/$$/fd/9"; }

# As ever, and notes what was made: what a killed action leaves, a secret perhaps, the next run takes away. What
# cannot be noted, on a full disk say, is not made.
mktemp() {
  p_m=$(command mktemp "$@") || return 1
  if [ -d "$p_dir" ] && ! printf '%s\n' "$p_m" >>"$p_dir/temporaries"; then
    rm -rf -- "$p_m"
    return 1
  fi
  printf '%s\n' "$p_m"
}

# The run's directory is made by its first action, so that the newest one always tells of work.
p_newrun() {
  # With the lock in hand nobody works on them any more. Their names are mktemp's, so in no path of one is
  # anything of ours but they.
  for p_f in "${p_dir%/*}"/*/temporaries; do
    [ -f "$p_f" ] || continue
    tr '\n' '\0' <"$p_f" | xargs -0 -r rm -rf -- && rm -f "$p_f"
  done
  mkdir -p "$p_dir" || return 1
  # Told by a name, not by times: a host's clock can be set back.
  printf '%s\n' "${p_dir##*/}" >"${p_dir%/runs/*}/last_run" || return 1
  # Old ones go; their names are ours, without blanks.
  p_prune "${p_dir%/*}" 31
  # What those runs replaced; the directory is there once anything was.
  [ ! -d "${p_dir%/runs/*}/backup" ] || p_prune "${p_dir%/runs/*}/backup" 20
}

# DIRECTORY NUMBER: of what is in it the newest stay, down to the one before that number. The names of
# runs sort as they began.
p_prune() {
  ls -1r "$1" | tail -n "+$2" | while read -r p_f; do
    [ "$p_f" = "${p_dir##*/}" ] || rm -rf "${1:?}/$p_f"
  done
}

# MARK NUMBER NAME SCRIPT
p_run() {
  p_begin "$1"
  p_a=$p_dir/a$2
  if { [ -d "$p_dir" ] || p_newrun; } && printf '%s\n' "$3" >"$p_a.start" && p_step "$3"; then
    # The status is written in here, not after: this part outlives the shell around it.
    (
      (eval "$4")
      p_r=$?
      echo "$p_r" >"$p_a.rc.new" && mv -f "$p_a.rc.new" "$p_a.rc"
      exit "$p_r"
    ) </dev/null >"$p_a.log" 2>&1
    p_r=$?
    p_step -
    tail -c 65536 "$p_a.log"
  else
    p_r=74
    echo "$p_dir cannot be written to, so nothing was begun; is its disk full?"
  fi 2>&1
  p_end "$1" "$p_r"
}

# MARK DIRECTORY NAME BYTES TOOL HEX MODE: a file from the bytes that follow our "ready".
p_push() {
  p_begin "$1"
  if ! { [ -d "$p_dir" ] || p_newrun; } 2>&1; then
    p_end "$1" 74
    return
  fi
  if ! p_t=$(mktemp "$2/.$3.XXXXXX" 2>&1); then
    echo "$p_t"
    p_end "$1" 73
    return
  fi
  printf '\n%s ready\n' "$1"
  # Whatever happens to the file, every byte is taken: one left over would be read as a command.
  head -c "$4" | { cat >"$p_t" || { cat >/dev/null; false; }; } 2>&1
  p_r=$?
  p_n=$(wc -c <"$p_t")
  if [ "$p_r" != 0 ]; then
    p_r=74
  elif [ "$p_n" -ne "$4" ]; then
    rm -f "$p_t"
    echo "$p_n bytes arrived of $4"
    p_end "$1" 70
    exit 70
  else
    p_n=$("$5" <"$p_t")
    if [ "${p_n%% *}" != "$6" ]; then
      echo "the $5 of what arrived is not the one expected"
      p_r=65
    else
      { chmod "$7" "$p_t" && sync "$p_t" && mv -fT "$p_t" "$2/$3" && sync "$2"; } 2>&1
      p_r=$?
    fi
  fi
  [ "$p_r" = 0 ] || rm -f "$p_t"
  p_end "$1" "$p_r"
}
}
