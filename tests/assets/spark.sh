#!/bin/sh
# Usage: spark.sh OUT_DIR [VERSION]
#
# Writes OUT_DIR/spark-VERSION-bin-pyspark.tgz, laid out as a Spark distribution, and prints its path. The Python
# package `pyspark` carries a distribution's jars, scripts, examples and data (it lacks sbin's daemon
# scripts, R and Kubernetes files), and it can be had wherever pip's own registry answers: that is
# enough to run Spark for real in tests. Two runs write the same bytes; a second run writes nothing.
set -eu

OUT=${1:?usage: spark.sh OUT_DIR [VERSION]}
VERSION=${2:-3.5.1}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/provision
NAME=spark-$VERSION-bin-pyspark

main() {
    mkdir -p "$OUT" "$CACHE"
    archive=$(cd "$OUT" && pwd)/$NAME.tgz
    if [ ! -s "$archive" ]; then
        # Two callers at once must not work twice.
        exec 9>"$CACHE/$NAME.lock"
        flock 9
        [ -s "$archive" ] || make
    fi
    echo "$archive"
}

install_pip() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die 'missing: pip3 (apt-get install python3-pip)'
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends python3-pip >/dev/null 2>&1 || {
        apt-get update -q >/dev/null
        apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends python3-pip >/dev/null
    }
}

make() {
    work=$(mktemp -d "$CACHE/.$NAME.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    # Deterministic: sorted names, one time, no owner; level 1, as jars do not get smaller.
    if [ ! -s "$CACHE/$NAME.tgz" ]; then
        sdist=$(find_sdist)
        lay_out "$sdist" "$work/$NAME"
        tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu \
            --mode='u+rwX,go+rX,go-w' --directory "$work" "$NAME" | gzip -1 -n >"$work/$NAME.tgz"
        mv -f "$work/$NAME.tgz" "$CACHE/$NAME.tgz"
    fi
    # A link costs nothing; OUT_DIR may be another file system.
    ln -f "$CACHE/$NAME.tgz" "$archive" 2>/dev/null || {
        cp "$CACHE/$NAME.tgz" "$archive.part"
        mv -f "$archive.part" "$archive"
    }
}

find_sdist() {
    [ -n "$(command -v pip3 || command -v pip)" ] || install_pip
    mkdir "$work/sdist"
    # A release that has wheels would answer with one: only the source archive has the layout below.
    "$(command -v pip3 || command -v pip)" download --quiet --no-deps --no-binary pyspark \
        --dest "$work/sdist" "pyspark==$VERSION" >&2
    set -- "$work"/sdist/pyspark-*.tar.gz
    [ -s "$1" ] || die "pip found no source archive of pyspark $VERSION"
    echo "$1"
}

lay_out() {
    home=$2
    mkdir -p "$home/python/lib" "$home/conf"
    tar --extract --gzip --file "$1" --directory "$work/sdist" --no-same-owner
    from=$work/sdist/pyspark-$VERSION
    for part in bin sbin jars data licenses; do mv "$from/deps/$part" "$home/$part"; done
    # The package flattens src/main/python, which is where a distribution and its users have it.
    mkdir -p "$home/examples/src/main"
    mv "$from/deps/examples" "$home/examples/src/main/python"
    rm -f "$home"/bin/*.cmd
    mv "$from"/lib/*.zip "$home/python/lib/"
    mv "$from/pyspark" "$home/python/pyspark"
    echo "Spark $VERSION, laid out from the Python package's source archive" >"$home/RELEASE"
    chmod 0755 "$home"/bin/* "$home"/sbin/*
    for need in bin/spark-submit bin/spark-class jars/spark-core_ examples/src/main/python/pi.py \
        python/lib/pyspark.zip python/lib/py4j-; do
        set -- "$home/$need"*
        [ -e "$1" ] || die "the source archive of pyspark $VERSION has no ${need}: its layout has changed"
    done
}

die() {
    echo "spark.sh: $*" >&2
    exit 1
}

main
