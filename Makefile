# Every verb does its own set-up. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Conformance cases and measuring tools, kept outside of this repository.
SHARED ?= ../shared
# How much `make bench` measures, and where.
N ?= 40
BENCH_TMP = $(abspath $(TARGET))/bench
# Charts of others that are rendered beside Helm, the largest of the conformance cases.
BENCH_CHARTS ?= $(addprefix $(SHARED)/helm-cases/charts/,prometheus-29.27.0 argo-cd-10.1.1 consul-2.1.0-dev openstack-keystone-2026.1.0 chaos-mesh-0.0.0)
# The version that Flux 2.9 and 2.10 build with.
KUSTOMIZE_VERSION := 5.8.1
# Cases that the build engine does not pass yet, if any.
KNOWN_FAILURES := $(wildcard crates/kustomize/known-failures.txt)

# Scenarios mostly wait, so more of them run at once than there are cores; with eight, two cores are too few for their API servers.
AT_ONCE := RUST_TEST_THREADS=6
TARGET := $(or $(CARGO_TARGET_DIR),target)
comma := ,
say = @printf '==> %s\n' $(1)

.PHONY: help
help: ## list the verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: fmt
fmt: ## format the sources
	@$(CARGO) fmt --all

.PHONY: lint
lint: ## format check, clippy, crate graph, dependencies
	$(call say,"format")
	@$(CARGO) fmt --all --check
	$(call say,"clippy")
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(call say,"crate graph")
	@.ci/crate-graph
	@.ci/security-tests
	$(call say,"dependencies")
	@.ci/dependencies

KUBE := $(if $(E2E_KUBECONFIG),,kubernetes)
# Rust's programs, of the whole workspace unless the third argument says which, and beside them those of Go, each once per version and
# user. Neither build keeps all cores busy at all times. Both end before the tests begin: a build beside those would use up their time.
define build
$(call say,"the controllers and the test harness$(if $(strip $(1)),; from Go: $(strip $(1)))")
@$(CARGO) build -q -p toolchain
@$(TARGET)/debug/toolchain $(1) > /dev/null & go=$$!; trap 'kill $$go 2> /dev/null || :' EXIT; \
	$(CARGO) build $(or $(3),--workspace --bins)$(if $(2),; $(2)); wait $$go
endef

.PHONY: programs
programs:
	@.ci/programs

.PHONY: test
test: programs ## all tests: units, then scenarios on a real API server
	$(call build,$(KUBE) flux registry referrers-registry fake-gcs-server versitygw helm sops cosign prometheus-crds,$(CARGO) test --workspace --tests --no-run)
	$(call say,"unit tests$(comma) integration tests$(comma) scenarios")
	@$(AT_ONCE) $(CARGO) test --workspace --tests
	@$(CARGO) test --workspace --doc

.PHONY: e2e
e2e: programs ## the scenarios alone
	$(call build,$(KUBE) flux registry referrers-registry fake-gcs-server versitygw helm sops cosign prometheus-crds)
	@$(AT_ONCE) $(CARGO) test --workspace $(patsubst %,--test %,$(filter-out attacks forge migration node,$(notdir $(wildcard e2e/tests/*))))

# Tests that guess at time fail here, beside two processes that take all the time they get.
.PHONY: e2e-load
e2e-load: programs ## the scenarios on a busy machine
	$(call build,$(KUBE) flux registry referrers-registry helm sops cosign fake-gcs-server versitygw)
	$(call say,"scenarios$(comma) beside two busy loops")
	@busy=(); trap 'kill "$${busy[@]}"' EXIT; \
	for _ in 1 2; do (while :; do :; done) & busy+=($$!); done; \
	$(AT_ONCE) $(CARGO) test --workspace --test scenarios

# `PROFILE=release` measures what ships; the default is what `make test` has built.
.PHONY: attacks
attacks: programs ## one tenant attacks, a bystander and the memory are watched
	$(call build,$(KUBE))
	$(call say,"attacks$(comma) one after the other")
	@if [ "$(PROFILE)" = release ]; then $(CARGO) build --release -p source-controller -p kustomize-controller -p helm-controller -p source-watcher; fi
	@$(if $(filter release,$(PROFILE)),E2E_BIN_DIR=$(abspath $(TARGET))/release) \
		$(CARGO) test --workspace --test attacks -- --nocapture --test-threads=1

# In namespaces of its own: bridges, rules, mounts and processes end with it. `PROFILE=dist` runs what ships.
.PHONY: e2e-node
ifdef E2E_KUBECONFIG
e2e-node:
	$(call build,flux helm,,-p e2e --bins)
	@$(CARGO) test -p e2e --test node -- --nocapture
else
e2e-node: ## the images as Pods on a node of this machine (needs root), or on the cluster of E2E_KUBECONFIG
	@[ "$$(id -u)" = 0 ] || { echo "a node needs root: sudo make e2e-node" >&2; exit 1; }
	@.ci/programs node
	$(call build,kubernetes flux helm node)
	@$(MAKE) --no-print-directory images PROFILE=$(or $(PROFILE),dev)
	$(call say,"a node")
	@test=$$($(CARGO) test --workspace --test node --no-run --message-format=json-render-diagnostics | sed -n '/"kind":\["test"\]/s/.*"executable":"\([^"]*\)".*/\1/p'); \
		E2E_IMAGES=$(abspath $(TARGET))/images unshare --net --mount --pid --fork --kill-child --mount-proc "$$test" --nocapture
endif

.PHONY: interop
interop: programs ## sources on a Git forge
	$(call build,$(KUBE) gitea)
	@$(AT_ONCE) $(CARGO) test --workspace --test forge

# `FLUX=2.9` is the release before.
.PHONY: migration
migration: programs ## from Flux's controllers to ours and back
	$(call build,kubernetes flux flux-$(or $(FLUX),2.10)-controllers registry helm sops versitygw)
	@FLUX=$(FLUX) $(CARGO) test --workspace --test migration

# `PROFILE=dev` takes what `make test` has built: quick, and ten times as large. `ARCH=arm64` makes them for other machines.
.PHONY: images
images: ## container images as archives, without an engine
	$(call say,"images$(comma) bills of materials and provenances into $(TARGET)/images")
	@$(CARGO) run -q -p images -- $(or $(PROFILE),dist) $(ARCH)

.PHONY: engines
engines:
	@$(CARGO) build --release -p kustomize -p helm --bin kustomize-build --bin helm-template

.PHONY: conformance
conformance: ## what kustomize builds and Helm renders, against our engines
	@[ -d "$(SHARED)/kustomize-cases" ] || { echo "no conformance cases in $(SHARED): set SHARED to the folder that has kustomize-cases, flux-cases, helm-cases and tools" >&2; exit 1; }
	$(call say,"kustomize-build and helm-template")
	@$(MAKE) --no-print-directory engines
	@if ! python3 -c 'import yaml' 2>/dev/null && ! $(TARGET)/conformance/bin/python3 -c 'import yaml' 2>/dev/null; then \
		printf '==> PyYAML, into $(TARGET)/conformance\n'; \
		python3 -m venv $(TARGET)/conformance; \
		$(TARGET)/conformance/bin/pip install --quiet --disable-pip-version-check pyyaml; \
	fi
	@python=$$(python3 -c 'import yaml' 2>/dev/null && echo python3 || echo $(TARGET)/conformance/bin/python3); \
	failed=0; \
	for cases in kustomize-cases flux-cases/build; do \
		printf '==> %s\n' "$$cases"; \
		"$$python" "$(SHARED)/tools/kustomize-conformance.py" "$(SHARED)/$$cases" '$(TARGET)/release/kustomize-build {flags} {dir}' \
			$(if $(KNOWN_FAILURES),--known-failures $(KNOWN_FAILURES)) || failed=1; \
	done; \
	for cases in 'helm-cases template {name} {chart} {flags} --notes {notes}' \
		'helm-cases template {name} {archive} {flags} --api-versions-file {api-versions}' \
		'helm-cases/tables/engine.jsonl table' 'helm-cases/tables/values.jsonl values'; do \
		printf '==> %s\n' "$$cases"; \
		"$$python" "$(SHARED)/tools/helm-conformance.py" "$(SHARED)/$${cases%% *}" "$(abspath $(TARGET))/release/helm-template $${cases#* }" \
			--errors text -j 2 --known-failures crates/helm/known-failures.txt || failed=1; \
	done; \
	exit $$failed

.PHONY: differential
differential: ## random trees and charts (CASES=2000), here and by the real kustomize and Helm
	@GOBIN=$(BENCH_TMP)/bin go install sigs.k8s.io/kustomize/kustomize/v5@v$(KUSTOMIZE_VERSION)
	@$(CARGO) run --release -p kustomize --example differential -- $(BENCH_TMP)/bin/kustomize $(or $(CASES),2000)
	@$(CARGO) build -q -p toolchain
	@$(CARGO) build --release -p helm --bin helm-template
	@oracle=$$($(TARGET)/debug/toolchain helm-oracle); \
		$(CARGO) run --release -p helm --example differential -- "$$oracle" $(TARGET)/release/helm-template $(or $(CASES),2000)

.PHONY: crds
crds: ## write the CRD manifests from the Rust types
	@$(CARGO) run -q -p api --bin crds -- config/crd/bases
	@$(CARGO) run -q -p api --bin crds -- charts/ferroflux/crds config/crd/kustomization.yaml

.PHONY: docs
docs: ## write docs/flags.md from the controllers' flags
	@$(CARGO) run -q -p docs -- docs

# What `make test` builds, too: a release build would take twice as long.
.PHONY: demo
demo: ## a commit becomes a Deployment, a chart a release, in a cluster that stays
	$(call build,kubernetes,,-p source-controller -p kustomize-controller -p helm-controller -p e2e --bin source-controller --bin kustomize-controller --bin helm-controller --bin demo)
	@$(TARGET)/debug/demo up

.PHONY: demo-down
demo-down: ## remove what demo left running
	@[ -x $(TARGET)/debug/demo ] || $(CARGO) build -p e2e --bin demo
	@$(TARGET)/debug/demo down

.PHONY: bench
bench: ## the project's own tables: builds beside kustomize, charts beside Helm, rollout of N Kustomizations, N sources beside Flux
	@[ -d "$(SHARED)/tools" ] || { echo "no measuring tools in $(SHARED): set SHARED to the folder that has them" >&2; exit 1; }
	@for program in python3 openssl curl kubectl nginx fcgiwrap; do \
		command -v "$$program" >/dev/null || { echo "$$program is not installed (Debian: nginx-light, fcgiwrap)" >&2; exit 1; }; \
	done
	$(call build,kubernetes sops registry helm flux-2.9-controllers)
	$(call say,"release build")
	@$(CARGO) build --release -p source-controller -p kustomize-controller -p helm-controller -p kustomize --bins
	@$(CARGO) build --profile engines -p helm --bin helm-template
	$(call say,"builds of N applications$(comma) beside kustomize $(KUSTOMIZE_VERSION)")
	@GOBIN=$(BENCH_TMP)/bin go install sigs.k8s.io/kustomize/kustomize/v5@v$(KUSTOMIZE_VERSION)
	@.ci/bench-build $(TARGET)/release/kustomize-build $(BENCH_TMP)/bin/kustomize "$(SHARED)/tools/gen_overlay.py"
	$(call say,"charts$(comma) beside Helm")
	@.ci/bench-helm $(TARGET)/engines/helm-template "$$($(TARGET)/debug/toolchain helm)" $(BENCH_CHARTS)
	@mkdir -p $(BENCH_TMP)/kube/bin
	@$(TARGET)/debug/toolchain kubernetes | xargs -I{} ln -sf {} $(BENCH_TMP)/kube/bin/
	$(call say,"$(N) Kustomizations with variables and secrets$(comma) and without$(comma) $(N) sources of one registry$(comma) $(N) HelmReleases")
	@E2E_BIN_DIR=$(abspath $(TARGET))/release $(TARGET)/debug/bench $(N)
	@E2E_BIN_DIR=$(abspath $(TARGET))/release $(TARGET)/debug/bench 10000 buckets
	@E2E_BIN_DIR=$(abspath $(TARGET))/release $(TARGET)/debug/bench 100000 buckets
	$(call say,"$(N) sources of one registry$(comma) $(N) charts of one index$(comma) $(N) HelmReleases and a bucket$(comma) by Flux")
	@mkdir -p $(BENCH_TMP)/flux
	@ln -sf $$($(TARGET)/debug/toolchain flux-2.9-controllers | sed -n '1p;3p') $(abspath $(TARGET))/release/kustomize-controller $(BENCH_TMP)/flux/
	@E2E_BIN_DIR=$(BENCH_TMP)/flux $(TARGET)/debug/bench $(N) registry charts helm
	@E2E_BIN_DIR=$(BENCH_TMP)/flux $(TARGET)/debug/bench 10000 generic
	$(call say,"rollout of $(N) Kustomizations")
	@MAIN="$(CURDIR)" BENCH_TMP=$(BENCH_TMP) python3 "$(SHARED)/tools/bench_mttp.py" --impl ferroflux -n $(N)
	@.ci/bench-repositories $(BENCH_TMP)/repositories
	$(call say,"$(N) sources$(comma) and one of 100 MB")
	@MAIN="$(CURDIR)" BENCH_TMP=$(BENCH_TMP) python3 "$(SHARED)/tools/bench_source.py" --impl ferroflux -n $(N) --big $(BENCH_TMP)/repositories/large.git
	$(call say,"a source of 100$(comma)000 files")
	@MAIN="$(CURDIR)" BENCH_TMP=$(BENCH_TMP) python3 "$(SHARED)/tools/bench_source.py" --impl ferroflux -n 1 --big $(BENCH_TMP)/repositories/many.git

.PHONY: clean
clean: ## remove everything that was built, but for the cached Kubernetes programs
	@$(CARGO) clean
