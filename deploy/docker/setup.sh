#!/bin/sh
# Makes what the services share, once: tokens, keys, the topics in Kafka.
#
# usage: setup.sh SECRETS BROKERS [OPTION]...
#   SECRETS  folder of four folders, each of which is shown to those alone who need it:
#              tokens/tokens.json       hashes of tokens, for every service
#              admin/token              the administrator's token, for people
#              pseudonym/pseudonym.key  32 bytes, for ingest
#              receipt/receipt.key      32 bytes, for metrics
#   BROKERS  of Kafka
#   OPTION   of `zhili topics apply`
set -eu

secrets=$1 brokers=$2
shift 2
umask 077
# Files get their names only when they are complete.
key() {
    [ -f "$1" ] || {
        head -c 32 /dev/urandom >"$1.new"
        mv "$1.new" "$1"
    }
}
key "$secrets/pseudonym/pseudonym.key"
key "$secrets/receipt/receipt.key"
if [ ! -f "$secrets/admin/token" ]; then
    zhili token create admin --data "$secrets/tokens" --role admin --role supervisor --role qa \
        >"$secrets/admin/token.new"
    mv "$secrets/admin/token.new" "$secrets/admin/token"
fi
exec zhili topics apply --kafka "$brokers" "$@"
