# Verbs of this project; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
# The lock that fits this machine; force one with TARGET=cpu or TARGET=gpu.
TARGET ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-$(TARGET)
DEVELOPMENT := $(VENV)/.installed-dev
PIP := $(BIN)/pip --disable-pip-version-check install --no-deps
# One line that counts the packages, instead of hundreds of lines of pip's.
COUNTED = awk -v all=$$(grep -c == $<) '/^Collecting/ {n++; printf "\r  %d/%d %-40s", n, all, $$2} \
	/^Installing/ {printf "\r  %d/%d %-40s", all, all, "unpacking"} {fflush()} END {print ""}'
ROOMS := deployments classifier autoscale models bench tests
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help
help:  ## list the verbs
	@grep -hE '^[a-z][a-z0-9-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# What the machine lacks is said here, with its mend, before anything is downloaded.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: apt install python3.11-venv, or PYTHON=a-python3.11 make"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: $$($(PYTHON) -V) is not Python 3.11: apt install python3.11-venv, or PYTHON=a-python3.11 make"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) has no venv module: apt install python3.11-venv"; exit 2; }
	@$(PYTHON) -m deployments.commands.preflight $(TARGET) --install $(filter --no-preflight,$(ARGS))
	@echo "[setup] virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(RUNTIME): requirements/$(TARGET).txt pyproject.toml | $(BIN)/python
	@echo "[setup] PyTorch for $(TARGET)"
	@requirements/install-torch.sh $(TARGET) $(BIN)/python
	@echo "[setup] the pinned packages of requirements/$(TARGET).txt, about 2 minutes"
	@set -o pipefail; $(PIP) --progress-bar off -r $< | $(COUNTED)
	@$(PIP) -q --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): requirements/dev.txt $(RUNTIME)
	@echo "[setup] the tools of requirements/dev.txt"
	@set -o pipefail; $(PIP) --progress-bar off -r $< | $(COUNTED)
	@touch $@

.PHONY: setup
setup: $(DEVELOPMENT)  ## virtual environment with everything for development

# Ports and memory before the download; `smallfirst serve` looks again, knowing its whole config.
.PHONY: preflight
preflight: | $(BIN)/python
	@$(BIN)/python -m deployments.commands.preflight $(TARGET) $(ARGS) \
		--RAY_SERVE_HAPROXY_STATS_PORT "$${RAY_SERVE_HAPROXY_STATS_PORT:-8404}" \
		--RAY_SERVE_HAPROXY_METRICS_PORT "$${RAY_SERVE_HAPROXY_METRICS_PORT:-9101}"

.PHONY: serve
serve: preflight $(RUNTIME)  ## set up, then run the endpoint on this machine until Ctrl-C
	@exec $(BIN)/smallfirst serve $(ARGS)

.PHONY: check
check: $(DEVELOPMENT)  ## format, lint, types, import contracts: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: check  ## everything: check, then unit, api, cluster and e2e tests
	$(BIN)/pytest tests -n 2 --ignore=tests/cluster --ignore=tests/e2e --ignore=tests/k8s
	$(BIN)/pytest tests/k8s tests/cluster tests/e2e --durations=20

.PHONY: test-live
test-live: $(DEVELOPMENT)  ## the autoscaling policy's drills on a live cluster: about 8 minutes
	$(BIN)/pytest tests/cluster -m live

.PHONY: test-install
test-install: $(DEVELOPMENT)  ## the README on a bare Debian 12: as root, with debootstrap, half an hour
	$(BIN)/pytest tests/install -m install

.PHONY: test-fast
test-fast: $(DEVELOPMENT)  ## unit and api tests only: no Ray, no model
	$(BIN)/pytest tests -n 2 --ignore=tests/cluster --ignore=tests/e2e --ignore=tests/k8s

.PHONY: lock
lock:  ## resolve pyproject.toml into requirements/*.txt (needs uv on the PATH)
	./requirements/lock.sh

.PHONY: clean
clean:  ## remove the virtual environment and caches of this folder
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
