#!/bin/sh
# Usage: [MESOS_DEB=PATH] demo.sh [down]
#
# The main job, end to end, on this machine: inventories/demo.yaml on its twin. Up, plan, apply with the
# smoke test, a second apply that changes nothing, status. Without MESOS_DEB Mesos is played by the
# stand-in of tests/standin, libmesos included.
set -eu

cd "$(dirname "$0")/../.."
CACHE=${CACHE:-.cache}
INVENTORY=inventories/demo.yaml
mkdir -p "$CACHE"
began=$(date +%s)

say() { printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - began))"; }

say "Docker engine"
sh tests/assets/engine.sh

say "provision itself"
cargo build
provision=target/debug/provision

say "Spark"
spark=$(sh tests/assets/spark.sh "$CACHE")

if [ -n "${MESOS_DEB:-}" ]; then
    say "Mesos: $MESOS_DEB"
    deb=$MESOS_DEB
    # Debian's revision is not part of Mesos' version, nor is the epoch.
    version=$(dpkg-deb -f "$deb" Version | sed 's/^[0-9]*://; s/-[^-]*$//')
else
    say "the stand-in for Mesos"
    deb=$CACHE/mesos-standin.deb
    sh tests/standin/build-deb.sh "$deb"
    version=$(dpkg-deb -f "$deb" Version)
fi
sha256=$(sha256sum "$deb" | cut -d' ' -f1)

[ "${1:-}" != down ] || down=--down
# shellcheck disable=SC2086 # empty unless the twin is to be removed
set -- ${down:-} "$INVENTORY" -e "mesos.version=$version" -e "mesos.package.deb=$(realpath "$deb")" \
    -e "mesos.package.sha256=$sha256" -e "spark.archive.path=$(realpath "$spark")"

if [ "${1:-}" = --down ]; then
    shift
    "$provision" lab down "$@"
    exit
fi
say "lab up"
"$provision" lab up "$@"
say "plan"
rm -f "$CACHE/plan.json"
"$provision" plan --lab "$@" --out "$CACHE/plan.json"
say "apply"
shift
"$provision" apply --lab -y "$CACHE/plan.json" -i "$INVENTORY" "$@"
set -- "$INVENTORY" "$@"
say "second apply: nothing to do"
# Without --yes: were there anything to do, it would have to ask, and fail.
"$provision" apply --lab "$@" </dev/null | tee "$CACHE/second-apply"
grep -q '^No changes' "$CACHE/second-apply"
say "status"
"$provision" status --lab "$@"
say "done; the twin goes on running: make demo-down removes it"
