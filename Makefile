.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
SERVICES := intake sessions alliance notify
COMPILE := pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header

.PHONY: help setup check unit test smoke chaos chaos-short chaos-defects evaluate evaluate-short bench bench-short bench-fold test-operate test-upgrade demo compose-test topics contracts lock clean distclean

help: ## Say what can be made here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything into .venv; again only when deploy/lock/dev.txt changed

check: $(READY) ## Lint, format, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(READY) ## The tests that need no server
	$(BIN)/pytest tests/unit

# Three at once even on two cores, each with servers of its own: most of a test's time is waiting.
test: setup check ## Everything: checks, all tests on real servers, the short evaluation, the smoke test, chaos
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
	@$(MAKE) evaluate-short
	@$(MAKE) smoke
	@$(MAKE) chaos-short

smoke: $(READY) ## Start the whole system, and see that it does what it is for
	$(BIN)/python -m tests.system.smoke

chaos: $(READY) ## Half an hour of faults under load, judged and written into docs/reliability.md; SEED=... repeats a run
	$(BIN)/python -m tests.system.chaos --record $(if $(SEED),--seed $(SEED))

chaos-short: $(READY) ## The cruellest faults in three minutes, judged and written nowhere
	$(BIN)/python -m tests.system.chaos --short $(if $(SEED),--seed $(SEED))

chaos-defects: $(READY) ## Take each guarantee out in turn: the judge must notice
	$(BIN)/python -m tests.system.chaos --record --defects $(if $(SEED),--seed $(SEED))

test-operate: $(READY) ## Break the running system, and see the right alert come and go on a real Prometheus
	$(BIN)/python -m tests.system.operate

test-upgrade: $(READY) ## Start on data that an older version recorded, finish its work, and lose nothing
	$(BIN)/python -m tests.system.upgrade

evaluate: $(READY) ## Prove on simulated relationships what is found, and write docs/evaluation.md
	$(BIN)/python -m evaluation

evaluate-short: $(READY) ## The same on fewer relationships, written nowhere
	$(BIN)/python -m evaluation --short

bench: $(READY) ## What the guarantees cost beside others that do the same work, written into docs/performance.md
	$(BIN)/python -m bench

bench-short: $(READY) ## Ours, a plain loop and a naive one in three minutes, written nowhere
	$(BIN)/python -m bench --short

bench-fold: $(READY) ## What one more fact costs, after few sessions and after many
	$(BIN)/python -m tests.bench.fold

demo: $(READY) ## A simulated clinic network to look at, until Ctrl-C
	$(BIN)/python -m tools.sandbox.demo

compose-test: $(READY) ## Prove docker compose on a real Docker engine: builds, comes up, is used, broken, restored
	$(BIN)/python -m tests.system.containers

topics: $(READY) ## Create the topics on KAFKA_BOOTSTRAP_SERVERS
	$(BIN)/python -m deploy.jobs.topics

contracts: $(READY) ## Write docs/schemas, docs/asyncapi.json, docs/openapi, docs/metrics.md and dashboards again, unless that would break somebody
	$(BIN)/python -m tools.contracts
	$(BIN)/python -m tests.contract.golden

lock: $(READY) ## Compile deploy/lock/ again, with uv: the one on the PATH, else one in .cache/uv
	@set -e; uv=$$(command -v uv) || { $(BIN)/python -m venv .cache/uv; .cache/uv/bin/pip install --quiet uv; uv=.cache/uv/bin/uv; }; \
	for service in $(SERVICES); do \
		$$uv $(COMPILE) --extra $$service pyproject.toml -o deploy/lock/$$service.txt >/dev/null; done; \
	$$uv $(COMPILE) pyproject.toml -o deploy/lock/jobs.txt >/dev/null; \
	$$uv $(COMPILE) --group clinic pyproject.toml -o deploy/lock/clinic.txt >/dev/null; \
	$$uv $(COMPILE) --group bench pyproject.toml -o deploy/lock/bench.txt >/dev/null; \
	$$uv $(COMPILE) --all-extras --group dev pyproject.toml -o deploy/lock/dev.txt >/dev/null

clean: ## Forget the data of the demo
	rm -rf .attune

distclean: clean ## Forget what was installed and downloaded as well
	rm -rf .venv .cache

# python3.11 first: it is what the locks were compiled for. A Python without ensurepip makes a broken .venv.
$(READY): deploy/lock/dev.txt
	@set -e; for python in python3.11 python3 none; do \
		! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break; done; \
	test $$python != none || { echo "Attune needs Python 3.11 or newer, as python3.11 or python3 on the PATH." >&2; exit 1; }; \
	$$python -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$$python cannot make virtual environments; on Debian: apt-get install $$($$python -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }; \
	$$python -m venv .venv
	@echo "installing into .venv: half a minute to a few, the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/lock/dev.txt
	@touch $@
