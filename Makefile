# The front door: `make help` lists what there is.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
RUN     := $(BIN)/python -m resnet_ablations
# Used for the set-up where it is there; UV= on the command line: pip.
UV      := $(shell command -v uv)
# The build of PyTorch for a new .venv, as named at https://download.pytorch.org/whl: cpu, cu126, …; empty: the default one.
TORCH   ?=

SCALE   ?= quick
RESULTS ?= $(or $(value RESNET_ABLATIONS_RESULTS),results)
export RESNET_ABLATIONS_RESULTS := $(RESULTS)
# Containers often set it; then each of the many processes of a sweep or a test would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE
LAUNCHER ?= local
WAIT    ?= 1
SEEDS   ?=
ROWS    ?=
# From the command line only: in the environment it is the width of the terminal.
COLUMNS :=
unexport COLUMNS
ARGS    ?=
EXPERIMENT ?= shortcuts
RUNS    ?=

REQUIREMENTS = --constraint constraints.txt --editable '.[dev]'
OVERRIDES = scale=$(SCALE) $(if $(SEEDS),seed=$(SEEDS)) $(if $(ROWS),rows=$(ROWS)) $(if $(COLUMNS),columns=$(COLUMNS)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup plan networks status evaluate lesions clean-runs wandb-sync report publish notebooks test test-long test-gpu lint format bench

help: ## list the targets
	@echo "make TARGET [SCALE=quick|small|early|paper] [SEEDS=0,1] [ROWS=original,dropout] [COLUMNS=error] [RESULTS=folder] [LAUNCHER=local|slurm] [WAIT=0] [ARGS=\"Hydra overrides\"]"
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  %-16s %s\n", $$1, $$2}'
	@echo "sweep-NAME for NAME in: $(filter-out claims,$(basename $(notdir $(wildcard experiments/*.yaml))))"

setup: $(VENV)/installed ## install everything into .venv (the other targets do this by themselves)

# A copied or moved .venv still names the folder in which it was made: install into it again.
ifneq ($(shell test "$$(cat $(VENV)/installed 2>/dev/null)" -ef . && echo same),same)
.PHONY: $(VENV)/installed
endif

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed: make PYTHON=python3.13 …")'
ifneq ($(UV),)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@# uv gives a file one minute, which is too short on a busy machine.
	UV_COMPILE_BYTECODE_TIMEOUT=0 $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python $(if $(TORCH),--torch-backend=$(TORCH)) $(REQUIREMENTS)
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH),--extra-index-url https://download.pytorch.org/whl/$(TORCH)) $(REQUIREMENTS)
endif
	@# The programs of packages that are not installed again start the Python of the first folder.
	@sed -i.old "1,2s|/[^\"]*/$(BIN)/python|$$PWD/$(BIN)/python|" $$(grep -Il '^#!' $(BIN)/*) && rm -f $(BIN)/*.old
	@pwd > $@

sweep-%: setup ## train what is missing of experiments/%.yaml, then print and write its table and curves (shortcuts: 10 to 20 minutes on two cores)
	@$(RUN) sweep $* $(OVERRIDES) hydra/launcher=$(LAUNCHER) $(if $(filter 0,$(WAIT)),hydra.launcher.wait=false)

plan: setup ## what a sweep would run and what is finished: EXPERIMENT=NAME
	@$(RUN) plan $(EXPERIMENT) $(OVERRIDES)

networks: setup ## every network of both papers: parameters, multiply-adds, memory
	@$(RUN) networks

status: setup ## every run: outcome, progress, speed, time left
	@$(RUN) status

evaluate: setup ## test finished runs again from their kept weights: RUNS="NAME or pattern …"
	@set -f; $(RUN) evaluate $(RUNS)

lesions: setup ## delete and shuffle units of trained networks, and measure gradients by path length: RUNS="NAME or pattern …"
	@set -f; $(RUN) lesions $(RUNS)

clean-runs: setup ## remove runs, after asking: RUNS="NAME or pattern …"
	@set -f; $(RUN) clean $(RUNS)

wandb-sync: setup ## send runs of logger=wandb to its server; runs that are complete there are left alone: RUNS="…" for others
	@set -f; $(RUN) wandb-sync $(RUNS)

report: setup ## all tables and figures, and the page report/index.html, from RESULTS alone
	@$(RUN) report

publish: setup ## copy finished runs, text only, into results/reference; renew its report and the README
	@$(RUN) publish

notebooks: setup ## execute notebooks/ and write their outputs
	@$(BIN)/python notebooks/execute.py

test: setup ## the tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder

test-long: setup ## the long tests: faults at many moments, the compiler, very deep networks; about an hour
	@$(BIN)/python -m pytest -m long -rP --durations 0 --numprocesses auto --dist loadgroup --no-loadscope-reorder

test-gpu: setup ## the tests for a CUDA GPU; without one, those that a CPU can run
	@$(BIN)/python -m pytest -n 4 tests/gpu -m "not whole_gpu" $(ARGS)
	@$(BIN)/python -m pytest -n 0 tests/gpu -m whole_gpu $(ARGS)

lint: setup ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff write the code's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## training speed against a plain PyTorch loop, as ratios; on a GPU: ARGS="--device gpu"
	@$(BIN)/python -m benchmarks.training $(ARGS)
