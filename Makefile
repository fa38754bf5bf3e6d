# Martlet's commands. `make run` and `make test` take a Debian machine with a Swift toolchain to a serving instance and to
# all tests passed; everything else is for those who change the code.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: run build test bench isolation format lint proto fuzz sanitize soak setup setup-test setup-bench venv clean

BINARY := .build/release/martlet
VENV := .build/venv
# What `make run` hands to `martlet serve --dev`.
ARGS ?=
# What `make bench` hands to Benchmarks/run.py.
BENCH_ARGS ?=
# What `make isolation` hands to Benchmarks/isolation.py.
ISOLATION_ARGS ?=
# How long the engine is churned in `make soak`.
SOAK_SECONDS ?= 3600
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

BUILD_PACKAGES := libnghttp2-dev libssl-dev libzstd-dev libjwt-dev libsqlite3-dev zlib1g-dev
TEST_PACKAGES := chromium curl nghttp2-client openssl python3-venv redis-server redis-tools
BENCH_PACKAGES := h2o redis-server webdis mosquitto memcached g++ libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc
PROTO_PACKAGES := protobuf-compiler
SOURCES := Sources Tests Fuzz Benchmarks Package.swift

# Installs those of the packages $(1) that are missing, and is silent when none is.
define install
	if ! command -v dpkg-query > /dev/null; then \
	    echo "setup: not a Debian system; these packages, or what they are called here, must be installed: $(1)"; \
	    exit 0; \
	fi; \
	missing=""; \
	for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}' "$$package" 2> /dev/null | grep -qx installed \
	        || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	    echo "setup: installing$$missing"; \
	    as_root=""; \
	    if [ "$$(id -u)" != 0 ]; then \
	        command -v sudo > /dev/null \
	            || { echo "setup: root or sudo is needed for: apt-get install$$missing"; exit 1; }; \
	        as_root=sudo; \
	    fi; \
	    $$as_root apt-get update -q; \
	    $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi
endef

run: build
	exec $(BINARY) serve --dev $(ARGS)

build: setup
	swift build -c release --product martlet

test: setup-test build venv
	swift test
	MARTLET_BIN=$(CURDIR)/$(BINARY) $(VENV)/bin/pytest Tests/EndToEnd

# What takes too long for every change.
soak: setup-test build venv
	MARTLET_BIN=$(CURDIR)/$(BINARY) $(VENV)/bin/pytest Tests/EndToEnd -m soak
	MARTLET_DEV=1 swift build -c release --product EngineBench
	$(VENV)/bin/python Benchmarks/engine_churn.py $(SOAK_SECONDS)

bench: setup-bench build venv
	MARTLET_DEV=1 swift build -c release --product EngineBench
	MARTLET_DEV=1 swift build -c release --product AdmissionBench
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement Benchmarks/requirements.txt
	MARTLET_BIN=$(CURDIR)/$(BINARY) $(VENV)/bin/python Benchmarks/run.py $(BENCH_ARGS)

isolation: setup-test build
	MARTLET_BIN=$(CURDIR)/$(BINARY) python3 Benchmarks/isolation.py $(ISOLATION_ARGS)

format:
	swift format --in-place --recursive $(SOURCES)

lint:
	swift format lint --strict --recursive $(SOURCES)
	Tests/lint.sh

# Every target in Fuzz/, under libFuzzer and the address sanitizer: first the inputs that once broke it, then new ones.
# Swift's own crash handler would catch the signal before libFuzzer, which then could not save the input.
fuzz: export SWIFT_BACKTRACE := enable=no
fuzz: setup
	shopt -s nullglob; \
	for directory in Fuzz/*/; do \
	    target=$$(basename "$$directory"); \
	    MARTLET_DEV=1 swift build --scratch-path .build-fuzz --sanitize fuzzer --sanitize address \
	        -Xswiftc -sanitize=fuzzer,address --product "$$target"; \
	    corpus=(".build-fuzz/corpus/$$target"); \
	    if [ -d "$${directory}Corpus" ]; then corpus+=("$${directory}Corpus"); fi; \
	    mkdir -p ".build-fuzz/corpus/$$target"; \
	    crashers=("$${directory}Crashers"/*); \
	    if [ $${#crashers[@]} -gt 0 ]; then ".build-fuzz/debug/$$target" "$${crashers[@]}"; fi; \
	    ".build-fuzz/debug/$$target" -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=".build-fuzz/$$target-" \
	        "$${corpus[@]}"; \
	done

# The unit tests under the thread sanitizer, then under the address sanitizer.
sanitize: setup
	swift test --scratch-path .build-thread --sanitize thread
	swift test --scratch-path .build-address --sanitize address

# The Swift of the wire contract, from api/proto.
proto: setup
	@$(call install,$(PROTO_PACKAGES))
	swift build -c release --product protoc-gen-swift
	rm -f Sources/Wire/*.pb.swift
	protoc -I api/proto --plugin=.build/release/protoc-gen-swift \
	    --swift_opt=Visibility=Package --swift_out=Sources/Wire \
	    --descriptor_set_out=.build/wire.pb --include_imports api/proto/*.proto
	api/descriptors.sh .build/wire.pb > Sources/Wire/WireDescriptors.swift

setup:
	@$(call install,$(BUILD_PACKAGES))

setup-test: setup
	@$(call install,$(TEST_PACKAGES))

setup-bench: setup-test
	@$(call install,$(BENCH_PACKAGES))

venv: $(VENV)/.complete

$(VENV)/.complete: Tests/EndToEnd/requirements.txt | setup-test
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# Data of an instance that `make run` started is left alone.
clean:
	swift package clean
	rm -rf $(VENV) .build-fuzz .build-thread .build-address
