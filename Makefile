# The two commands that matter: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
python := .venv/bin/python
uv_compile = $(python) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
building := $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])'

# Ctrl-C while Python still imports the program ends it without a traceback.
voucherpool := $(python) -c 'import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); \
	runpy.run_module("voucherpool", run_name="__main__")'
version := $(shell sed -n 's/^version = //p' setup.cfg)
pip_install := -m pip install --disable-pip-version-check --no-input --progress-bar off
# The name of each package, and what went wrong.
shown := sed -un 's/^Collecting \([^ ]*\) .*/  \1/p; s/^\(Installing\) collected .*/  \1 them/p; /^ERROR/p; /Retrying/p'
not_installed := echo "Error: the packages cannot be installed; pip says above why. Without a network, \
name a mirror in PIP_INDEX_URL or a folder of packages in PIP_FIND_LINKS." >&2; exit 1

# Says every 4 s that what follows on the line goes on; ends by itself if make is stopped.
ticking = began=$$(date +%s); while sleep 4 && kill -0 $$$$ 2>&-; do \
	echo "  … $$(($$(date +%s) - began)) s"; done & ticker=$$!

# Without bytecode on the disk, each process that a test starts compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo test test-citus test-long faults fuzz mutants wheel release page console picture stylesheet client drawing bench bench-scale bench-plans bench-citus check lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

run: .venv/local.ready ## start PostgreSQL and the service on 127.0.0.1 (PORT=5000, DATABASE_URL=)
	@exec $(voucherpool) start

demo: .venv/local.ready ## show the life of a voucher, and a shop in the console, on throw-away data (PORT=)
	@exec $(voucherpool) demo

test: .venv/dev.ready .venv/express.ready ## run the tests, two at a time, on a temporary PostgreSQL (TEST_DATABASE_URL=, ARGS=)
	@exec $(python) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

test-citus: .venv/dev.ready ## run the tests on a Citus cluster (CITUS_URL=postgresql://…, ARGS=)
	@test -n "$(CITUS_URL)" || { echo "Error: name the coordinator: make test-citus CITUS_URL=postgresql://…" >&2; exit 1; }
	@CITUS_URL="$(CITUS_URL)" exec $(python) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

test-long: .venv/dev.ready ## run the long tests: storms and the model at full size (ARGS=)
	@exec $(python) -m pytest -m long $(ARGS)

faults: .venv/dev.ready ## kill, freeze and starve the service, and judge by a ledger (ARGS="--quick", "--list", "NAME …")
	@exec $(python) -m tests.faults $(ARGS)

fuzz: .venv/dev.ready ## send 20 000 cases of the OpenAPI document, allowed and forbidden (SEED=)
	@exec $(python) -m pytest -m fuzz --numprocesses 2 -p tests.fuzz_report $(ARGS)

mutants: .venv/dev.ready ## break one condition after another; the tests must notice each (ARGS="--runs 10 WORD")
	@exec $(python) -m tests.mutate $(ARGS)

bench: .venv/dev.ready ## measure every operation over HTTP against its floors, with wrk (ARGS=--quick)
	@exec $(python) -m bench.http $(ARGS)

bench-scale: .venv/dev.ready .venv/bench.ready ## compare 10 000 vouchers with 10 000 000, and draw docs/scale.png
	@exec $(python) -m bench.scale $(ARGS)

bench-plans: .venv/dev.ready ## compare the first with the last of 100 000 redemptions and other requests on a new database
	@exec $(python) -m bench.plans $(ARGS)

bench-citus: .venv/dev.ready ## compare a Citus cluster on this host with one PostgreSQL (CITUS_URL=)
	@CITUS_URL="$(CITUS_URL)" exec $(python) -m bench.cluster $(ARGS)

wheel: .venv/dev.ready ## build dist/voucherpool-*.whl, to install for production
	@rm -rf build dist
	@$(python) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

release: .venv/release.ready ## build the last commit into dist/, twice: wheels, source, client, SBOM (and the image)
	@git diff --quiet HEAD || echo "What is not committed is left out."
	@rm -rf build dist
	@for place in first second; do $(MAKE) --silent build/$$place; done
	@diff build/first/SHA256SUMS build/second/SHA256SUMS || { \
		echo "Error: two builds of one commit differ." >&2; exit 1; }
	@mv build/first/dist build/first/SHA256SUMS . && mv SHA256SUMS dist && rm -rf build && cat dist/SHA256SUMS
	@if docker info >/dev/null 2>&1; \
		then docker build --target service --tag voucherpool:$(version) .; \
		else echo "No image: it needs a Docker engine."; fi

# A folder of its own, in which nothing of this checkout but the last commit counts.
build/%: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
build/%:
	@mkdir -p $@/source $@/dist
	@git -c tar.umask=0022 archive HEAD | tar --extract --directory $@/source --no-same-permissions
	@umask 022 && cd $@/source && \
		$(abspath $(python)) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir ../dist . && \
		cd client && $(abspath $(python)) -m hatchling build --directory ../../dist >/dev/null 2>&1
	@unzip -p $@/dist/voucherpool-*.whl '*/METADATA' > $@/PKG-INFO
	@git -c tar.umask=0022 archive --format=tar.gz --prefix=voucherpool-$(version)/ \
		--add-file=$@/PKG-INFO --output=$@/dist/voucherpool-$(version).tar.gz HEAD
	@printf '[project]\nname = "voucherpool"\nversion = "%s"\n' $(version) > $@/pyproject.toml
	@$(python) -W ignore -m cyclonedx_py requirements --pyproject $@/pyproject.toml --output-reproducible \
		--output-file $@/dist/voucherpool-$(version).cdx.json $@/source/requirements/run.lock
	@cd $@/dist && sha256sum * > ../SHA256SUMS

page: .venv/dev.ready ## run every example of /docs in a Chromium of this machine (SCREENSHOTS=folder)
	@exec $(python) -m pytest tests/page_check.py $(ARGS)

console: .venv/dev.ready ## use the console in a Chromium of this machine (SCREENSHOTS=folder, AXE=axe.min.js)
	@exec $(python) -m pytest tests/console_check.py $(ARGS)

picture: .venv/dev.ready ## take docs/console.png again: the console's overview of the demo's shop
	@folder=$$(mktemp -d) && SCREENSHOTS=$$folder $(python) -m pytest -q tests/console_check.py && \
		cp $$folder/overview-1280-light.png docs/console.png && rm -r $$folder

stylesheet: ## fetch the stylesheet of the console from npm again: Pico CSS 2, and its licence
	@home=$$(mktemp -d) && cd $$home && npm pack --silent @picocss/pico@2 && tar xzf picocss-pico-*.tgz && \
		cp package/css/pico.min.css $(CURDIR)/voucherpool/console/files/ && \
		cp package/LICENSE.md $(CURDIR)/voucherpool/console/files/pico.LICENSE.txt && rm -r $$home

client: .venv/dev.ready ## write the Python client from the OpenAPI document
	@$(python) -m client.generate

drawing: .venv/dev.ready ## draw the imports between packages into docs/architecture.md
	@$(python) -m docs.drawing

check: .venv/dev.ready ## lint, format, types, import rules; are migrations, drawing and client up to date?
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy
	@.venv/bin/lint-imports
	@$(python) -m tests.sizes
	@$(python) -m pytest --quiet tests/test_house.py tests/test_migrations.py tests/test_drawing.py \
		tests/test_client.py::test_it_is_made_from_the_routes_of_the_service

lock: .venv/dev.ready ## resolve the dependencies of setup.cfg again into requirements/
	@$(python) -m pip install --quiet uv
	@$(building) | $(uv_compile) --upgrade --output-file requirements/build.lock -
	@$(uv_compile) --upgrade --extra dev --output-file requirements/dev.lock setup.cfg
	@$(uv_compile) --constraint requirements/dev.lock --extra local --output-file requirements/local.lock setup.cfg
	@$(uv_compile) --constraint requirements/dev.lock --extra bench --output-file requirements/bench.lock setup.cfg
	@$(uv_compile) --constraint requirements/dev.lock --extra release --output-file requirements/release.lock setup.cfg
	@$(uv_compile) --constraint requirements/dev.lock --output-file requirements/run.lock setup.cfg

clean: ## remove the environment and the caches; the data in var/ stay
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

# Without it, the tests of the recipe for Express are skipped.
.venv/express.ready: requirements/express/package-lock.json | .venv/dev.ready
	@mkdir -p .venv/express && cp requirements/express/*.json .venv/express
	@if command -v npm >/dev/null && npm ci --silent --no-audit --no-fund --ignore-scripts --prefix .venv/express; \
		then touch $@; else echo "Express is not installed: the tests of its recipe are skipped."; fi

.venv/%.ready: requirements/%.lock requirements/build.lock setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "voucherpool needs Python 3.11 or newer: make run PYTHON=/path/to/python3.11")'
	@echo "Installing the packages of $< into .venv (once)"
	@$(ticking); trap '' INT; $(PYTHON) -m venv .venv; made=$$?; kill $$ticker; exit $$made
	@rm -f .venv/failed
	@$(ticking); { $(python) $(pip_install) --require-hashes --requirement $< \
		--requirement requirements/build.lock 2>&1 \
		|| touch .venv/failed; } | $(shown); kill $$ticker
	@test ! -e .venv/failed || { $(not_installed); }
	@$(ticking); $(python) $(pip_install) --quiet --no-deps --no-build-isolation --editable .; \
		installed=$$?; kill $$ticker; exit $$installed
	@touch $@
