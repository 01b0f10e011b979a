#!/bin/sh
# Usage: sysroot.sh SUITE
#
# Prints the directory of a Debian's C library as hosts of that release have it, to link against: what is linked
# against a newer one does not start there. It is unpacked by mmdebstrap from this machine's own mirror, once.
set -eu

suite=${1:?usage: sysroot.sh SUITE}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/provision
sysroot=$cache/sysroot-$suite
mkdir -p "$cache"
# Two callers at once must not work twice.
exec 9>"$sysroot.lock"
flock 9
if [ ! -e "$sysroot/usr/include/stdio.h" ]; then
    command -v mmdebstrap >/dev/null || {
        echo "sysroot.sh: there is no mmdebstrap: tests/assets/engine.sh installs it, or apt-get install mmdebstrap" >&2
        exit 1
    }
    work=$(mktemp -d "$cache/.sysroot.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    # Of the machine's own release, which names another suite of the same mirror.
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(COMPONENT)' 'Created-By: Packages' |
        sed -n 's/^Debian|[a-z]*|\(http[^|]*\)|main$/\1/p' | head -n 1)
    # shellcheck disable=SC2086 # one word or none
    mmdebstrap --quiet --variant=extract --include=libc6-dev,libgcc-s1 "$suite" "$work/root" $mirror >&2
    # Links of libc6-dev name the machine's own library.
    find "$work/root" -type l -lname '/*' | while read -r link; do
        ln -sfn "$sysroot$(readlink "$link")" "$link"
    done
    chmod 755 "$work/root"
    rm -rf "$sysroot"
    mv "$work/root" "$sysroot"
fi
echo "$sysroot"
