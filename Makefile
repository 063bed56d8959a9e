# Everything happens in .venv, made on first use. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 2

.PHONY: install demo test test-slow fuzz lint format real-data laboratory founding tuning pretrained experiments \
	bench-signal bench-recurrent bench-models bench-recipe bench-predict bench-survey clean

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

# Two files at a time, one thread each
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# Ten minutes of damage to everything that is read: files in every format, text, models, data sets and runs.
# FUZZ_SECONDS=60 for less; a failure names the FUZZ_SEED with which it comes again
fuzz: export FUZZ_SECONDS ?= 600
fuzz: $(STAMP)
	$(BIN)/python -m pytest tests/test_fuzz.py -m slow -x -q -p no:cacheprovider

lint: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

# The tables of docs/results.md; resumable, an hour or two on two cores
real-data: pretrained
	$(BIN)/python benchmarks/into_docs.py docs/results.md tables benchmarks/real_data.py
	$(BIN)/python benchmarks/into_docs.py docs/results.md epochs benchmarks/bench_epochs.py

# Every model on every representation of three real sets, docs/laboratory.md; resumable, some hours on two cores
laboratory: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/laboratory.md laboratory benchmarks/laboratory.py $(ARGS)

# The founding experiment on 6,696 simulated stars; resumable, about a day on two cores.
# ARGS="--device cuda --budget auto" where there is a GPU, ARGS="--stars 300 --budget quick" for a try
founding: $(STAMP)
	$(BIN)/python benchmarks/founding.py $(ARGS)

# gru, circular and gradient-boosting tuned within each fold of a real set, beside the default; resumable, hours
tuning: $(STAMP)
	$(BIN)/python benchmarks/tuning.py $(ARGS)

# The trained models of the package, remade; resumable
pretrained: $(STAMP)
	$(BIN)/python benchmarks/pretrain.py
	$(BIN)/python benchmarks/scales.py

# The table of docs/experiments.md: what helped and what did not; resumable
experiments: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md experiments benchmarks/experiments.py

# The tables of docs/benchmarks/signal.md: splines, prepare at survey size, period search, accuracy against truth
INTO_SIGNAL := $(BIN)/python benchmarks/into_docs.py docs/benchmarks/signal.md
bench-signal: $(STAMP)
	$(INTO_SIGNAL) spline benchmarks/bench_spline.py
	$(INTO_SIGNAL) prepare benchmarks/bench_prepare.py
	$(INTO_SIGNAL) period benchmarks/bench_period.py
	$(INTO_SIGNAL) truth benchmarks/bench_truth.py

# ARGS=--without-keras leaves out Keras, whose environment is otherwise made on the way
bench-recurrent: $(STAMP)
	$(BIN)/python -m pip install --quiet onnx onnxruntime
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/recurrent.md recurrent benchmarks/bench_recurrent.py $(ARGS)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/recurrent.md profile benchmarks/profile_recurrent.py

# Parameters, training and prediction times of every model; ARGS as above
bench-models: $(STAMP)
	$(BIN)/python benchmarks/bench_models.py --output docs/benchmarks/models.md $(ARGS)

# Validation error against epochs, our recipe beside the founding one; resumable
bench-recipe: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/training.md recipe benchmarks/bench_recipe.py \
		--jobs 2 --threads 1 $(ARGS)

# Stars a second of every trained model
bench-predict: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/predict.md predict benchmarks/bench_predict.py $(ARGS)

# A survey of Gaia's size from disk to disk, by stages, and the founding way on a sample (needs Python 3.11 or older)
bench-survey: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/survey.md survey benchmarks/bench_survey.py $(ARGS)

clean:
	rm -rf $(VENV) demo-output build dist
