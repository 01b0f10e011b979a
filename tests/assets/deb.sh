#!/bin/sh
# Usage: deb.sh BINARY OUT_DIR
#
# Makes a Debian package of a static binary, with what it says itself: its manual pages and its completions. Prints the
# package's path. Two runs write the same bytes; DEBFULLNAME and DEBEMAIL say who made it.
set -eu

binary=${1:?usage: deb.sh BINARY OUT_DIR}
out=${2:?usage: deb.sh BINARY OUT_DIR}
cd "$(dirname "$0")/../.."

case $(ldd "$binary" 2>&1) in
*'statically linked'* | *'not a dynamic executable'*) ;;
*)
    echo "deb.sh: $binary needs libraries of this machine; make static builds one that does not" >&2
    exit 1
    ;;
esac
# Reads as the commit that it was made of.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
version=$("$binary" --version | cut -d' ' -f2)
arch=$(dpkg --print-architecture)
mkdir -p "$out"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
umask 022

install -D -m 755 "$binary" "$tree/usr/bin/provision"
# What it reads of whoever builds it must not come in.
says() { env -i HOME=/nonexistent PATH="$PATH" LC_ALL=C.UTF-8 "$tree/usr/bin/provision" "$@"; }
man=$tree/usr/share/man/man1
mkdir -p "$man"
says man "$man"
gzip -9n "$man"/*.1
completion() {
    mkdir -p "$(dirname "$tree/$2")"
    says completions "$1" >"$tree/$2"
}
completion bash usr/share/bash-completion/completions/provision
completion zsh usr/share/zsh/vendor-completions/_provision
completion fish usr/share/fish/vendor_completions.d/provision.fish
doc=$tree/usr/share/doc/provision
mkdir -p "$doc/docs" "$doc/inventories"
install -m 644 README.md ARCHITECTURE.md "$doc"
install -m 644 docs/*.md docs/*.json "$doc/docs"
install -m 644 inventories/*.yaml "$doc/inventories"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
cat >"$doc/copyright" <<COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: provision

Files: *
Copyright: the authors of provision
License: Apache-2.0
 On Debian systems the whole text is in /usr/share/common-licenses/Apache-2.0.
COPYRIGHT

mkdir "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: provision
Version: $version
Architecture: $arch
Maintainer: ${DEBFULLNAME:-The authors of provision} <${DEBEMAIL:-provision@localhost}>
Installed-Size: $(du -k -s --exclude=DEBIAN "$tree" | cut -f1)
Depends: openssh-client
Suggests: docker.io, bash-completion
Section: admin
Priority: optional
Description: Spark-on-Mesos clusters from an inventory, over SSH
 Makes a highly available, proven Apache Spark on Apache Mesos cluster of the
 hosts of an inventory: a ZooKeeper ensemble, Mesos masters and agents, Docker
 with Spark's image, and the dispatcher. Nothing is installed on the hosts for
 it, and a second run changes nothing.
CONTROL
(cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
find "$tree" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$out/provision_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
