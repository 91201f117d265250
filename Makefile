# Everything that is needed on a fresh machine is done by these two: `make run`, `make test`.

CARGO ?= cargo
DATA ?= .zhili
PORT_BASE ?= 7400
FILE ?= tests/samples
SERVICES = zhili zhili-ingest zhili-scoring zhili-escalation zhili-metrics

.DEFAULT_GOAL := help
.PHONY: help run run-cluster test check sbom advisories chaos overload upgrade kills simulate mutations latency bench eval train fuzz lint reference setup kafka console

help:
	@echo "make run               start everything on this machine and publish the samples"
	@echo "make run FILE=path     start everything and publish that file"
	@echo "make run DATA=folder PORT_BASE=17400  in another folder than .zhili, on other ports than 7400 to 7404"
	@echo "make run-cluster       the same on Kafka, with two replicas of each service"
	@echo "make test              all tests"
	@echo "make check             deployment files, alerts, contracts and licences, without running them"
	@echo "make sbom              what the programs and the console are made of, CycloneDX, into target/sbom"
	@echo "make advisories        whether anything is known against it; needs cargo-deny and its database"
	@echo "make chaos             half an hour of every fault on each log, and what is left of what was acknowledged"
	@echo "make chaos MINUTES=5 SEED=7 LOG=kafka"
	@echo "make overload          ten times what it can take for ten minutes, and what that costs in memory"
	@echo "make upgrade FROM=COMMIT  that version, upgraded to this one, back and forth, under load"
	@echo "make kills             the kill matrix, 20 points each, and five minutes of kills under a flood"
	@echo "make simulate          a million simulated runs of sink, fold runner and pages (SEEDS=)"
	@echo "make mutations         switches off one protection after the other: does a test notice?"
	@echo "make latency           how long an event takes at 200 a second, on both logs"
	@echo "make bench             each part and the whole beside what limits it; ROWS=page for some rows"
	@echo "                       ROWS=questions: the console's questions of twenty million messages, minutes"
	@echo "make eval              figures of the engine on the sets in ../shared/data, against their goals"
	@echo "make train             learns the engine's heads from those sets again"
	@echo "make console           the web console alone; it is part of run and test"
	@echo "make fuzz              looks for inputs that break the engine and each parser, FUZZ_SECONDS each (600)"
	@echo "make reference         writes docs/configuration.md out of the types of the settings"
	@echo "make lint              format and clippy, as CI has them"

# libchdb: ClickHouse as a library, which the store loads.
setup:
	@sh deploy/libchdb/fetch.sh

# The web console, which the metrics service embeds when it is there. Built again when its sources
# are newer.
WEB = services/metrics/web
console: $(WEB)/dist/index.html

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB)/index.html $(WEB)/vite.config.ts \
		$(wildcard $(WEB)/src/*.* $(WEB)/src/pages/*.*)
	@echo "building the console" >&2
	@cd $(WEB) && npm run --silent build -- --logLevel warn

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@cd $(WEB) && npm ci --no-audit --no-fund --loglevel error >&2

# Apache Kafka for the tests of the Kafka log.
kafka:
	@sh deploy/kafka/fetch.sh

run: setup console
	@echo "building zhili; the first time takes some minutes" >&2
	@$(CARGO) build --release --package zhili
	@exec target/release/zhili up --data $(DATA) --port-base $(PORT_BASE) --publish $(FILE)

run-cluster: setup kafka console
	@echo "building the services; the first time takes some minutes" >&2
	@$(CARGO) build --release --bins $(SERVICES:%=--package %)
	@exec node deploy/cluster/run.mjs --data $(DATA)-cluster --port-base $(PORT_BASE) --publish $(FILE)

# The tests that run programs take those that were built with the tests.
BUILT = $(abspath $(or $(CARGO_TARGET_DIR),target))/debug
test: setup kafka console
	$(CARGO) test --workspace --no-run
	ZHILI_BIN=$(BUILT)/zhili ZHILI_STORE_BIN=$(BUILT)/zhili-store $(CARGO) test --workspace --no-fail-fast

# What is deployed. Programs that were built are asked about their settings, too.
check:
	@ZHILI_BUILT=$(BUILT) sh deploy/check/check.sh

sbom:
	@python3 deploy/sbom/sbom.py $(or $(CARGO_TARGET_DIR),target)/sbom

# No part of check: databases that cannot be reached say nothing, and what they say changes by itself.
advisories:
	@sh deploy/check/advisories.sh

# Seeded traffic and faults, judged by the conservation oracle; docs/reliability.md. Appends one object
# a run to target/chaos/report.json.
MINUTES ?= 30
SEED ?= 1
LOG ?= embedded kafka
chaos: setup kafka
	$(CARGO) build --release --bins $(SERVICES:%=--package %)
	status=0; for log in $(LOG); do ZHILI_BIN=$(RELEASED)/zhili $(CARGO) run --release --package zhili-tests --example chaos -- \
		$$log --minutes $(MINUTES) --seed $(SEED) --report target/chaos/report.json $(FLAGS) || status=1; done; exit $$status
RELEASED = $(abspath $(or $(CARGO_TARGET_DIR),target))/release

# Ten minutes of ten times what a `zhili up` of a slow machine can take, with a bound on its memory.
overload: MINUTES = 10
overload: setup
	$(CARGO) build --release --bins $(SERVICES:%=--package %)
	ZHILI_BIN=$(RELEASED)/zhili $(CARGO) run --release --package zhili-tests --example chaos -- \
		overload 10 --minutes $(MINUTES) --report target/chaos/overload.json

# The version of a commit, upgraded to this one, put back and upgraded again, part by part, under the
# traffic of `make chaos`.
OLDER = $(abspath target/upgrade)
upgrade:
	@test -n "$(FROM)" || { echo "from which version? make upgrade FROM=COMMIT" >&2; exit 64; }
	rm -rf $(OLDER)/source && git worktree prune && git worktree add --detach $(OLDER)/source $(FROM)
	cd $(OLDER)/source && CARGO_TARGET_DIR=$(OLDER) $(CARGO) build --release --bins $(SERVICES:%=--package %)
	$(MAKE) chaos FLAGS="--older $(OLDER)/release"

# The kill matrix at its full length, on both logs; `make test` has a short one.
kills: setup kafka
	ZHILI_CHAOS_POINTS=20 ZHILI_CHAOS_SECONDS=300 $(CARGO) test --package zhili-tests --test end_to_end --test cluster -- \
		killing dropping stands_still --nocapture --test-threads 1

# Simulated runs with faults drawn from seeds: sink, fold runner and pages, in shares that take about as
# long as each other. ZHILI_SEED=n after a failure runs the one that it names.
SEEDS ?= 1000000
simulate:
	ZHILI_SEEDS=$$(($(SEEDS) * 70 / 100)) $(CARGO) test --release --package zhili-warehouse --test exactly_once -- many_faults --nocapture
	ZHILI_SEEDS=$$(($(SEEDS) * 26 / 100)) $(CARGO) test --release --package zhili-eventlog --test simulation -- --nocapture
	ZHILI_SEEDS=$$(($(SEEDS) * 4 / 100)) $(CARGO) test --release --package zhili-escalation --lib -- many_faults --nocapture

# Works on a copy of the sources.
mutations:
	@node tests/mutations.mjs

# On an otherwise idle machine.
latency: setup kafka
	$(CARGO) build --release --bins $(SERVICES:%=--package %)
	$(CARGO) run --release --package zhili-tests --example latency -- embedded
	$(CARGO) run --release --package zhili-tests --example latency -- kafka

bench: setup kafka
	$(CARGO) build --release --bins $(SERVICES:%=--package %)
	$(CARGO) build --release --package zhili-dialogue --example dialogue_throughput
	ZHILI_BIN=$(RELEASED)/zhili $(CARGO) run --release --package zhili-tests --example bench -- $(ROWS)

eval:
	$(CARGO) run --release --package zhili-tone --example evaluate

train:
	$(CARGO) run --release --package zhili-tone --example train -- --out crates/tone/model
	$(CARGO) run --release --package zhili-tone --example calibrate > crates/tone/model/confidence.new
	mv crates/tone/model/confidence.new crates/tone/model/confidence.tsv

# The text engine, and the searches that `make test` runs shortly: tests that are called fuzzed_.
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 1
FUZZED = zhili-redact zhili-tone zhili-dialogue zhili-incident zhili-eventlog zhili-warehouse \
	zhili-ingest zhili-scoring zhili-escalation zhili-store

fuzz:
	$(CARGO) run --release --package zhili-tone --example fuzz -- --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	ZHILI_FUZZ_SECONDS=$(FUZZ_SECONDS) ZHILI_FUZZ_SEED=$(FUZZ_SEED) $(CARGO) test --release --lib --no-fail-fast \
		$(FUZZED:%=--package %) -- fuzzed_ --nocapture

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The same test fails when the page is stale.
reference:
	ZHILI_WRITE_REFERENCE=1 $(CARGO) test --package zhili --bin zhili -- the_reference_of_settings
