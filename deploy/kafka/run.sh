#!/bin/sh
# Runs one Kafka broker (KRaft, loopback only, replication factor 1) in the foreground: for tests and
# for trying things out, not for production.
#
# usage: run.sh [--tied [--keep]] DATA PORT CONTROLLER_PORT [KEY=VALUE]...
#   DATA             folder for logs and metadata; formatted on first use
#   PORT             of the broker, on 127.0.0.1
#   CONTROLLER_PORT  of the controller, on 127.0.0.1
#   KEY=VALUE        further broker properties
#
# With --tied the broker never outlives the process that holds the other end of standard input, however
# that process ends: when it closes, the broker is killed and DATA removed. The lines stop, kill, pause
# and resume on standard input stop, kill, freeze and thaw the broker; DATA stays. With --keep the end of
# standard input stops the broker in order instead, and DATA stays as well.
set -eu

tied=
[ "${1:-}" != --tied ] || {
    tied=1
    shift
}
keep=
[ "${1:-}" != --keep ] || {
    keep=1
    shift
}
[ $# -ge 3 ] || {
    sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
    exit 64
}
here=$(cd "$(dirname "$0")" && pwd)
data=$1 port=$2 controller_port=$3
shift 3
jars=$("$here/fetch.sh")

mkdir -p "$data"
data=$(cd "$data" && pwd)
properties=$data/server.properties
cat >"$properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data/logs
auto.create.topics.enable=false
# One broker: internal topics cannot have more replicas, and need few partitions.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A consumer group that stood still for a long weekend must find its positions again.
offsets.retention.minutes=50400
# Joining waits for nobody: a group of one starts at once.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
# The transaction of a killed producer holds up readers until it is found out.
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
# Small: the default of 128 MiB is a third of the heap.
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.threads=1
num.network.threads=2
num.io.threads=4
PROPERTIES
for property in "$@"; do
    echo "$property" >>"$properties"
done

# C1 only and the serial collector: starts in half the time and stays small.
java="java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    -Djava.awt.headless=true -Dlog4j2.configurationFile=$here/log4j2.properties"

if [ ! -f "$data/logs/meta.properties" ]; then
    # shellcheck disable=SC2086
    $java -cp "$jars/*" kafka.tools.StorageTool format \
        --cluster-id emhpbGktemhpbGktemhpbA --config "$properties" >"$data/format.log" 2>&1 || {
        cat "$data/format.log" >&2
        exit 1
    }
fi

if [ -z "$tied" ]; then
    # shellcheck disable=SC2086
    exec $java -cp "$jars/*" kafka.Kafka "$properties"
fi

# Words on standard input act on the broker; its end kills it.
exec 3<&0
# shellcheck disable=SC2086
$java -cp "$jars/*" kafka.Kafka "$properties" 3<&- </dev/null &
broker=$!
{
    while read -r word; do
        case $word in
        stop) kill -TERM "$broker" ;;
        kill) kill -KILL "$broker" ;;
        pause) kill -STOP "$broker" ;;
        resume) kill -CONT "$broker" ;;
        esac
    done
    if [ -n "$keep" ]; then
        kill -TERM "$broker"
    else
        touch "$data/abandoned"
        kill -KILL "$broker"
    fi
} <&3 >/dev/null 2>&1 &
watch=$!
exec 3<&-
status=0
wait "$broker" || status=$?
kill "$watch" 2>/dev/null || true
[ ! -e "$data/abandoned" ] || rm -rf "$data"
exit "$status"
