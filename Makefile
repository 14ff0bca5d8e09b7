# All work goes through these targets; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test test-all soak chaos crash bench bench-check conformance openapi dashboard k8s image image-test check format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything a checkout needs

$(STAMP): pyproject.toml constraints.txt proto/build.py $(wildcard proto/llmbase/v1/*.proto proto/llmbase/relay/v1/*.proto)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev --editable ".[all]"
	@touch $@

run: install ## answer with the embedded local model through both doors
	@$(BIN)/llmbase up

test: install ## unit, contract and end-to-end tests: a few minutes
	$(BIN)/python -m pytest -m "not matrix and not soak and not image"

test-all: install ## the same and the long matrices
	$(BIN)/python -m pytest -m "not soak and not image"

soak: install ## what needs real time: 100,000 cancelled streams, a call of six minutes
	LLMBASE_SOAK_STREAMS=100000 $(BIN)/python -m pytest -s tests/soak tests/e2e/test_cancelled_streams_soak.py

chaos: export LLMBASE_CHAOS_CALLS ?= 10000
chaos: install ## ten thousand random calls while everything goes wrong (LLMBASE_CHAOS_SEED, _CALLS)
	$(BIN)/python -m pytest -s tests/chaos

crash: export LLMBASE_CRASH_RUNS ?= 500
crash: install ## kill the service five hundred times and look at the books (LLMBASE_CRASH_RUNS, _SEED)
	$(BIN)/python -m pytest -s tests/crash

bench: install ## what an answer costs: CPU, time, memory (PEERS=litellm,portkey; ARGS="--quick --profile")
	@PEERS=$(PEERS) $(BIN)/python -m tests.bench $(or $(ARGS),--profile)

bench-check: install ## fail when we cost 15 % more of a bare skeleton than the committed baseline
	@$(BIN)/python -m tests.bench --check $(ARGS)

conformance: export CONFORMANCE_KEY = $(KEY)
conformance: install ## hold llmbase, or TARGET=URL with KEY=, against recorded answers of providers
	@$(BIN)/python -m conformance $(if $(TARGET),--target $(TARGET)) $(ARGS)

openapi: install ## write docs/openapi.json anew
	$(BIN)/python -m gateway.openapi > docs/openapi.json

dashboard: install ## write docs/monitoring/dashboard.json anew
	$(BIN)/python -m telemetry.dashboard > docs/monitoring/dashboard.json

k8s: install ## hold the manifests and the chart against Kubernetes' schemas, helm and checkov
	$(BIN)/python -m pytest tests/k8s
	@test -x $(VENV)-k8s/bin/checkov || { $(PYTHON) -m venv $(VENV)-k8s && \
	  $(VENV)-k8s/bin/pip install --quiet --disable-pip-version-check -r k8s/requirements.txt; }
	$(BIN)/python -m tests.k8s.rendered $(VENV)-k8s/rendered
	$(VENV)-k8s/bin/checkov --config-file k8s/.checkov.yaml --directory $(VENV)-k8s/rendered

image image-test: export ENGINE ?= $(shell command -v podman || command -v docker)
image image-test: export IMAGE ?= llmbase:0.1.0
image: ## build the image (IMAGE, ENGINE, BUILD_FLAGS), and write what is in it to dist/sbom.cdx.json
	$(ENGINE) build $(if $(findstring podman,$(ENGINE)),--format docker) $(BUILD_FLAGS) --tag $(IMAGE) .
	@mkdir -p dist
	$(ENGINE) run --rm --entrypoint cat $(IMAGE) /opt/llmbase/sbom.cdx.json > dist/sbom.cdx.json

image-test: install ## run the image of `make image`, without rights, and as the manifests' pod
	$(BIN)/python -m pytest -m image tests/image

check: install ## formatting, lint, types, import floors, proto lint and breaking changes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/released.binpb

format: install ## apply the formatter and the safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-k8s gen dist build
