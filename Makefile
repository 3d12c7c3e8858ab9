# Each target sets up what it needs; with everything in place that costs a blink.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

.PHONY: env display demo test lint bench detector docs
.NOTPARALLEL:

env: ## the environment .venv
	@$(PYTHON) scripts/setup_env.py

display: ## the environment, and a virtual display where there is none
	@$(PYTHON) scripts/setup_env.py --display

demo: env ## a whole analysis, real where there is data and synthetic elsewhere
	NAPARI_WBC_DATA="$${NAPARI_WBC_DATA:-../shared/data}" $(BIN)/napari-wbc demo --out demo-output

test: display lint ## everything that must pass before a commit
	$(BIN)/pytest

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/npe2 validate src/napari_wbc/napari.yaml

bench: env ## on an idle machine; half an hour
	$(BIN)/python benchmarks/localization.py
	$(BIN)/python benchmarks/classification.py
	$(BIN)/python benchmarks/relabel.py

detector: env ## the shipped detector, trained anew in .cache: hours without a graphics card
	$(BIN)/python benchmarks/public_sets.py
	$(BIN)/napari-wbc train detector --config benchmarks/configs/mask_rcnn_base.toml --out .cache/mask_rcnn_base
	$(BIN)/napari-wbc train detector --config benchmarks/configs/mask_rcnn.toml --out .cache/mask_rcnn

docs: env
	$(BIN)/sphinx-build -W --keep-going docs docs/_build
