#!/bin/sh
# Asks what is known against what is built in: the RustSec database for the crates, npm's for the console. One line each:
# ok, failed, or not asked and why. Nobody who could not be asked is taken to have said that all is well.
#
# usage: advisories.sh
# Ends with 0 when both have nothing to say, 1 when one has, 69 when one could not be asked.
set -u
cd "$(dirname "$0")/../.."

failed=0 unasked=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

if ! cargo deny --version >/dev/null 2>&1; then
    echo "crates   not asked: cargo-deny is not installed; cargo install --locked cargo-deny"
    unasked=1
elif ! cargo deny fetch db >"$said" 2>&1; then
    echo "crates   not asked: the RustSec database cannot be fetched"
    cat "$said" >&2
    unasked=1
elif cargo deny --offline check advisories >"$said" 2>&1; then
    echo "crates   ok"
else
    echo "crates   failed"
    cat "$said" >&2
    failed=1
fi

# Without an answer npm writes an object with `message` in it, with one `auditReportVersion`.
npm audit --prefix services/metrics/web --omit dev --json >"$said" 2>/dev/null
status=$?
if ! grep -q '"auditReportVersion"' "$said"; then
    echo "console  not asked: the registry does not answer npm audit"
    unasked=1
elif [ "$status" = 0 ]; then
    echo "console  ok"
else
    echo "console  failed"
    cat "$said" >&2
    failed=1
fi

[ "$failed" = 0 ] || exit 1
[ "$unasked" = 0 ] || exit 69
