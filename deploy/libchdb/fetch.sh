#!/bin/sh
# Puts libchdb, which `zhili store` loads, into the cache and checks it; prints nothing when it
# is there already. Needs npm (or another client of the npm registry by that name), tar and
# sha256sum. Linux on x86-64 only: elsewhere give `--clickhouse-url` of a ClickHouse server.
set -eu

package=@chdb/lib-linux-x64-gnu@26.7.3-stable.1
archive_sha256=c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad
library_sha256=36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5
version=26.7.3

folder=${ZHILI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zhili}/libchdb-$version
library=$folder/libchdb.so

# The file gets its name only after it was checked.
[ -f "$library" ] && exit 0

fail() {
    echo "fetch libchdb: $1" >&2
    exit 69
}

check() {
    [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$2" ] ||
        fail "$3 has another sha256 than $2: try again, or report it"
}

case "$(uname -s)-$(uname -m)" in
Linux-x86_64 | Linux-amd64) ;;
*) fail "libchdb exists for Linux on x86-64 only: give --clickhouse-url of a ClickHouse server" ;;
esac
for tool in npm tar sha256sum; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done

mkdir -p "$folder" || fail "cannot write to $folder"
work=$(mktemp -d "$folder/fetch.XXXXXX") || fail "cannot write to $folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "fetching libchdb $version (178 MB, once) into $folder" >&2
(cd "$work" && npm pack --silent "$package" >/dev/null 2>npm.log) ||
    fail "npm pack $package failed: $(tail -n 1 "$work/npm.log")"
set -- "$work"/*.tgz
[ -f "$1" ] || fail "npm pack $package gave no archive"
check "$1" "$archive_sha256" "the archive of $package"
tar -xzf "$1" -C "$work" package/libchdb.so || fail "cannot unpack $package into $work"
check "$work/package/libchdb.so" "$library_sha256" "libchdb.so of $package"
mv -f "$work/package/libchdb.so" "$library" || fail "cannot write $library"
