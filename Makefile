.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
DEMO_READY := .venv/.ready-demo
SERVICES := intake sessions alliance notify
# Three workers even on two cores, each with its own servers: tests spend most of their time waiting.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
# In per cent of lines and branches: what the tests reach, rounded down. The domain is reached entirely, by unit tests.
MIN_COVERAGE := 91
DOMAIN_COVERAGE := $(BIN)/coverage report --include='services/*/domain/*' --fail-under=100 --show-missing
COMPILE := pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header

.PHONY: help setup check unit test mutants smoke chaos chaos-short chaos-defects evaluate evaluate-short bench bench-short bench-pairs bench-fold test-operate test-upgrade fuzz demo preflight compose-test topics contracts lock clean distclean

help: ## List all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Install the locked dependencies into .venv; again only if deploy/lock/dev.txt changed

check: $(READY) ## Lint, format, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(READY) ## Run the tests that need no server
	$(BIN)/pytest $(PARALLEL) tests/unit --cov --cov-report=
	$(DOMAIN_COVERAGE)

test: setup check ## Run checks, all tests on real servers, the short evaluation, the smoke test and the short chaos test
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=
	$(BIN)/coverage report --fail-under=$(MIN_COVERAGE)
	$(DOMAIN_COVERAGE)
	@$(MAKE) evaluate-short
	@$(MAKE) smoke
	@$(MAKE) chaos-short

mutants: $(READY) ## Insert 50 small defects into the alliance domain, one at a time: unit tests must find 45; two to six minutes
	$(BIN)/python -m tests.mutation

smoke: $(READY) ## Smoke test: start the whole system and check it end to end
	$(BIN)/python -m tests.system.smoke

chaos: $(READY) ## Half an hour of faults under load; checks the result and writes docs/reliability.md; SEED=... repeats a run
	$(BIN)/python -m tests.system.chaos --record $(if $(SEED),--seed $(SEED))

chaos-short: $(READY) ## The hardest faults in three minutes; writes nothing
	$(BIN)/python -m tests.system.chaos --short $(if $(SEED),--seed $(SEED))

chaos-defects: $(READY) ## Run chaos once with each deliberate defect: the checker must detect it
	$(BIN)/python -m tests.system.chaos --record --defects $(if $(SEED),--seed $(SEED))

test-operate: $(READY) ## Cause outages in a running system and check that the right alerts fire and resolve
	$(BIN)/python -m tests.system.operate

test-upgrade: $(READY) ## Start on data that an older version recorded, finish its work, and lose nothing
	$(BIN)/python -m tests.system.upgrade

fuzz: $(READY) ## Send each service thousands of requests made from its OpenAPI document; SEED=... repeats a run
	FUZZ_EXAMPLES=500 FUZZ_SEED=$(or $(SEED),$(shell date +%s)) $(BIN)/pytest tests/integration/conformance

evaluate: $(READY) ## Measure on simulated relationships what is detected; writes docs/evaluation.md
	$(BIN)/python -m evaluation

evaluate-short: $(READY) ## The same on fewer relationships; writes nothing
	$(BIN)/python -m evaluation --short

bench: $(READY) ## Compare the cost of the guarantees with other implementations; writes docs/performance.md
	$(BIN)/python -m bench

bench-short: $(READY) ## Attune, a plain loop and a naive loop in three minutes; writes nothing
	$(BIN)/python -m bench --short

bench-pairs: $(READY) ## Measure what this tree costs compared with another checkout: make bench-pairs AGAINST=../other
	$(BIN)/python -m bench --against $(AGAINST) --rounds 9

bench-fold: $(READY) ## Measure the cost of one more event, and of a refold, by the number of sessions
	$(BIN)/python -m tests.bench.fold

demo: preflight $(DEMO_READY) ## Run the system with a simulated clinic network until Ctrl-C
	$(BIN)/python -m tools.sandbox.demo

preflight: ## Check that `make demo` can run here; installs nothing
	@$(FIND_PYTHON); $$python -m tools.sandbox.preflight

compose-test: $(READY) ## Test docker compose on a Docker engine: build, start, use, outages, backup and restore
	$(BIN)/python -m tests.system.containers

topics: $(READY) ## Create the topics on KAFKA_BOOTSTRAP_SERVERS
	$(BIN)/python -m deploy.jobs.topics

contracts: $(READY) ## Regenerate docs/schemas, docs/asyncapi.json, docs/openapi, docs/metrics.md, docs/access.md and the dashboards; refuses breaking changes
	$(BIN)/python -m tools.contracts
	$(BIN)/python -m tests.contract.golden

lock: $(READY) ## Recompile deploy/lock/ with uv: the one on the PATH, else one in .cache/uv
	@set -e; uv=$$(command -v uv) || { $(BIN)/python -m venv .cache/uv; .cache/uv/bin/pip install --quiet uv; uv=.cache/uv/bin/uv; }; \
	for service in $(SERVICES); do \
		$$uv $(COMPILE) --extra $$service pyproject.toml -o deploy/lock/$$service.txt >/dev/null; done; \
	$$uv $(COMPILE) pyproject.toml -o deploy/lock/jobs.txt >/dev/null; \
	$$uv $(COMPILE) --group clinic pyproject.toml -o deploy/lock/clinic.txt >/dev/null; \
	$$uv $(COMPILE) --group bench pyproject.toml -o deploy/lock/bench.txt >/dev/null; \
	$$uv $(COMPILE) --all-extras --group dev pyproject.toml -o deploy/lock/dev.txt >/dev/null; \
	$$uv $(COMPILE) --all-extras --group demo -c deploy/lock/dev.txt pyproject.toml -o deploy/lock/demo.txt >/dev/null

clean: ## Delete the data of the demo
	rm -rf .attune

distclean: clean ## Also delete everything that was installed and downloaded
	rm -rf .venv .cache

# python3.11 first: the locks are compiled for it.
FIND_PYTHON := for python in python3.11 python3 none; do \
		! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break; done; \
	test $$python != none || { echo "Attune needs Python 3.11 or newer, as python3.11 or python3 on the PATH." >&2; exit 2; }

$(READY): deploy/lock/dev.txt
	@$(FIND_PYTHON); $$python -m tools.install deploy/lock/dev.txt
	@touch $@

# A .venv with everything serves the demo as well. Both locks have the same versions, so either can be installed first.
$(DEMO_READY): deploy/lock/demo.txt | preflight
	@$(MAKE) --question $(READY) || { $(FIND_PYTHON); $$python -m tools.install deploy/lock/demo.txt; }
	@touch $@
