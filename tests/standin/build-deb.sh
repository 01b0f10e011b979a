#!/bin/sh
# Builds the stand-in package: build-deb.sh OUT.deb
#
# Environment:
#   STANDIN_VERSION    the package's version (default 1.11.0+standin); the part before + is the Mesos
#                      that the daemons claim to be and whose flags they know
#   STANDIN_SUITE      the oldest Debian that it is to run on, such as bullseye (default: this machine's system)
#   STANDIN_BINARY     a binary that is built already
#   STANDIN_LIBRARY    a libmesos.so that is built already
#   SOURCE_DATE_EPOCH  the time of every file in it (default 0): equal inputs, equal bytes
set -eu

if [ $# -ne 1 ]; then
  echo "usage: build-deb.sh OUT.deb" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
out=$1
version=${STANDIN_VERSION:-1.11.0+standin}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
umask 022

# build DIRECTORY PACKAGE PART: a release build, linked against that Debian's C library if one is asked for
build() {
  if [ -z "${STANDIN_SUITE:-}" ]; then
    cargo build --release --locked --quiet --manifest-path "$1/Cargo.toml" --target-dir "$1/target" \
      --package "$2"
    return
  fi
  sysroot=$(sh "$here/sysroot.sh" "$STANDIN_SUITE")
  triple=$(basename "$sysroot"/usr/lib/*-linux-gnu)
  set -- "$@" -- -C "link-arg=--sysroot=$sysroot" -C "link-arg=-B$sysroot/usr/lib/$triple"
  set -- "$@" -C "link-arg=-L$sysroot/usr/lib/$triple" -C "link-arg=-L$sysroot/lib/$triple"
  # Of all that is linked only the last step differs: dependencies are built once for both. The directories are named
  # too, for the compiler would look into this machine's first.
  directory=$1
  shift
  cargo rustc --release --locked --quiet --manifest-path "$directory/Cargo.toml" \
    --target-dir "$directory/target" \
    --package "$@"
}

# no_newer FILE: whether it needs a newer C library than that Debian's
no_newer() {
  [ -n "${STANDIN_SUITE:-}" ] || return 0
  has=$(grep -aoE 'GNU C Library .* version 2\.[0-9]+' "$sysroot"/lib/*/libc.so.6 | sed 's/.* //')
  needs=$(grep -aoE 'GLIBC_2\.[0-9]+' "$1" | sed 's/.*_//' | sort -V | tail -n 1)
  [ "$(printf '%s\n%s\n' "$has" "$needs" | sort -V | tail -n 1)" = "$has" ] || {
    echo "build-deb.sh: $1 needs glibc $needs, and $STANDIN_SUITE has $has" >&2
    exit 1
  }
}

root=$(mktemp -d)
built=$(mktemp -d)
trap 'rm -rf "$root" "$built"' EXIT
chmod 755 "$root"

# take DIRECTORY PACKAGE PART RESULT: builds it and takes the result, which both kinds of build leave in one place
take() {
  mkdir -p "$1/target"
  exec 9>"$1/target/build-deb.lock"
  flock 9
  build "$1" "$2" "$3"
  cp "$1/target/release/$4" "$built/$4"
  exec 9>&-
  no_newer "$built/$4"
}

if [ -z "${STANDIN_BINARY:-}" ]; then
  take "$here" mesos-standin --bin=mesos-standin mesos-standin
  STANDIN_BINARY=$built/mesos-standin
fi
if [ -z "${STANDIN_LIBRARY:-}" ]; then
  take "$here/../libmesos" libmesos --lib libmesos.so
  STANDIN_LIBRARY=$built/libmesos.so
fi

install -d "$root/DEBIAN" "$root/var/lib/mesos" "$root/var/log/mesos"
install -D -m 755 "$STANDIN_BINARY" "$root/usr/lib/mesos/mesos-standin"
printf '%s\n' "$version" >"$root/usr/lib/mesos/standin-version"
library=libmesos-${version%%[+-]*}.so
install -m 644 "$STANDIN_LIBRARY" "$root/usr/lib/$library"
ln -s "$library" "$root/usr/lib/libmesos.so"
install -d "$root/usr/sbin"
for name in mesos-master mesos-agent; do
  ln -s ../lib/mesos/mesos-standin "$root/usr/sbin/$name"
done
ln -s mesos-agent "$root/usr/sbin/mesos-slave"
install -d "$root/usr/bin"
ln -s ../lib/mesos/mesos-standin "$root/usr/bin/mesos-execute"
install -D -m 755 "$here/deb/mesos-init-wrapper" "$root/usr/bin/mesos-init-wrapper"
for unit in mesos-master mesos-slave; do
  install -D -m 644 "$here/deb/units/$unit.service" "$root/lib/systemd/system/$unit.service"
done

# put PATH: a configuration file with what comes on standard input
put() {
  mkdir -p "$root$(dirname "$1")"
  cat >"$root$1"
  echo "$1" >>"$root/DEBIAN/conffiles"
}
put /etc/default/mesos <<'EOF'
LOGS=/var/log/mesos
ULIMIT="-n 8192"
EOF
put /etc/default/mesos-master <<'EOF'
PORT=5050
ZK=`cat /etc/mesos/zk`
EOF
put /etc/default/mesos-slave <<'EOF'
MASTER=`cat /etc/mesos/zk`
EOF
echo zk://localhost:2181/mesos | put /etc/mesos/zk
echo /var/lib/mesos | put /etc/mesos-master/work_dir
echo 1 | put /etc/mesos-master/quorum
echo /var/lib/mesos | put /etc/mesos-slave/work_dir

for script in postinst prerm postrm; do
  install -m 755 "$here/deb/$script" "$root/DEBIAN/$script"
done
cat >"$root/DEBIAN/control" <<EOF
Package: mesos
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: provision's tests <noreply@invalid>
Depends: libc6, libgcc-s1, bash
Section: misc
Priority: extra
Description: stand-in for Apache Mesos, for tests
 Daemons that behave towards an installer and towards frameworks like those of Apache Mesos: flags,
 election, endpoints, offers, tasks in Docker or as processes. Its libmesos.so speaks the public v1
 scheduler API for Java's scheduler driver. None of it is Mesos' own code.
EOF

# As dh_md5sums(1) makes it: of regular files, those of configuration left out.
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '/%P\n' | grep -vxF -f DEBIAN/conffiles | LC_ALL=C sort |
  sed 's|^/||' | tr '\n' '\0' | xargs -0 md5sum >DEBIAN/md5sums)
chmod 644 "$root/DEBIAN/md5sums"

find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "$out" >/dev/null
