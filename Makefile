# make demo   sets up a virtual environment and diagnoses examples/fineweb-40m
# make test   sets up the development environment and runs lint, types and tests
# make corpus reads every real run of ../shared/corpus (or $AUSCULT_CORPUS) and compares it with its known facts
# make accuracy compares our estimates, and other estimators', with public measurements: docs/accuracy.md
# make bench-trainer  measures our trainer and its peers on this machine and writes docs/performance.md; the machine should be quiet
# make gpu-truth      measures what needs a GPU, in one call of at most 9.5 minutes (PYTHON: one whose torch has CUDA)
# make example      trains the three runs of examples/width-or-dropout, each in less than ten minutes on two cores
# make soak   trains tiny runs under random kills for SOAK_MINUTES and compares them with runs that nobody touched: build/soak.json
# make fuzz   fuzzes every reader for FUZZ_SECONDS each (make fuzz DIALECT=nanogpt: one of them)
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PEERS  ?= .venv-peers
BENCH  ?= .venv-bench

FUZZ_SECONDS ?= 600
DIALECT ?=
SOAK_MINUTES ?= 30

EXAMPLE := examples/width-or-dropout

.PHONY: demo example test check lint types unit corpus accuracy fuzz soak bench bench-trainer gpu-truth docs lock clean

demo: $(VENV)/.core
	@$(BIN)/auscult diagnose examples/fineweb-40m --fail-on never

test: check

check: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -q

corpus: $(VENV)/.dev
	$(BIN)/python scripts/corpus.py

accuracy: $(VENV)/.dev $(PEERS)/.ready
	$(BIN)/python scripts/accuracy.py

$(PEERS)/.ready: scripts/measured/peers-requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/measured/peers-requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-analysis==0.2.2
	@touch $@

fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]' -c requirements.lock
	@for name in $(or $(DIALECT),$$($(BIN)/auscult dialects | cut -d' ' -f1)); do \
	  echo "== $$name"; $(BIN)/python fuzz/fuzz_dialect.py $$name $(FUZZ_SECONDS) || exit 1; done

soak: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python scripts/soak.py --minutes $(SOAK_MINUTES)

bench: $(VENV)/.dev
	@for script in benchmarks/*.py; do $(BIN)/python $$script; done

bench-trainer: $(BENCH)/.ready
	$(BENCH)/bin/python -m benchmarks.trainer
	PYTHONPATH=src $(BENCH)/bin/python -m benchmarks.trainer.page

$(BENCH)/.ready: benchmarks/trainer/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/trainer/requirements.txt
	@touch $@

gpu-truth:
	$(PYTHON) -m benchmarks.gpu_truth --output benchmarks/gpu_truth/results
	PYTHONPATH=src $(PYTHON) -m benchmarks.trainer.page

example: $(VENV)/.dev
	@test -d $(EXAMPLE)/corpus || $(BIN)/auscult data corpus --output $(EXAMPLE)/corpus
	@$(BIN)/auscult data prepare $(EXAMPLE)/corpus --output $(EXAMPLE)/data --tokenizer bytes --val-share 0.1
	$(BIN)/auscult train $(EXAMPLE)/narrow.toml --force
	$(BIN)/auscult train $(EXAMPLE)/narrow-no-dropout.toml
	$(BIN)/auscult train $(EXAMPLE)/wide.toml
	@$(BIN)/python scripts/width_or_dropout.py runs

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/python scripts/first_screen.py
	$(BIN)/python scripts/worked_examples.py

lock: $(VENV)/.dev
	$(BIN)/python -m pip freeze --exclude-editable | sed "s|+cpu$$||" > requirements.lock

clean:
	rm -rf $(VENV) $(PEERS) $(BENCH) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "auscult needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . -c requirements.lock
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c requirements.lock
	@touch $@ $(VENV)/.core
