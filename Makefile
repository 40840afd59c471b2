# make demo   set up, train an embedding on the practice host, serve the tab on 127.0.0.1:7860 (SERVE=0: only train)
# make test   set up, run every test
# make bench  measure speed against references in the same process
# Both set up .venv by themselves; nothing is installed outside it.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SERVE  ?= 1
PORT   ?= 7860
OUT    ?= demo-out
LR     ?= warmup(0.005):20, cosine(0.005, 1e-5)
STEPS  ?= 300
# A fresh name each time: the same name would go on with the embedding that is there.
NAME   ?= demo-$(shell date +%H%M%S)

.PHONY: demo test lint types bench serve browser-deps clean

$(VENV)/.standalone: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[standalone]"
	touch $@

$(VENV)/.test: $(VENV)/.standalone
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[standalone,test]"
	touch $@

demo: $(VENV)/.standalone
	$(PY) -m lib_lrsched train --kind embedding --name "$(NAME)" --lr "$(LR)" --steps $(STEPS) --seed 1 --out "$(OUT)"
ifneq ($(SERVE),0)
	$(PY) -m lib_lrsched serve --out "$(OUT)" --port $(PORT)
endif

serve: $(VENV)/.standalone
	$(PY) -m lib_lrsched serve --out "$(OUT)" --port $(PORT)

lint: $(VENV)/.test
	$(PY) -m ruff check .

types: $(VENV)/.test
	$(PY) -m mypy

test: $(VENV)/.test lint types
	$(PY) -m pytest

bench: $(VENV)/.test
	$(PY) tests/bench.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
