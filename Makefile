# Everything happens in .venv, made on first use. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN = $(VENV)/Scripts
else
BIN = $(VENV)/bin
endif
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.installed-docs
RELEASE := $(VENV)/.installed-release
# The default wheels of later releases carry several GB of GPU libraries
TORCH ?= torch==2.13.0
CODE := src tests tools benchmarks docs
export OMP_NUM_THREADS ?= 2

.PHONY: install demo test test-slow test-light test-oldest test-gpu coverage fuzz lint lint-workflows format docs \
	docs-blocks dist test-wheel smoke notes release-notes release-check real-data shipped spectroscopy laboratory founding tuning pretrained distilled \
	experiments bench-signal bench-recurrent bench-models bench-recipe bench-predict bench-start bench-survey bench-minutes fewer-epochs clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "photfeh needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $(DOCS)

$(RELEASE): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	touch $(RELEASE)

demo: $(STAMP)
	$(BIN)/photfeh demo --output demo-output

# --- tests ---------------------------------------------------------------------------------------------------------

# Two files at a time, one thread each
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# Without torch and every other extra: what needs it is skipped and says so
test-light: VENV := .venv-light
test-light:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable . pytest hypothesis beartype jaxtyping sybil
	$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") and "torch is installed")'
	$(BIN)/python -m pytest -m "not slow" $(shell $(PYTHON) tools/light_tests.py)

# The oldest release of every direct dependency that pyproject.toml admits; torch as elsewhere, for its size, and last:
# what is there already would be kept. Warnings are no errors here: old releases meet newer ones of what they depend on
test-oldest: VENV := .venv-oldest
test-oldest:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --resolution lowest-direct --editable '.[test]'
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pytest -m "not slow" -W default -p no:cacheprovider $(ARGS)

# The training loop on a GPU: mixed precision, and the state of its random numbers
test-gpu: $(STAMP)
	$(BIN)/python -m pytest tests/test_gpu.py tests/test_fused.py -rs

coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --cov --cov-report=term:skip-covered \
		--cov-report=xml

# Ten minutes of damage to everything that is read: files in every format, text, models, data sets and runs.
# FUZZ_SECONDS=60 for less; a failure names the FUZZ_SEED with which it comes again
fuzz: export FUZZ_SECONDS ?= 600
fuzz: $(STAMP)
	$(BIN)/python -m pytest tests/test_fuzz.py -m slow -x -q -p no:cacheprovider

# --- style, types, floors, workflows ---------------------------------------------------------------------------------

lint: $(STAMP) lint-workflows
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-workflows: $(STAMP)
	$(BIN)/python tools/lint_workflows.py

format: $(STAMP)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# --- documentation -------------------------------------------------------------------------------------------------

# Warnings are errors; the tutorial is executed; nothing is fetched
docs: $(DOCS)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html -d docs/_build/doctrees docs docs/_build/html

# Every command and code block of README and docs, for real, and how many there are
docs-blocks: $(STAMP)
	$(BIN)/python -m pytest tests/test_docs_blocks.py -m "slow or not slow" -q

# --- release ---------------------------------------------------------------------------------------------------------

dist: $(RELEASE)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tools/built_wheel.py check dist $(VERSION)

# The wheel of dist/ in an empty environment: first without torch, then with it
test-wheel: $(RELEASE)
	$(BIN)/python tools/built_wheel.py install dist

# make smoke INDEX=https://test.pypi.org/simple/ VERSION=1.2.3: the same from a package index
smoke: $(RELEASE)
	$(BIN)/python tools/built_wheel.py smoke $(INDEX) $(VERSION)

# make notes VERSION=1.2.3: fragments of changes/ into CHANGELOG.md, version and date into the citation files
notes: $(RELEASE)
	$(BIN)/python -m towncrier build --yes --version $(VERSION)
	$(BIN)/python tools/citation_files.py --version $(VERSION)

# make release-notes VERSION=1.2.3: what CHANGELOG.md says of it, as release-notes.md; refused while fragments are left
release-notes: $(STAMP)
	$(BIN)/python tools/release_notes.py $(VERSION) > release-notes.md

# The whole chain from tag to installed package, against two package indexes on this machine
release-check: $(RELEASE)
	$(BIN)/python tools/rehearse.py $(ARGS)

# --- measured pages ----------------------------------------------------------------------------------------------------

# The tables of docs/results.md; resumable, an hour or two on two cores
real-data: pretrained
	$(BIN)/python benchmarks/into_docs.py docs/results.md tables benchmarks/real_data.py
	$(BIN)/python benchmarks/into_docs.py docs/results.md spectroscopy benchmarks/spectroscopy.py
	$(BIN)/python benchmarks/into_docs.py docs/results.md epochs benchmarks/bench_epochs.py

# How the error of the relation's model grows when epochs are taken away: a table of docs/results.md; a minute
fewer-epochs: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/results.md epochs benchmarks/bench_epochs.py

# The shipped RRab model beside the published network, out of fold: a table of docs/results.md; a minute
shipped: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/results.md shipped benchmarks/shipped.py

# The tables of docs/results.md against spectroscopy, and those of RRc; some minutes
spectroscopy: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/results.md spectroscopy benchmarks/spectroscopy.py

# Every model on every representation of three real sets, docs/laboratory.md; resumable, some hours on two cores
laboratory: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/laboratory.md laboratory benchmarks/laboratory.py $(ARGS)

# The founding experiment on 6,696 simulated stars; resumable, about a day on two cores.
# ARGS="--device cuda --budget auto" where there is a GPU, ARGS="--stars 300 --budget quick" for a try
founding: $(STAMP)
	$(BIN)/python benchmarks/founding.py $(ARGS)

# gru, circular and gradient-boosting tuned within each fold of a real set, beside the default; resumable, an hour
tuning: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md tuning benchmarks/tuning.py $(ARGS)

# The trained models of the package, remade; resumable
pretrained: $(STAMP)
	$(BIN)/python benchmarks/pretrain.py
	$(BIN)/python benchmarks/scales.py

# Students of the shipped ensembles, and how they compare: a table of docs/experiments.md; resumable, half an hour on one core
distilled: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md distilled benchmarks/distil.py
	$(BIN)/python benchmarks/scales.py

# The tables of docs/experiments.md: what helped and what did not; resumable
experiments: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md experiments benchmarks/experiments.py
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md joint benchmarks/joint_labels.py
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md parts benchmarks/label_parts.py
	$(BIN)/python benchmarks/into_docs.py docs/experiments.md bands benchmarks/overtone_bands.py

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

# A person's first minutes, timed in a fresh clone: the table of docs/install.md
bench-minutes: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/install.md minutes benchmarks/bench_minutes.py

# Stars a second of every trained model
bench-predict: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/predict.md predict benchmarks/bench_predict.py $(ARGS)

# One star: the first prediction of all, with nothing compiled, and the next
bench-start: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/install.md start benchmarks/bench_start.py $(ARGS)

# A survey of Gaia's size from disk to disk, by stages, and the founding way on a sample (needs Python 3.11 or older)
bench-survey: $(STAMP)
	$(BIN)/python benchmarks/into_docs.py docs/benchmarks/survey.md survey benchmarks/bench_survey.py $(ARGS)

clean:
	rm -rf $(VENV) .venv-light .venv-oldest demo-output build dist docs/_build
