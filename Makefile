# make quickstart   install, run two small sweeps through Ray Tune, draw a phase diagram and an accuracy table
# make test         lint, types, import contracts, tests
# make soak         kills drivers, workers, raylets and nodes at random and checks the results; MINUTES=20 SEED=
# make audit        known weaknesses of the locked packages; asks the network
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    := results/quickstart

.PHONY: install quickstart test lint soak audit clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tsd needs Python 3.11 or newer; '$(PYTHON)' is older, or not there. Name another: make PYTHON=python3.12 ..."; exit 2; }
	@echo "Installing at the versions of requirements.lock into $(VENV)/ ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock --no-build-isolation -e '.[dev]'
	@touch $@

quickstart: install
	$(BIN)/python -m tsd.sweep sweeps/quickstart_theory.yaml --results $(OUT)
	$(BIN)/python -m tsd.sweep sweeps/quickstart_digits.yaml --results $(OUT)
	$(BIN)/python -m analysis phase $(OUT)/quickstart_theory --where "layer = 'spectral'" \
	  --x student_width --y samples --value test_mse --log-x --log-y --log-value -o $(OUT)/phase_diagram.png -o $(OUT)/phase_diagram.pdf
	$(BIN)/python -m analysis table $(OUT)/quickstart_digits --rows method --columns samples_per_class \
	  --value test_accuracy -o $(OUT)/accuracy.md -o $(OUT)/accuracy.csv -o $(OUT)/accuracy.tex
	@echo
	@echo "Phase diagram   $(OUT)/phase_diagram.png  .pdf"
	@echo "Accuracy table  $(OUT)/accuracy.md  .csv  .tex"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --durations 15

audit:
	@$(PYTHON) -m venv build/audit
	@build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off

soak: install
	$(BIN)/python -m tests.end_to_end.soak --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
