# make demo   set up, train an embedding on the practice host, serve the tab on 127.0.0.1:7860, at this run (SERVE=0: only train)
# make test   set up, run every test but the long ones
# make test-long   set up, run the long ones: randomized tests with many more trials, other trainers
# make trainers    set up other trainers in today's versions, for the tests of docs/trainers.md (test-long does it by itself)
# make test-webui WEBUI_ROOT=...   start that WebUI and drive it, by its API and with a browser
# make bench  measure speed against references in the same process
# make evidence    measure what docs/evidence.md states, an hour on two cores; resumable. GROUP=..., ROW=..., FIRST_SEED=... as there
# make bench-webui WEBUI_ROOT=...  what an update costs in that WebUI, without us and with us
# make bench-cuda  the same on this machine's GPU: the practice host, with WEBUI_ROOT=... the WebUI's UNet too, and tests/test_cuda.py
# All set up .venv by themselves; nothing is installed outside it.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
TRAINERS := $(VENV)/trainers
SERVE  ?= 1
PORT   ?= 7860
OUT    ?= demo-out
LR     ?= warmup(0.005):20, cosine(0.005, 1e-5)
STEPS  ?= 300
# A fresh name each time: the same name would resume the embedding that is there.
NAME   ?= demo-$(shell date +%H%M%S)

.PHONY: demo test test-long trainers test-webui lint types bench bench-webui bench-cuda evidence serve clean

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
	$(PY) -m lib_lrsched serve --out "$(OUT)" --port $(PORT) --run "$(NAME)"
endif

serve: $(VENV)/.standalone
	$(PY) -m lib_lrsched serve --out "$(OUT)" --port $(PORT)

lint: $(VENV)/.test
	$(PY) -m ruff check .

types: $(VENV)/.test
	$(PY) -m mypy

# Compiled once, whatever the environment says of __pycache__: else each process compiles all tests, and each that they start the library.
test test-long: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.test lint types
	$(PY) -m pytest -n 3

# What cannot be installed is skipped by its tests, which say so.
test-long: $(VENV)/.test
	LRSCHED_LONG=1 $(PY) -m pytest -n 3 -m long
	-$(MAKE) trainers
	test ! -x $(TRAINERS)/bin/python || LRSCHED_LONG=1 $(TRAINERS)/bin/python -m pytest -m long -rs tests/trainers

# An environment over .venv: these trainers need other versions of pydantic and huggingface-hub than the WebUI has.
trainers: $(TRAINERS)/.installed

SITE := -c "import sysconfig; print(sysconfig.get_path('purelib'))"

$(TRAINERS)/.installed: tests/trainers/requirements.txt Makefile $(VENV)/.test
	test -x $(TRAINERS)/bin/python || $(PY) -m venv $(TRAINERS)
	$(PY) $(SITE) > "$$($(TRAINERS)/bin/python $(SITE))/over.pth"
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/trainers/requirements.txt
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation deepspeed==0.19.8
	touch $@

# Without WEBUI_ROOT: the WebUI that this folder lies in, or ~/host/webui. Its Python: WEBUI_PYTHON, or the venv in it or beside it.
test-webui: $(VENV)/.test
	LRSCHED_WEBUI=1 $(PY) -m pytest tests/webui -rs

bench: $(VENV)/.test
	$(PY) tests/bench.py

bench-webui: $(VENV)/.test
	$(PY) tests/bench_webui.py

evidence: $(VENV)/.test
	PYTHONPATH=tests $(PY) -m practice_tools.evidence $(if $(GROUP),--group "$(GROUP)") $(if $(ROW),--row "$(ROW)") \
		$(if $(FIRST_SEED),--first-seed $(FIRST_SEED)) $(if $(WRITE),--write)

bench-cuda: $(VENV)/.test
	$(PY) -m pytest tests/test_cuda.py -rs
	$(PY) tests/bench_cuda.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
