# provision: the two commands to know are `make demo` and `make test`. Both do all the set-up they need
# on a fresh Debian 12 machine with Rust and root.

CACHE ?= .cache

# Tests in containers are named lab_* and faults; everything else needs none.
FAST := $(filter-out lab_% faults,$(basename $(notdir $(wildcard tests/*.rs))))

.PHONY: help demo demo-down test fast lab lint fmt bench sweep engine tools

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## An inventory becomes a running, proven cluster in containers here (MESOS_DEB=path for a real Mesos)
	sh tests/assets/demo.sh

demo-down: ## Remove what `make demo` made
	sh tests/assets/demo.sh down

test: fast lab ## Every test, the lab suite included

fast: tools ## Tests that need no container
	cargo test --lib --bins $(addprefix --test ,$(FAST))
	cargo test --manifest-path tests/standin/Cargo.toml

lab: engine tools ## Tests in containers: the whole main job
	cargo test --test lab_host --test lab_main -- --nocapture
	cargo test --test faults -- --test-threads 4

sweep: engine ## Every cut of every action, on the wire and of our own process (under an hour)
	SWEEP=all cargo test --test faults sweep_ -- --nocapture

lint: ## Format, clippy, documentation, shell scripts
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --quiet
	@command -v shellcheck >/dev/null || { echo "shellcheck is missing: apt-get install shellcheck"; exit 1; }
	shellcheck tests/assets/*.sh tests/standin/build-deb.sh

fmt: ## Format
	cargo fmt

engine:
	sh tests/assets/engine.sh

tools:
	sh tests/assets/tools.sh

bench: engine tools ## Figures beside pyinfra, Ansible and plain ssh; writes docs/benchmarks.md
	sh benches/run.sh
