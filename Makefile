# The commands of this repository. `make demo` and `make test` need nothing but python3, apt and root.

PYTHON ?= python3
PYTEST_ARGS ?=
# A guest under emulation keeps one core busy and the tests wait for it: two modules at a time take half as long.
WORKERS ?= 2
FAULTS ?= 300
KILLS ?= 200
SEED ?=
BENCH_ARGS ?=
DEMO_ARGS ?=
# The libvirt of Debian 12, Ubuntu 24.04 and Debian 13: one libvirt-python is locked for each.
LIBVIRT ?= 9.0.0 10.0.0 11.3.0

venv := .venv/bin
uv := .install/tools/bin/uv
compile := $(uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)

# Quick suites first, so that a plain mistake is heard of within seconds; a new directory of tests runs at the end.
with_tests := $(filter-out tests/support,$(patsubst %/,%,$(sort $(dir $(wildcard tests/*/*.py)))))
ordered := $(filter $(with_tests),$(addprefix tests/,unit api contract crash clients soak system lab))
suites := $(ordered) $(filter-out $(ordered),$(with_tests))
typed := $(suites) $(if $(wildcard bench/*.py),bench) $(wildcard tools/*.py) tools/install

.DEFAULT_GOAL := help
.PHONY: help demo tutorial test test-slow soak kills test-databases check install install-with-tests bench docs lock clean record-contract

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: install ## the whole cloud on this machine, used as a user would, and taken away again
	$(venv)/python -m cumulet.demo $(DEMO_ARGS)

tutorial: install-with-tests ## the tutorial of 2012 from its first to its last line, by today's clients and by that time's
	$(venv)/python -m cumulet.tutorial

test: install-with-tests check ## all the tests (PYTEST_ARGS='-k metadata' for some)
	$(venv)/python -m pytest -n $(WORKERS) --dist loadfile $(suites) $(PYTEST_ARGS)

test-slow: install-with-tests ## what takes minutes: a stock Debian boots by BIOS and by UEFI; LVM in a guest; Ceph; VLANs between two; no byte is lost, for 20 kills; RabbitMQ is away (AWAY=600)
	@command -v mmdebstrap >/dev/null || apt-get install --yes --no-install-recommends mmdebstrap
	@command -v lvcreate >/dev/null || apt-get install --yes --no-install-recommends lvm2
	@command -v ceph-osd >/dev/null || apt-get install --yes --no-install-recommends ceph-mon ceph-mgr ceph-osd ceph-common
	$(venv)/python -m pytest --slow -m slow $(suites) $(PYTEST_ARGS)

soak: install-with-tests ## FAULTS=300 random faults on three hosts under users who go on (SEED=n: the same again)
	FAULTS=$(FAULTS) SEED=$(SEED) $(venv)/python -m cumulet.lib.private_host -- \
		$(venv)/python -m pytest -s -p no:cacheprovider tests/soak

kills: install-with-tests ## KILLS=200 random kills of all that a volume of another host hangs on; what was synced is read after each (40 minutes)
	KILLS=$(KILLS) SEED=$(SEED) $(venv)/python -m cumulet.lib.private_host -- \
		$(venv)/python -m pytest -s -p no:cacheprovider --slow -m slow tests/lab/test_no_byte_is_lost.py

record-contract: install-with-tests ## keep what processes of this contract say to one another (docs/decisions/0031)
	cd tests && $(CURDIR)/$(venv)/python -m support.recording

# What knows of the database: the contract with it, the engine, the api, and who dies in the midst of it.
with_database := $(addprefix tests/unit/test_,engine.py hearing.py host_lease.py migrations.py) \
	$(addprefix tests/contract/test_,databases.py database_servers.py prepared.py) tests/api tests/crash

# Each process has a server of its own.
test-databases: install-with-tests ## the suites that know of the database, whole, on PostgreSQL and on MariaDB (an hour; PYTEST_ARGS as for test)
	set -e; for kind in postgresql mariadb; do \
		$(venv)/python -m pytest -n $(WORKERS) --dist loadfile --database $$kind $(with_database) $(PYTEST_ARGS); \
	done

check: install-with-tests ## ruff, mypy and the rules of the repository
	$(venv)/ruff check .
	$(venv)/ruff format --check .
	$(venv)/mypy
	set -e; for part in $(typed); do $(venv)/mypy $$part; done
	$(venv)/python -m pytest -q --no-header tests/unit/test_imports_go_one_way.py

install: ## what the cloud needs to run
	@command -v $(PYTHON) >/dev/null || { echo "install: there is no $(PYTHON) here: apt-get install python3" >&2; exit 2; }
	@$(PYTHON) tools/install

install-with-tests: ## and what the tests need
	@command -v $(PYTHON) >/dev/null || { echo "install: there is no $(PYTHON) here: apt-get install python3" >&2; exit 2; }
	@$(PYTHON) tools/install --with-tests

bench: install-with-tests ## what is fast, side by side with others, in a table and as JSON
	$(venv)/python -m bench $(BENCH_ARGS)

docs: install-with-tests ## the pages that are generated from the code
	$(venv)/python -m cumulet.cli.docs

lock: ## make the lock files anew (UPGRADE=--upgrade for newer versions)
	@test -x $(uv) || $(PYTHON) tools/install
	$(compile) --group bootstrap --output-file requirements-bootstrap.lock
	$(compile) pyproject.toml --group test --output-file requirements-test.lock
	$(compile) pyproject.toml --group demo --constraints requirements-test.lock --output-file requirements.lock
	for version in $(LIBVIRT); do \
		echo "libvirt-python==$$version" | $(compile) --no-deps - || exit 1; \
	done > .install/libvirt.lock
	mv .install/libvirt.lock requirements-libvirt.lock

clean: ## take away all that was made here, except what apt installed
	rm -rf .venv .install .mypy_cache .ruff_cache .pytest_cache .hypothesis dist bench/results
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +
