# make demo | study | test | check | docs | bench | bundle : each sets up what it needs in .venv and runs
PYTHON ?= python3
BIN := .venv/bin
SEED := 0
CASES := 24
COHORT := runs/demo
PRESET := smoke
RUN := $(BIN)/python -m monai.bundle run --dataset_dir $(COHORT)

# of a release: models with it where COHORT is given, trained with numbers of the file OVERLAY
RELEASE := $(if $(findstring command line,$(origin COHORT)),--cohort $(COHORT)) $(if $(OVERLAY),--overlay $(OVERLAY))
RELEASE += $(if $(DATA_LICENSE),--data_license $(DATA_LICENSE)) $(if $(URL),--url $(URL))

.PHONY: demo study test check lint docs bench bundle bundle-test clean

demo: .venv/ready  # the stages of semcl run with half of their steps
	$(BIN)/python -m tools.fresh "$(COHORT)"
	$(BIN)/python -m scripts phantom --out $(COHORT) --cases $(CASES) --seed $(SEED)
	$(RUN) --config_file bundle/configs/segment.yaml --coarse_dims 2 --max_epochs 20
	$(RUN) --config_file bundle/configs/pretrain.yaml --max_epochs 10
	$(RUN) --config_file bundle/configs/train.yaml --max_epochs 10
	for stage in inference embed evaluate; do $(RUN) --config_file bundle/configs/$$stage.yaml || exit 1; done
	$(BIN)/python -m scripts audit --dataset_dir $(COHORT) || test $$? -eq 3

study: .venv/ready
	test -f $(COHORT)/datalist.json || $(BIN)/python -m scripts phantom --out $(COHORT) --cases $(CASES) --seed $(SEED)
	$(BIN)/python -m scripts study --dataset_dir $(COHORT) --preset $(PRESET)

test: .venv/ready  # a worker more than cores, since some wait for processes they start
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: lint
	$(BIN)/python -m pytest tests/test_configs.py

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tools.tables --check

docs: .venv/ready
	$(BIN)/python -m tools.tables
	$(BIN)/python docs/reference.py

bench: .venv/ready
	$(BIN)/python -m bench

bundle: .venv/ready
	$(BIN)/python -m tools.release --out dist $(RELEASE)

bundle-test: bundle
	$(BIN)/python -m tests.zoo.isolated $(PYTHON)

clean:
	rm -rf .venv dist

.venv/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
