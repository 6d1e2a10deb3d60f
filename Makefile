# Every command that a person types. `make help` lists them.
# CLUSTER=existing uses the current kubeconfig's cluster; the default makes one of its own and touches no other.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

C := tests/cluster
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Every build takes the whole workspace and a test, so that all have one set of features and no library is compiled twice.
AS_TESTED := --workspace --test program
# KUBECONFIG and PATH of the cluster, for one recipe line.
IN_CLUSTER := eval "$$($(C)/env.sh)" &&

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'


.PHONY: cluster-up cluster-down cluster-shell shell-env images install
cluster-up: ## Bring up a real one-node Kubernetes cluster with Prometheus, or repair it (root)
	@$(C)/up.sh

cluster-down: ## Remove the cluster: processes, mounts, namespaces, interface, files
	@$(C)/down.sh

cluster-shell: ## Open a shell inside the cluster's network and mount namespaces
	@$(C)/shell.sh

shell-env: ## Print exports of KUBECONFIG and PATH: eval "$(make shell-env)"
	@$(C)/env.sh

images: cluster-up ## Build every image and import it into the cluster
	@$(C)/build-images.sh

install: ## Install the operator and the target app with helm, and the namespaces
	@$(C)/install.sh


.PHONY: demo demo-fail
demo: ## Run the example from nothing to its verdict; the exit code is the verdict's
	@$(C)/demo.sh

demo-fail: ## Run its other side on a fragile system; 0 when the verdict is Fail
	@$(C)/demo-fail.sh


.PHONY: test test-unit test-api test-e2e
test: ## Run everything: unit tests, then the suites that want a cluster
	@$(MAKE) test-unit
	@$(MAKE) cluster-up
	@$(MAKE) images
	@$(MAKE) test-api
	@$(MAKE) install
	@$(MAKE) test-e2e

test-unit: ## Run unit, snapshot and property tests, without a cluster
	cargo test --workspace

test-api: ## Run the tests against the real API server (after cluster-up)
	@$(C)/install.sh crds
	$(IN_CLUSTER) cargo test --workspace --features api-tests/cluster --test api_tests

test-e2e: ## Run the tests on the real cluster (after cluster-up, images, install)
	@$(C)/install.sh crds
	$(IN_CLUSTER) cargo test --workspace --features e2e-tests/cluster --test e2e_tests -- --test-threads=4


.PHONY: bench bench-start bench-active
bench: bench-start bench-active ## Measure all that has a goal

bench-start: ## Measure how fast runners start, beside bare k6 pods: ARGS="--runners 4,20,50 --pairs 5"
	@tests/bench/bench.sh start $(ARGS)

bench-active: ## Measure the operator's size and its faults' delay with many tests at once: ARGS="--tests 100"
	@tests/bench/bench.sh active $(ARGS)


.PHONY: generate lint fmt clean
generate: ## Write the generated files: CRD and its reference
	cargo build --quiet $(AS_TESTED) --bin crdgen
	$(TARGET)/debug/crdgen

lint: ## Check format, lints, the rooms of the core, scripts, charts and generated files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- --deny warnings
	cargo test --quiet --workspace --test sources
	@$(C)/lint.sh
	@$(MAKE) generate
	git diff --exit-code -- charts/loadtest-operator/crds docs/crd-reference.md

fmt: ## Format the source
	cargo fmt --all

clean: cluster-down ## Remove the cluster and everything that cargo built
	cargo clean
