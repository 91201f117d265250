#!/bin/sh
# Puts the rules of acls.tsv in force. Repeating it has no further effect; it takes nothing away.
#
# usage: acls.sh BROKERS ADMIN
#   BROKERS  HOST:PORT of some brokers, separated by commas
#   ADMIN    file of properties with which an administrator's client connects
set -eu

[ $# -eq 2 ] || {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 64
}
here=$(cd "$(dirname "$0")" && pwd)
jars=$("$here/fetch.sh")
exec java -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$jars/*" \
    "$here/Acls.java" "$here/acls.tsv" "$1" "$2"
