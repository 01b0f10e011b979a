#!/bin/sh
# Makes a Docker engine answer on this machine, and installs what `provision lab` and its tests need.
#
# Idempotent: where an engine answers and the tools are there it changes nothing. Meant for a bare
# Debian or Ubuntu with root; where it may not act it says what is missing and ends with status 1.
# Without systemd as PID 1 the engine is started in the background, in a session of its own; its log
# and pid are in ${XDG_STATE_HOME:-~/.local/state}/provision/engine/.
set -eu

# command:package
TOOLS='docker:docker.io dockerd:docker.io iptables:iptables mmdebstrap:mmdebstrap ssh:openssh-client ssh-keygen:openssh-client flock:util-linux'
STATE=${XDG_STATE_HOME:-$HOME/.local/state}/provision/engine
PATH=$PATH:/usr/sbin:/sbin

main() {
    if answers && [ -z "$(missing_packages client)" ]; then
        say "engine $(version) answers"
        return 0
    fi
    install_missing
    answers && { say "engine $(version) answers"; return 0; }
    [ "$(id -u)" = 0 ] || die 'no Docker engine answers and starting one needs root: run this with sudo, or ask for access to a running engine'
    mkdir -p "$STATE"
    chmod 0700 "$STATE"
    # Two callers at once (tests run in parallel) must not start two engines.
    exec 9>"$STATE/lock"
    flock 9
    answers || start
    say "engine $(version) answers"
}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

version() { docker version --format '{{.Server.Version}}'; }

# With `client` an engine that already answers excuses the daemon's own packages.
missing_packages() {
    for pair in $TOOLS; do
        case "${1:-}:$pair" in client:dockerd:* | client:iptables:*) continue ;; esac
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
    done | sort -u
}

install_missing() {
    if answers; then packages=$(missing_packages client); else packages=$(missing_packages); fi
    [ -n "$packages" ] || return 0
    packages=$(echo "$packages" | tr '\n' ' ')
    # An engine that can pull needs no mmdebstrap: not worth refusing to go on.
    if [ "$packages" = 'mmdebstrap ' ] && [ "$(id -u)" != 0 ] && answers; then
        say 'no mmdebstrap here: the twin needs a registry to pull its base from'
        return 0
    fi
    command -v apt-get >/dev/null 2>&1 || die "missing: $packages(this machine has no apt-get: install them by its own means)"
    [ "$(id -u)" = 0 ] || die "missing: $packages(installing needs root: sudo apt-get install $packages)"
    say "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list on purpose
    apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $packages >/dev/null 2>&1 || {
        # Old package lists name files that the mirror no longer has.
        apt-get update -q >/dev/null
        # shellcheck disable=SC2086
        apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $packages >/dev/null
    }
}

start() {
    if [ -d /run/systemd/system ]; then
        systemctl start docker
    else
        # A pid file left by an engine that died would stop the next one.
        if [ -e /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
            rm -f /var/run/docker.pid
        fi
        say "starting dockerd, log $STATE/dockerd.log"
        setsid dockerd >>"$STATE/dockerd.log" 2>&1 </dev/null 9>&- &
        echo $! >"$STATE/dockerd.pid"
    fi
    tries=0
    until answers; do
        tries=$((tries + 1))
        if [ $tries -ge 120 ]; then
            tail -n 20 "$STATE/dockerd.log" >&2 2>/dev/null || journalctl -u docker -n 20 --no-pager >&2 || true
            die 'the engine was started and does not answer; its last lines are above'
        fi
        sleep 0.5
    done
}

say() { echo "engine.sh: $*"; }

die() {
    echo "engine.sh: $*" >&2
    exit 1
}

main "$@"
