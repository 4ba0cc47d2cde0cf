# Two commands do all set-up: `make up` and `make test`. `make help` lists the rest.
#
# Settings, from the environment or the command line:
#   TANDEM_DIR=.tandem        where the dev node's cluster.yaml, secrets and env are
#   TANDEM_PORT_OFFSET=0      added to every port of a new dev node: 1000 for a second one beside the first
#   TANDEM_FREESWITCH=        FreeSWITCH's program or prefix, where it is not found; `none` for the media double

SHELL := /bin/bash
.DEFAULT_GOAL := help
# rustup's place, for shells that were open before it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin
export TANDEM_DIR ?= .tandem
export TANDEM_PORT_OFFSET ?= 0

# What `make test` compiles serves `make up` too: one build from a fresh clone to both.
PROFILE ?= dev
TARGET := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
TANDEM := $(TARGET)/tandem
BINS := --package tandem --package voipadmind --package media-double --bins

.PHONY: help up dev down purge status logs call load test model soak check bench-directory build deb test-ansible prerequisites

help: ## this list
	@echo "Tandem: two servers, one phone platform"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

up: dev ## install what is missing, build, and run a phone node on this machine

dev: build ## the same: one all-in-one node on loopback
	@$(TANDEM) dev up

down: $(TANDEM) ## stop the node; its data stays
	@$(TANDEM) dev down

purge: $(TANDEM) ## stop the node and remove its data, configuration and secrets
	@$(TANDEM) dev down --purge

status: $(TANDEM) ## what runs, as what, where
	@$(TANDEM) dev status

logs: $(TANDEM) ## the engines' logs; ENGINE=kamailio for one, FOLLOW=1 to keep showing what comes
	@$(TANDEM) dev logs $(ENGINE) $(if $(FOLLOW),--follow)

call: $(TANDEM) ## two phones register and call each other and a queue; the calls' records are printed
	@$(TANDEM) dev call

load: $(TANDEM) ## CALLS=100 calls at once through the running platform, each accounted for (docs/load.md)
	@$(TANDEM) load --calls $(or $(CALLS),100)

test: prerequisites ## install what is missing, then formatting, lints and every test
	@scripts/test

model: prerequisites ## the failover's model with larger bounds, and every counterexample caught: minutes
	cargo test --release --package fsm --test model -- --include-ignored --nocapture --test-threads=1

soak: prerequisites ## the long forms of tests: 5,000 records in each of 20 rounds of kill -9
	TANDEM_SOAK=1 cargo test --package voipadmind --test cdr_kill9 -- --nocapture

check: ## formatting, lints, licences: no tests
	@scripts/check

bench-directory: prerequisites ## directory answers against a bare axum handler, side by side
	cargo bench --package voipadmind --bench directory

build: prerequisites
	@cargo build --profile $(PROFILE) $(BINS)

test-ansible: deb ## deploy/ansible against two bare lab nodes, compared with tandem apply and join by hand; RELEASE=bookworm
	@scripts/test-ansible $(TANDEM)

deb: build ## the Debian packages of this build, in dist/; PROFILE=release for servers
	@scripts/package $(TARGET) $(PROFILE)

prerequisites:
	@scripts/prerequisites

# Not built here: a node can be stopped and looked at without building anything.
$(TANDEM):
	@echo "$(TANDEM) is not built yet; type: make up" >&2; exit 1
