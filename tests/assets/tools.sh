#!/bin/sh
# Installs what the tests run against beside Rust: shells, sshd, sudo, ShellCheck, systemd, a JDK and ZooKeeper's
# jars, Python for Spark, a browser, Ansible. Idempotent; says what is missing where it may not install.
set -eu

# command:package, and one jar that tells of its package
TOOLS='busybox:busybox dash:dash bash:bash fish:fish tcsh:tcsh shellcheck:shellcheck sshd:openssh-server ssh:openssh-client
sudo:sudo javac:default-jdk-headless python3:python3 dpkg-deb:dpkg cc:gcc curl:curl
systemd-analyze:systemd nft:nftables unshare:util-linux chromium:chromium ansible-inventory:ansible-core'
JAR=/usr/share/java/zookeeper.jar
PATH=$PATH:/usr/sbin:/sbin

packages=$(
    for pair in $TOOLS; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
    done
    [ -e "$JAR" ] || echo libzookeeper-java
)
[ -n "$packages" ] || exit 0
packages=$(echo "$packages" | tr '\n' ' ')
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "missing for the tests: $packages(install them, or run this as root on Debian)" >&2
    exit 1
fi
echo "installing $packages"
# Nothing that is installed for tests may start listening.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list on purpose
apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $packages >/dev/null 2>&1 || {
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $packages >/dev/null
}
