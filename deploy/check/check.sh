#!/bin/sh
# Checks what is deployed, without running it: the compose file, the Kubernetes manifests, alerts and their tests,
# contracts, Kafka's rules, the Dockerfile, licences and what is built in. One line each: ok, failed, or not checked and why. With CI=true what
# could not be checked has failed.
#
# usage: check.sh [NAME ...]
# With names, nothing but these checks, for which Python's tools are enough.
# Tools are fetched once into ${ZHILI_CACHE:-${XDG_CACHE_HOME:-~/.cache}/zhili}/check; nothing is installed. Programs in
# ZHILI_BUILT, if there are any, are asked whether they take the settings that they would be given.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${ZHILI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zhili}/check
mkdir -p "$cache"

# The beginning of a file's hash: what was fetched for other contents is left alone.
mark() { sha256sum "$1" | cut -c 1-12; }

python=$cache/python-$(mark "$here/requirements.txt")
if [ ! -e "$python/complete" ]; then
    rm -rf "$python"
    if ! { python3 -m venv "$python" &&
        "$python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"; }; then
        echo "cannot fetch what deploy/check/requirements.txt names; Python 3.11 or later with venv, and PyPI, are needed" >&2
        exit 69
    fi
    touch "$python/complete"
fi

if [ $# -gt 0 ]; then
    exec "$python/bin/python" "$here/check.py" "$@"
fi

node=$cache/node-$(mark "$here/package-lock.json")
if [ ! -e "$node/complete" ] && command -v npm >/dev/null; then
    rm -rf "$node"
    mkdir "$node"
    cp "$here/package.json" "$here/package-lock.json" "$node"
    if npm ci --prefix "$node" --no-audit --no-fund --loglevel error >&2; then touch "$node/complete"; fi
fi

# promtool is a part of Debian's package of Prometheus, which is taken apart and not installed.
promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
    promtool=$cache/prometheus/usr/bin/promtool
    if [ ! -x "$promtool" ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        partial=$(mktemp -d "$cache/.prometheus.XXXXXX")
        trap 'rm -rf "$partial"' EXIT
        (
            cd "$partial"
            # A machine that is new has no lists of packages yet.
            apt-get -qq download prometheus 2>/dev/null ||
                { apt-get -qq update && apt-get -qq download prometheus; }
            dpkg-deb -x prometheus_*.deb tree
        ) >&2 && { [ -x "$promtool" ] || mv "$partial/tree" "$cache/prometheus"; } || true
    fi
fi

# kubectl has kustomize in it; without both, Go can build it.
if command -v kubectl >/dev/null; then
    kustomize="kubectl kustomize"
elif command -v kustomize >/dev/null; then
    kustomize="kustomize build"
else
    program=$cache/go/kustomize
    if [ ! -x "$program" ] && command -v go >/dev/null; then
        GOBIN=$cache/go go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 >&2 || true
    fi
    kustomize="$program build"
fi

PATH=$python/bin:$node/node_modules/.bin:$PATH PROMTOOL=$promtool KUSTOMIZE=$kustomize \
    exec "$python/bin/python" "$here/check.py"
