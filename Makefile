# Needs python3, make and, unless TREADLE_PURE=1 is set, a C compiler. Everything else goes to .venv.
#
#   make run        build, then take the tour on treadle
#   make showcase   a chat, a game, an editor and figures of the server, in a browser (PORT=8000)
#   make showcase-redis  the same in two processes over a Redis (PORT=8000, and the next one)
#   make test       build, then run the tests with the default Python
#   make lint       ruff and mypy
#   make test-all   tox: every CPython from 3.11 that is found, compiled and pure
#   make conformance  CPython's own tests of asyncio, on every CPython that has them
#   make bench      compare with other loops, and write docs/benchmarks (BENCH="--quick" and others)
#   make bench-check  has anything become slower? (CHECK="--counts" and other options)
#   make profile WORKLOAD=call_soon  where its cost is, as a flame graph (PROFILE="--loop uvloop")
#   make test-slow  the long runs: a million messages, a hundred thousand connections
#   make test-asan  the tests with an AddressSanitizer build

PYTHON ?= python3
BENCH ?=
CHECK ?=
PROFILE ?=
WORKLOAD ?=
TESTS ?=
CONFORMANCE ?=
PORT ?= 8000
HOST ?= 127.0.0.1
SHOWCASE ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export TREADLE_PURE ?=

VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' -o -name '*.pxd') setup.py pyproject.toml
# a plain and a compiled installation are different ones
KIND := $(if $(filter-out 0,$(TREADLE_PURE)),pure,compiled)
SHOWCASE_WEB := examples/showcase/web
INSTALLED := $(VENV)/.installed-$(KIND)

.PHONY: run showcase showcase-pages showcase-redis test lint test-all conformance test-slow test-asan bench bench-check profile build clean

run: $(INSTALLED)
	$(BIN)/treadle run examples/tour.py

# an interrupt is the usual end of it
showcase: $(VENV)/.extra-showcase $(INSTALLED) showcase-pages
	@cd examples && exec ../$(BIN)/python -m showcase --host $(HOST) --port $(PORT) $(SHOWCASE)

showcase-redis: $(VENV)/.extra-showcase $(INSTALLED) showcase-pages
	@cd examples && exec ../$(BIN)/python -m showcase.pair --host $(HOST) --port $(PORT) $(SHOWCASE)

showcase-pages: $(SHOWCASE_WEB)/dist/.built

# node_modules is newer than the lock: with it, bundling needs no network
$(SHOWCASE_WEB)/dist/.built: $(SHOWCASE_WEB)/node_modules/.package-lock.json \
    $(SHOWCASE_WEB)/build.js $(wildcard $(SHOWCASE_WEB)/src/* $(SHOWCASE_WEB)/pages/*)
	cd $(SHOWCASE_WEB) && npm run --silent build
	touch $@

$(SHOWCASE_WEB)/node_modules/.package-lock.json: $(SHOWCASE_WEB)/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "the showcase's pages are bundled by npm, which is missing; on Debian install npm" >&2; \
	  exit 1; }
	cd $(SHOWCASE_WEB) && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# Playwright is large, and of use only with the browser that it drives.
BROWSER = $(if $(shell command -v chromium),$(VENV)/.extra-browser)

test: $(VENV)/.extra-test $(BROWSER) $(INSTALLED)
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.extra-lint $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-all: $(VENV)/.extra-tox
	$(BIN)/python -m tools.every_python

conformance: $(VENV)/bin/python
	$(BIN)/python -m tools.conformance --every-python $(CONFORMANCE)
	$(BIN)/python -m tools.conformance --every-python --aio $(CONFORMANCE)

test-slow: $(VENV)/.extra-test $(INSTALLED)
	$(BIN)/python -m pytest -m slow

test-asan: $(VENV)/.extra-test
	$(BIN)/python -m tools.asan

bench: $(VENV)/bin/python
	$(BIN)/python -m tools.bench $(BENCH)

bench-check: $(VENV)/bin/python
	$(BIN)/python -m tools.bench check $(CHECK)

profile: $(VENV)/bin/python
	@test -n "$(WORKLOAD)" || { \
	  echo "say which: make profile WORKLOAD=call_soon; python -m bench --list names them" >&2; exit 2; }
	$(BIN)/python -m tools.bench profile $(WORKLOAD) $(PROFILE)

build: $(INSTALLED)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { \
	  echo "treadle: '$(PYTHON) -m venv' failed; on Debian install the package python3-venv" >&2; \
	  rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

$(INSTALLED): $(VENV)/bin/python $(SOURCES)
	rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --quiet --editable '.[cli]'
	touch $@

$(VENV)/.extra-%: $(VENV)/bin/python pyproject.toml
	$(BIN)/python tools/extra.py $* > $@.txt
	$(BIN)/python -m pip install --quiet --requirement $@.txt
	mv $@.txt $@

clean:
	rm -rf $(SHOWCASE_WEB)/dist $(SHOWCASE_WEB)/node_modules
	rm -rf $(VENV) .venv-conformance-* build dist .tox src/*.egg-info
	find src -name '*.so' -delete
