# provision: the two commands to know are `make demo` and `make test`. Both do all the set-up they need
# on a fresh Debian 12 machine with Rust and root.

CACHE ?= .cache
# How many random worlds each law of the planner and the engine is held against; other ones in each run.
CASES ?= 96
# What a static binary is built for: this machine's kind of processor.
MUSL ?= $(shell uname -m)-unknown-linux-musl

.PHONY: help demo demo-down test test-all fast lab lab-long lint fmt bench sweep simulate-faults static deb engine tools

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## An inventory becomes a running, proven cluster in containers here (MESOS_DEB=path for a real Mesos)
	sh tests/assets/demo.sh

demo-down: ## Remove what `make demo` made
	sh tests/assets/demo.sh down

test: fast lab ## Three quarters of an hour of tests, the main job in containers among them

test-all: CASES = 300
test-all: test lab-long ## Every test there is: an hour more

# Tests of the library that need containers are named lab_*.
fast: tools ## Tests that need no container
	PROPTEST_CASES=$(CASES) cargo test --lib --bins --test program -- --skip lab_
	cargo test --manifest-path tests/standin/Cargo.toml
	cargo test --manifest-path tests/libmesos/Cargo.toml

lab: engine tools ## Tests in containers: the whole main job, Debian 11 and 13, jobs, changing members, adoption, faults
	cargo test --lib lab_ -- --nocapture
	cargo test --test lab -- --test-threads 2 --skip faults
	cargo test --test lab -- --test-threads 4 faults

lab-long: engine tools ## The long ones: shut doors, TLS, verbs, lost work, broken rungs, cut changes
	cargo test --test lab -- --test-threads 2 --ignored

sweep: engine ## Every cut of every action, of an apply and of changes of membership (some hours)
	SWEEP=all cargo test --test lab sweep_ -- --include-ignored --nocapture

simulate-faults: ## Memberships that change while things go wrong, by seeds (SEEDS=100000 for nights, FROM=n; SEED=n replays one)
	SEEDS=$(or $(SEEDS),10000) cargo test --profile simulate --lib worlds -- --nocapture

lint: tools ## Format, clippy, documentation, shell scripts
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo fmt --check --manifest-path tests/standin/Cargo.toml
	cargo clippy --all-targets --manifest-path tests/standin/Cargo.toml -- -D warnings
	cargo fmt --check --manifest-path tests/libmesos/Cargo.toml
	cargo clippy --all-targets --manifest-path tests/libmesos/Cargo.toml -- -D warnings
	RUSTDOCFLAGS="-Dwarnings -Arustdoc::private_intra_doc_links" cargo doc --no-deps --document-private-items --quiet
	shellcheck tests/assets/*.sh tests/standin/*.sh

static: ## A binary that runs on any Linux, whatever libraries that has: target/*-musl/release/provision
	@rustup target add $(MUSL) || { echo "the standard library for $(MUSL) is not to be had here; rustup brings it" >&2; exit 1; }
	cargo build --release --locked --target $(MUSL)

deb: static ## A Debian package of it, with manual pages and completions, in target/
	sh tests/assets/deb.sh target/$(MUSL)/release/provision target

fmt: ## Format
	cargo fmt

engine:
	sh tests/assets/engine.sh

tools:
	sh tests/assets/tools.sh

bench: engine tools ## Figures beside pyinfra, Ansible and plain ssh; writes docs/benchmarks.md
	sh benches/run.sh
