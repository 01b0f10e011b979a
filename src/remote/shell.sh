{
# The near end of this is shell.rs. Everything between these braces is one command for the shell
# that reads it, so a part of it that arrives alone does nothing.
cd /
umask 022
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset ENV BASH_ENV CDPATH
# A lost connection may hang up the terminal that sudo made; the action is to outlive that.
trap '' HUP

# MARK: what follows answers the request of that mark.
p_begin() { printf '\n%s begin\n' "$1"; }

# MARK STATUS
p_end() {
  printf '\n%s end %d\n' "$1" "$2"
  printf '\n%s\n' "$1" >&2
}

# MARK SCRIPT
p_ask() {
  p_begin "$1"
  (eval "$2") </dev/null
  p_end "$1" $?
}

# Sets p_uid to the effective user, without a fork where /proc tells.
p_whoami() {
  while read -r p_k p_r p_uid p_f; do
    [ "$p_k" != Uid: ] || return 0
  done </proc/self/status
  p_uid=$(id -u)
}

# STATE: what is true of this host whatever is asked, and how the last action ended.
p_facts() {
  p_state=$1
  p_boot=
  read -r p_boot </proc/sys/kernel/random/boot_id
  # A container that restarts keeps its machine's boot id; its first process is another. After the
  # name in parentheses the start is the 20th field. Source: proc_pid_stat(5).
  read -r p_stat </proc/1/stat
  set -- ${p_stat##*)}
  p_whoami
  printf 'boot=%s\ninit=%s\nuid=%s\n' "$p_boot" "${20}" "$p_uid"
  # Only the newest run can have been cut short: whoever came later has had the lock.
  p_run=
  [ ! -f "$p_state/last_run" ] || read -r p_run <"$p_state/last_run"
  case $p_run in '' | .* | */*) return 0 ;; esac
  p_a=
  for p_f in "$p_state/runs/$p_run"/a*.start; do p_a=$p_f; done
  [ -f "$p_a" ] || return 0
  p_a=${p_a%.start}
  p_name=
  read -r p_name <"$p_a.start"
  printf 'last_run=%s\nlast_action=%s\nlast_log=%s\n' "$p_run" "$p_name" "$p_a.log"
  if [ -f "$p_a.rc" ]; then
    read -r p_r <"$p_a.rc"
    printf 'last_status=%s\n' "$p_r"
  fi
}
}
