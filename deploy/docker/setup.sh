#!/bin/sh
# Makes what all services share, once: tokens, the key of pseudonyms, the topics in Kafka.
#
# usage: setup.sh DATA BROKERS [OPTION]...
#   DATA     folder of tokens.json, token (the administrator's) and pseudonym.key
#   BROKERS  of Kafka
#   OPTION   of `zhili topics apply`
set -eu

data=$1 brokers=$2
shift 2
umask 077
# Files get their names only when they are complete.
if [ ! -f "$data/pseudonym.key" ]; then
    head -c 32 /dev/urandom >"$data/pseudonym.key.new"
    mv "$data/pseudonym.key.new" "$data/pseudonym.key"
fi
if [ ! -f "$data/token" ]; then
    zhili token create admin --data "$data" --role admin --role supervisor --role qa >"$data/token.new"
    mv "$data/token.new" "$data/token"
fi
exec zhili topics apply --kafka "$brokers" "$@"
