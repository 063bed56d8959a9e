# Everything happens in .venv, made on first use. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 2

.PHONY: install demo test test-slow lint format real-data bench-signal bench-recurrent clean

install: $(STAMP)

# torch comes first and pinned: the default wheels of later releases carry several GB of GPU libraries
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "photfeh needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/photfeh demo --output demo-output

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

# The tables of docs/results.md; resumable, an hour or two on two cores
real-data: $(STAMP)
	$(BIN)/python benchmarks/real_data.py

# Splines, prepare at survey size, period search: stars per second, memory, ratios
bench-signal: $(STAMP)
	$(BIN)/python benchmarks/bench_spline.py --stars 60000
	$(BIN)/python benchmarks/bench_prepare.py
	$(BIN)/python benchmarks/bench_period.py

# ARGS=--without-keras leaves out Keras, whose environment is otherwise made on the way
bench-recurrent: $(STAMP)
	$(BIN)/python -m pip install --quiet onnx onnxruntime
	$(BIN)/python benchmarks/bench_recurrent.py $(ARGS)

clean:
	rm -rf $(VENV) demo-output build dist
