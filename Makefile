# Two commands do all set-up: `make up` and `make test`. `make help` lists the rest.
#
# Settings, from the environment or the command line:
#   RELEASE=trixie            the lab's Debian: trixie or bookworm
#   LAB=lab LAB_PORT=8080     a new lab's name, and its port on 127.0.0.1; others for a second one beside the first
#   ARBITER=none              who says whether a node of the lab may go on alone: none, etcd or fence (docs/arbiter.md)
#   TANDEM_DIR=.tandem        becomes a link to the lab's folder, where env is
#   TANDEM_DEV_DIR=.tandem-dev where the dev node's cluster.yaml, secrets and env are
#   TANDEM_PORT_OFFSET=0      added to every port of a new dev node: 1000 for a second one beside the first
#   TANDEM_FREESWITCH=        FreeSWITCH's program or prefix, where it is not found; `none` for the media double

SHELL := /bin/bash
.DEFAULT_GOAL := help
# rustup's place, for shells that were open before it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin
RELEASE ?= trixie
ARBITER ?= none
export TANDEM_DIR ?= .tandem
# This clone's lab, once it has one.
LAB ?= $(or $(patsubst /var/lib/tandem-lab/%,%,$(filter /var/lib/tandem-lab/%,$(shell readlink $(TANDEM_DIR)))),lab)
LAB_PORT ?= 8080
export TANDEM_DEV_DIR ?= .tandem-dev
export TANDEM_LAB ?= $(LAB)
export TANDEM_LAB_RELEASE ?= $(RELEASE)
export TANDEM_LAB_PORT ?= $(LAB_PORT)
export TANDEM_LAB_ARBITER ?= $(ARBITER)
export TANDEM_PORT_OFFSET ?= 0

# What `make test` compiles serves `make up` too: one build from a fresh clone to both.
PROFILE ?= dev
TARGET := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
TANDEM := $(TARGET)/tandem
# The node that status and logs show.
NODE ?= n1
DEV = TANDEM_DIR=$(TANDEM_DEV_DIR) $(TANDEM) dev
# Else the dev node is meant.
LAB_IS_UP = [ -e $(TANDEM_DIR)/state.json ]
# The lab and its images belong to the machine: whoever has a dev node only takes nobody's down. After an `up` that broke
# there may be no link yet.
LAB_IS_OURS = [ -L $(TANDEM_DIR) ] || [ ! -e $(TANDEM_DEV_DIR) -a "$$(id -u)" = 0 ]
# `up` makes what ARBITER says; what is up already is only refused where another was asked for.
ASKED_ARBITER = $(if $(filter-out file,$(origin ARBITER)),--arbiter $(ARBITER))
BINS := --package tandem --package voipadmind --package media-double --bins

.PHONY: help up dev down purge status logs call load demo faults chaos lab-test test model soak check bench-directory bench-cdr bench-cdr-search build deb test-ansible prerequisites

help: ## this list
	@echo "Tandem: two servers, one phone platform"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

up: deb ## install what is missing, build, and make two Debian nodes on this machine (RELEASE=trixie|bookworm, ARBITER=none|etcd|fence)
	@$(TANDEM) lab up

dev: build ## one all-in-one node on loopback instead: no root, no systemd, no second node
	@$(DEV) up

down: $(TANDEM) ## remove the lab, and stop the dev node (its data stays)
	@if $(LAB_IS_OURS); then $(TANDEM) lab down; fi
	@if [ -e $(TANDEM_DEV_DIR) ]; then $(DEV) down; fi

purge: $(TANDEM) ## remove the lab with its images, the dev node with its data
	@if $(LAB_IS_OURS); then $(TANDEM) lab down --purge; fi
	@if [ -e $(TANDEM_DEV_DIR) ]; then $(DEV) down --purge; fi

status: $(TANDEM) ## what runs, as what, where
	@if $(LAB_IS_UP); then $(TANDEM) lab status && $(TANDEM) lab exec $(NODE) -- tandem status; else $(DEV) status; fi

logs: $(TANDEM) ## the logs; ENGINE=kamailio for one, NODE=n2, FOLLOW=1 to keep showing what comes
	@if $(LAB_IS_UP); then $(TANDEM) lab logs $(NODE) $(ENGINE) $(if $(FOLLOW),--follow); \
	else $(DEV) logs $(ENGINE) $(if $(FOLLOW),--follow); fi

call: $(TANDEM) ## two phones register and call each other and a queue; the calls' records are printed
	@if $(LAB_IS_UP); then $(TANDEM) lab call; else $(DEV) call; fi

load: $(TANDEM) ## CALLS=100 calls at once through the running platform, each accounted for (docs/load.md)
	@$(TANDEM) load --calls $(or $(CALLS),100) $(if $(wildcard $(TANDEM_DIR)/state.json),,--dir $(TANDEM_DEV_DIR))

demo: $(TANDEM) ## calls run, the active node is killed, then the standby: what stops, what moves, what is lost (2 minutes; CALLS=6)
	@$(TANDEM) lab demo $(if $(CALLS),--calls $(CALLS))

faults: $(TANDEM) ## every fault of the table, REPEAT=1 times each; CASE=active-dies for one; writes docs/faults.md
	@$(TANDEM) lab faults --repeat $(or $(REPEAT),1) $(ASKED_ARBITER) \
	$(if $(CASE),--case $(CASE),--report docs/faults.md)

chaos: $(TANDEM) ## N=100 random faults in a row, the same for the same SEED; ARBITER=etcd insists on that lab
	@$(TANDEM) lab chaos -n $(or $(N),100) $(if $(SEED),--seed $(SEED)) $(ASKED_ARBITER)

lab-test: build ## the lab's tests on RELEASE
	@scripts/package $(TARGET) $(PROFILE)
	cargo test --package lab -- --test-threads=1 --nocapture

test: prerequisites ## install what is missing, then formatting, lints and every test
	@scripts/test

model: prerequisites ## the failover's model with larger bounds, and every counterexample caught: minutes
	cargo test --release --package fsm --test model -- --include-ignored --nocapture --test-threads=1

soak: prerequisites ## the long forms of tests: 5,000 records in each of 20 rounds of kill -9; 200 rounds of calls while all dies (TANDEM_SEED, TANDEM_ROUNDS)
	TANDEM_SOAK=1 cargo test --package voipadmind --test cdr_kill9 --test cdr_interleavings -- --nocapture

check: ## formatting, lints, licences: no tests
	@scripts/check

bench-directory: prerequisites ## directory answers against a bare axum handler, side by side
	cargo bench --package voipadmind --bench directory

bench-cdr: prerequisites ## call records against COPY and against one INSERT a document, side by side
	DOCUMENTS=$(DOCUMENTS) cargo bench --package voipadmind --bench cdr

bench-cdr-search: prerequisites ## searches over a year of calls (CALLS=14600000), and a page in the depth against the first
	CALLS=$(CALLS) cargo bench --package store --bench cdr_search

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
