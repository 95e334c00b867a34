# make demo | test | check | docs | bench : each sets up what it needs in .venv and runs
PYTHON ?= python3
BIN := .venv/bin
SEED := 0
CASES := 24
COHORT := runs/demo
STAGES := coarse pretrain train inference embed evaluate
RUN := $(BIN)/python -m monai.bundle run --dataset_dir $(COHORT)

.PHONY: demo test check docs bench clean

demo: .venv/ready
	rm -rf $(COHORT)
	$(BIN)/python -m scripts phantom --out $(COHORT) --cases $(CASES) --seed $(SEED)
	for stage in $(STAGES); do $(RUN) --config_file bundle/configs/$$stage.yaml || exit 1; done

test: .venv/ready
	$(BIN)/python -m pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_configs.py

docs: .venv/ready
	$(BIN)/python docs/reference.py

bench: .venv/ready
	$(BIN)/python -m bench

clean:
	rm -rf .venv runs

.venv/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
