# Each target sets up what it needs; with everything in place that costs a blink.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

# A virtual display, where a Linux has none.
ifeq ($(shell uname -s 2>/dev/null)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
XVFB := xvfb-run -a -s "-screen 0 1920x1400x24"
endif

.PHONY: env display demo test lint bench classifier detector docs
.NOTPARALLEL:

env: ## the environment .venv
	@$(PYTHON) scripts/setup_env.py

display: ## the environment, and a virtual display where there is none
	@$(PYTHON) scripts/setup_env.py --display

demo: env ## a whole analysis, real where there is data and synthetic elsewhere
	NAPARI_WBC_DATA="$${NAPARI_WBC_DATA:-../shared/data}" $(BIN)/napari-wbc demo --out demo-output

test: display lint ## everything that must pass before a commit
	$(BIN)/pytest -n 2 --dist loadfile --ignore=tests/window
	$(BIN)/pytest tests/window

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/npe2 validate src/napari_wbc/napari.yaml

bench: env ## on an idle machine; half an hour
	$(BIN)/python benchmarks/localization.py
	$(BIN)/python benchmarks/leaks.py
	$(BIN)/python benchmarks/classification.py shipped
	$(BIN)/python benchmarks/classification.py noise
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/relabel.py
	$(BIN)/python benchmarks/fuzz.py

classifier: env ## the shipped classifiers, trained anew in .cache: two hours on a CPU
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	$(BIN)/python benchmarks/public_sets.py
	$(BIN)/napari-wbc train classifier --config benchmarks/configs/cdnn_base.toml --out .cache/cdnn_base --device cpu
	$(BIN)/napari-wbc train classifier --config benchmarks/configs/cdnn_homes.toml --out .cache/cdnn_homes --device cpu
	$(BIN)/napari-wbc train classifier --config benchmarks/configs/cdnn.toml --out .cache/cdnn --device cpu
	$(BIN)/napari-wbc train classifier --config benchmarks/configs/large_base.toml --out .cache/large_base --device cpu
	$(BIN)/napari-wbc train classifier --config benchmarks/configs/large_shapes.toml --out .cache/large_shapes --device cpu
	$(BIN)/python benchmarks/join_classifiers.py .cache/large_shapes/large_shapes.safetensors .cache/cdnn/cdnn.safetensors --out .cache/large

detector: env ## the shipped detector, trained anew in .cache: half an hour on a CPU
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	$(BIN)/python benchmarks/public_sets.py
	$(BIN)/napari-wbc train detector --config benchmarks/configs/mask_rcnn.toml --out .cache/mask_rcnn

docs: env docs/images/comparison.png docs/images/outlines.png ## the documentation, in docs/_build
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

# Pictures are built once, and again after `rm -r docs/images`. The script makes comparison.png last.
docs/images/comparison.png: | display
	$(XVFB) $(BIN)/python docs/make_screenshots.py

docs/images/outlines.png: | env
	$(BIN)/python docs/make_outline_sheet.py
