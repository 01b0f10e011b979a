#!/bin/sh
# Usage: run.sh [converge|fresh|scale|offline|core]…
#
# Takes the figures of docs/benchmarks.md and writes them there. Everything it needs it makes, under
# target/bench: a private virtual environment with the peers, a stand-in package, containers, which are
# removed at the end (KEEP=1 keeps them). Needs root, Docker, python3 with venv, and what `provision lab`
# needs.
#
# Environment:
#   PROVISION  a binary that is built already
#   MESOS_DEB  a package to install instead of the stand-in
#   ROUNDS     rounds of converged runs (5); Ansible takes part in the first two
#   MANY       how many hosts the larger size of scale has (10000), if they fit the machine; 0 leaves it out
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
export BENCH_WORK="$root/target/bench"
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$BENCH_WORK"
[ $# -gt 0 ] || set -- converge fresh scale offline core

if [ -z "${PROVISION:-}" ]; then
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" --bin provision
  PROVISION=$root/target/release/provision
fi
export PROVISION

finish() {
  [ -n "${KEEP:-}" ] || python3 "$here/harness/down.py"
}
package() {
  if [ -n "${MESOS_DEB:-}" ]; then
    cp "$MESOS_DEB" "$BENCH_WORK/mesos.deb"
  elif [ ! -s "$BENCH_WORK/mesos.deb" ]; then
    sh "$root/tests/standin/build-deb.sh" "$BENCH_WORK/mesos.deb"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

for part in "$@"; do
  case $part in
    converge)
      if [ ! -x "$BENCH_WORK/venv/bin/ansible-playbook" ]; then
        # Debian has it in a package of its own.
        python3 -c 'import ensurepip, venv' 2>/dev/null || apt-get install -y -q python3-venv >/dev/null
        python3 -m venv "$BENCH_WORK/venv"
        "$BENCH_WORK/venv/bin/pip" install -q 'pyinfra>=3,<4' 'ansible-core>=2.19,<2.20'
      fi
      package
      python3 "$here/harness/converge.py" --rounds "${ROUNDS:-5}"
      ;;
    fresh)
      package
      python3 "$here/harness/fresh.py"
      ;;
    scale) python3 "$here/harness/scale.py" --many "${MANY:-10000}" ;;
    offline) python3 "$here/harness/offline.py" ;;
    core)
      cargo bench --quiet --manifest-path "$root/Cargo.toml" --bench core -- --noplot
      ;;
    *)
      echo "run.sh: there is no part $part: converge, fresh, scale, offline, core" >&2
      exit 2
      ;;
  esac
done
python3 "$here/harness/report.py" "$root/docs/benchmarks.md" "$root/target/criterion"
