#!/bin/sh
# Fetches Apache Kafka once and prints the folder of its jars.
#
# usage: fetch.sh
# The folder is ${ZHILI_CACHE:-${XDG_CACHE_HOME:-~/.cache}/zhili}/kafka-<version>. Needs a JDK (17 or later)
# and mvn; exits 69 with one line on stderr when they or the registry are missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n '/kafka_2.13/,/version/s:.*<version>\(.*\)</version>.*:\1:p' "$here/pom.xml")
cache=${ZHILI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zhili}
jars=$cache/kafka-$version

unavailable() {
    echo "Kafka $version is not available: $1" >&2
    exit 69
}

command -v java >/dev/null 2>&1 || unavailable "java not found; install a JDK, 17 or later"
if [ -d "$jars" ]; then
    echo "$jars"
    exit 0
fi
command -v mvn >/dev/null 2>&1 || unavailable "mvn not found; install Maven"

# A folder of its own, renamed when complete: two fetches at once do not disturb each other, and an
# interrupted one leaves nothing that looks finished.
mkdir -p "$cache"
partial=$(mktemp -d "$cache/.kafka-$version.XXXXXX")
trap 'rm -rf "$partial"' EXIT
trap 'exit 1' HUP INT TERM

if ! mvn --batch-mode --quiet --file "$here/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$partial/jars" >"$partial/log" 2>&1; then
    sed -n '/ERROR/p' "$partial/log" >&2
    unavailable "mvn could not resolve it (see above)"
fi

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}
(cd "$partial/jars" && sha256 --check --strict --status "$here/SHA256SUMS") ||
    unavailable "a fetched file differs from deploy/kafka/SHA256SUMS"
listed=$(wc -l <"$here/SHA256SUMS")
fetched=$(find "$partial/jars" -type f | wc -l)
[ "$listed" -eq "$fetched" ] ||
    unavailable "$fetched files were fetched, deploy/kafka/SHA256SUMS lists $listed"

chmod 755 "$partial/jars"
mv "$partial/jars" "$jars" 2>/dev/null || [ -d "$jars" ] || unavailable "cannot write $jars"
echo "$jars"
