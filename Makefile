# Quorate's chores; `make` alone lists them.
#
# The modules are tested twice: together, in the workspace (go.work), where
# every dependency is at the highest version that any of them names, and each
# by itself, at the versions that its own go.mod names (see `rehearsal`).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
# How many rounds `overlap`, `storefaults`, `faults` and `bench` run, on which
# store, and which rows `bench` measures.
ROUNDS ?=
STORE ?=
ROW ?=
ROWS ?=
# KNOWN is STORE, or all of the stores given. A STORE that is none of them would
# match no test, which go test calls a success.
KNOWN = $(if $(filter-out $(1),$(STORE)),$(error STORE=$(STORE) is none of: $(1)),$(or $(STORE),$(1)))
STORES = $(call KNOWN,etcd consul zookeeper postgres)
# A module that is announced and has no code yet is left out.
EXIST = $(foreach m,$(1),$(if $(wildcard $(m)/*.go $(m)/*/*.go),$(m)))
ADAPTERS := $(call EXIST,backend/etcd backend/consul backend/zookeeper backend/postgres)
BRIDGES := $(call EXIST,bridge/otelquorate bridge/promquorate)
ROUTES := $(call EXIST,route/grpcroute)
OPEN := $(call EXIST,open)
EXAMPLES := $(call EXIST,examples)
MODULES := . $(ADAPTERS) $(BRIDGES) $(ROUTES) $(OPEN) $(EXAMPLES) integration tools
# COMPILE vets and compiles a module with its tests, so that no test shares the
# processors with a compiler. The tests below do not vet again.
COMPILE = $(GO) vet -C $(1) -race ./... && $(GO) list -C $(1) -race -test -deps -export ./... > /dev/null
# UNIT tests the module in a directory, without a server of its own. ALONE tests
# it at the versions that it requires, without the race detector: a lower version
# of another module brings no race of ours. -trimpath, because what was compiled
# then serves all clones: their module caches lie in different directories.
UNIT = $(GO) test -C $(1) -race -vet=off -count=1 -timeout 30m
ALONE = $(GO) test -C .cache/rehearsal/src/$(1) -trimpath -vet=off -count=1 -timeout 20m
LOWEST = -modfile=lowest.mod -mod=mod
# All seeds of the simulations, of which the race detector gets a twentieth. The
# simulations are the tests that call seeds.Run, which has their names end so.
SIMULATED = $(or $(patsubst %/,./%,$(sort $(dir $(shell git grep --untracked -lwF seeds.Run -- '*_test.go')))),$(error no package runs simulations))
SEEDS = $(GO) test -vet=off -count=1 -timeout 30m -run Simulation$$ $(SIMULATED)
# REAL tests on real servers: two packages at a time, each with the stores
# side by side. TIMED are the packages that measure how soon things recover: no
# other package runs beside them; their stores do.
REAL = $(GO) test -C integration -race -vet=off -count=1 -parallel 12 -timeout 40m
TIMED := ./faults ./modes
TESTED = $(patsubst integration/%/,./%,$(sort $(dir $(wildcard integration/*/*_test.go integration/*/*/*_test.go))))
# The longest come first.
LONGEST := ./conformance/% ./overlap ./membership ./checkpoints
UNTIMED = $(foreach p,$(LONGEST),$(filter $(p),$(TESTED))) $(filter-out $(LONGEST) $(TIMED),$(TESTED))
# BESIDE runs a command in the time that the ones beside it leave.
BESIDE := nice -n 10

# The servers of these targets keep their data in memory where there is room: tests
# end servers, never the machine, and what a process wrote outlives it either way.
# Those of all other targets (bench, faults, ...) keep it on the disk, whose speed
# is part of what they measure.
MEMORY = $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 8000000 2>/dev/null && echo /dev/shm)
test conformance: export QUORATE_DATA ?= $(MEMORY)

# The tools module stays outside the workspace, whose versions it would raise.
TOOLS := GOWORK=off $(GO) build -C tools -trimpath -o ../bin/

# EACH runs a command in every module, all of them even if one fails. The tools
# module is outside the workspace.
define EACH
failed=; for m in $(MODULES); do \
	echo "# $$m"; \
	case $$m in tools) export GOWORK=off ;; *) unset GOWORK ;; esac; \
	(cd $$m && $(1)) || failed="$$failed $$m"; \
done; if [ -n "$$failed" ]; then echo "failed in:$$failed"; exit 1; fi
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: test
test: servers bin/testrun bin/rehearsal ## everything, on real servers, and each module outside the workspace
	bin/rehearsal -pack -use
	@echo "# compile all modules with their tests"
	@$(foreach m,. $(ADAPTERS) $(BRIDGES) $(ROUTES) $(OPEN) $(EXAMPLES) integration,$(call COMPILE,$(m)) && ):; export GOWORK=off; $(call COMPILE,tools)
	@export $$(bin/rehearsal -env); $(GO) list -C .cache/rehearsal/src/integration $(LOWEST) -trimpath -test -deps -export ./conformance/... > /dev/null
	@alone="$$(bin/rehearsal -env)"; \
	bin/testrun \
		"$(REAL) -p 2 $(UNTIMED)" \
		-- \
		$(foreach m,$(EXAMPLES),"$(call UNIT,$(m)) ./...") \
		"$$alone $(call ALONE,integration) $(LOWEST) -p 2 -run ^Test(Etcd|Consul|ZooKeeper|Postgres)\$$/^driver\$$ ./conformance/..." \
		"$(BESIDE) $(call UNIT,.) ./..." \
		'$(BESIDE) $(SEEDS)' \
		$(foreach m,$(ADAPTERS) $(BRIDGES) $(ROUTES) $(OPEN),"$(BESIDE) $(call UNIT,$(m)) ./...") \
		"GOWORK=off $(BESIDE) $(call UNIT,tools) ./..." \
		$(foreach m,$(notdir $(ADAPTERS) $(BRIDGES) $(ROUTES) $(OPEN)),"$$alone $(BESIDE) $(call ALONE,$(m)) ./...") \
		--then \
		"$(REAL) -p 1 $(TIMED)"

.PHONY: unit
unit: bin/testrun ## the tests that need no server: root, adapters, bridges, transports and open
	@bin/testrun "$(call UNIT,.) ./..." -- $(foreach m,$(ADAPTERS) $(BRIDGES) $(ROUTES) $(OPEN),"$(call UNIT,$(m)) ./...")

.PHONY: conformance
conformance: stores servers bin/testrun ## the driver's contract and every primitive's suite on real servers; STORE=
	@bin/testrun "$(REAL) -p 3 $(addprefix ./conformance/,$(STORES))"

.PHONY: servers
servers: ## install or build the servers that the tests start (cached outside the tree)
	$(GO) run -C integration ./cmd/servers

.PHONY: tour
tour: ## the tour: one leader over a real etcd server, killed and succeeded
	$(GO) run -C examples ./tour

# This sees to it that STORE is known before anything is built or run.
.PHONY: stores
stores: ; @: $(STORES)

# EACHSTORE runs a command on one store at a time, as a measurement needs it, and
# on all of them even if one fails.
define EACHSTORE
@failed=; for store in $(STORES); do \
	echo "# $$store"; export QUORATE_STORES=$$store; \
	$(1) || failed="$$failed $$store"; \
done; if [ -n "$$failed" ]; then echo "failed on:$$failed"; exit 1; fi
endef

.PHONY: overlap
overlap: stores servers ## measure how long two leaders overlap under faults of the client, stock recipes beside ours; STORE=, ROUNDS=
	$(call EACHSTORE,QUORATE_STOCK=1 QUORATE_ROUNDS=$(or $(ROUNDS),5) $(GO) test -C integration -run "^TestOverlap$$/^$$store$$" -v -count=1 -parallel 12 -timeout 60m ./overlap)

.PHONY: storefaults
storefaults: stores servers ## the same under faults of the store itself; STORE=, ROUNDS=
	$(call EACHSTORE,QUORATE_ROUNDS=$(or $(ROUNDS),20) $(GO) test -C integration -run "^TestStoreFaults$$/^$$store$$" -v -count=1 -timeout 120m ./overlap)

# One store, or all of them: STORE=etcd.
FAULTS = -run '^TestFaults$$/^($(subst $() ,|,$(strip $(STORES))))$$' -v -count=1 -parallel 1 ./faults

.PHONY: faults
faults: stores servers ## every kind of fault on real clusters with everything in use, 8 rounds of each; writes docs/reliability.md; STORE=, ROUNDS=
	QUORATE_STORES="$(STORES)" QUORATE_FAULTS=$(or $(ROUNDS),8) QUORATE_FAULTS_PAGE=$(CURDIR)/docs/reliability.md $(GO) test -C integration -timeout 180m $(FAULTS)

.PHONY: soak
soak: stores servers ## the same faults, drawn for as long as told: FOR=8h, STORE=
	QUORATE_STORES="$(STORES)" QUORATE_FAULTS_FOR=$(or $(FOR),8h) $(GO) test -C integration -timeout 0 $(FAULTS)

.PHONY: seeded
seeded: bin/seeded ## prove that the tests can fail: known bugs are seeded, one at a time, and must be caught
	bin/seeded

.PHONY: model
model: ## search the models of the protocols, and mutants of them, state by state
	$(GO) run -C integration ./cmd/model

.PHONY: bench
bench: servers ## measure us beside the stock recipes and write docs/benchmarks.md; STORE=, ROW=, ROUNDS= narrow, and only print
	$(GO) build -C integration -o ../bin/bench ./cmd/bench
	$(if $(STORE),QUORATE_STORES="$(STORE)") bin/bench $(if $(STORE),-stores $(STORE)) $(if $(ROW)$(ROWS),-rows "$(ROW) $(ROWS)") $(if $(ROUNDS),-rounds $(ROUNDS)) \
		$(if $(STORE)$(ROW)$(ROWS),,-page docs/benchmarks.md)

.PHONY: checkpoints
checkpoints: servers ## kill workers 50 times over 10,000 items on each store, effects in PostgreSQL
	QUORATE_KILLS=50 QUORATE_ITEMS=10000 $(GO) test -C integration -run '^TestKilledWorkers' -v -count=1 -p 1 -timeout 120m ./checkpoints

.PHONY: partitionfaults
partitionfaults: servers ## kill and stop 6 workers of 128 slots for a minute on each store: no slot twice
	QUORATE_FAULT_SECONDS=60 QUORATE_WORKERS=6 QUORATE_SLOTS=128 $(GO) test -C integration -run '^TestFaults' -v -count=1 -p 1 -timeout 20m ./partition

.PHONY: browser
browser: ## the debug page in headless Chromium, and screenshots in .cache/browser; look at them
	$(GO) build -C integration -o ../bin/browser ./cmd/browser
	bin/browser

.PHONY: pictures
pictures: ## draw the pictures of the documentation anew (docs/pictures)
	GOWORK=off $(GO) run -C tools ./pictures

.PHONY: rehearsal
rehearsal: bin/rehearsal ## rehearse a release: all modules at v0.1.0 from a local proxy, used as users would
	bin/rehearsal -pack -use -tour

.PHONY: tidy
tidy: bin/rehearsal ## tidy each module's go.mod and go.sum (plain `go mod tidy` cannot, before a release)
	bin/rehearsal -pack -tidy

.PHONY: lint
lint: bin/golangci-lint ## golangci-lint in every module, import edges included
	@$(call EACH,$(CURDIR)/bin/golangci-lint run --config $(CURDIR)/.golangci.yml ./...)

.PHONY: fmt
fmt: bin/golangci-lint ## format every module with gofumpt
	@$(call EACH,$(CURDIR)/bin/golangci-lint fmt --config $(CURDIR)/.golangci.yml .)

.PHONY: vuln
vuln: bin/govulncheck ## known vulnerabilities that our code reaches
	@$(call EACH,$(CURDIR)/bin/govulncheck ./...)

.PHONY: cover
cover: ## statement coverage of the root module by its own tests
	@mkdir -p .cache
	$(GO) test -count=1 -timeout 5m -coverpkg=./... -coverprofile=.cache/cover.out ./...
	$(GO) tool cover -func=.cache/cover.out | tail -n 1

.PHONY: bin/testrun bin/rehearsal bin/seeded
bin/testrun bin/rehearsal bin/seeded:
	@$(TOOLS) ./$(notdir $@)

bin/golangci-lint bin/govulncheck: tools/go.mod tools/go.sum
	@mkdir -p bin
	$(TOOLS) $(shell awk '/^tool \(/{t=1;next} /^\)/{t=0} t{print $$1}' tools/go.mod | grep '/$(notdir $@)$$')
