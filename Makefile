# The commands of this project; `make` or `make help` lists them. Needs Python 3.10 or newer, git and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEV := .venv/.dev
CLIENT := .venv-client/bin
CLIENT_READY := .venv-client/.ready
BENCH := .venv/.bench
IMAGE_READY := .venv-image/.ready
IMAGE_TORCH := $(shell sed -n 's/^ARG TORCH_VERSION=//p' Dockerfile)
TORCH := $(shell sed -n 's/^torch==\([^ ]*\).*/\1/p' builder/requirements-local.txt)
# Without an NVIDIA GPU: PyTorch's build for CPUs, which has no CUDA libraries and no triton, 4 GB less on Linux.
TORCH_FROM := $(if $(shell command -v nvidia-smi),,--extra-index-url https://download.pytorch.org/whl/cpu)
WORKER_LOCKS := builder/requirements.lock builder/requirements-local.lock
LOCKED := --quiet --disable-pip-version-check --no-deps --require-hashes
# Three processes of one thread each, on two cores: many tests wait for a process or a network. Files are handed out
# slowest first (tests/support/tiers.py), not largest first.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
CLIENT_TESTS := OMP_NUM_THREADS=1 $(CLIENT)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
	--confcutdir=tests/client tests/client
ENGINE_TESTS := weights decoding alignment word_timing scheduler batched coverage fitness handler worker
# For demo, serve, http and platform: `make serve MODEL=turbo PORT=9000`. WHISPER_MODEL of the shell counts too; a path
# needs no fetching.
ifndef MODEL
MODEL := $(or $(WHISPER_MODEL),base)
endif
WEIGHTS := $(if $(wildcard $(MODEL)),,models/.$(MODEL))
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

# Without a cache of bytecode each process of the tests compiles the project anew, and pytest all files of tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo client ui bridge test-fast test test-all test-ui chromium coverage lint lock image image-base test-image podman image-torch serve http platform bench coldstart soak fuzz format clips release clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: $(DEV) models/.base models/.tiny.en  ## a virtual environment in .venv, and the models of worker and tests in models/

demo serve http platform: export WHISPER_MODEL = $(MODEL)

demo: $(READY) $(WEIGHTS)  ## transcribe the clip in test_input.json and print what comes back; MODEL=base
	@$(BIN)/python builder/demo.py

client: $(CLIENT_READY)  ## the command line's own small environment, in .venv-client

ui: $(CLIENT_READY)  ## the web page, for the endpoint in RUNPOD_ENDPOINT_ID or at RUNPOD_BASE_URL; PORT=8080
	@$(CLIENT)/python -m client.page --port $(or $(PORT),8080)

bridge: $(CLIENT_READY)  ## OpenAI's API at http://127.0.0.1:8080/v1, for the endpoint in RUNPOD_ENDPOINT_ID; PORT=8080
	@$(CLIENT)/python -m client.serve --port $(or $(PORT),8080)

# Nothing waits in these, and each more process would import all of it once more.
test-fast: $(DEV) $(CLIENT_READY)  ## the tests that need no model and start no process
	$(TESTS) -n 2 -m "not model and not process and not slow"
	$(CLIENT_TESTS) -n 2 -m "not model and not process and not slow"

test: setup $(CLIENT_READY)  ## all tests but the slow ones, with real models, real ffmpeg and the real SDK
	$(TESTS) -m "not slow"
	$(CLIENT_TESTS) -m "not slow"

# In 80 jobs memory still grows by what is used for the first time, such as the model's copy for `sequential`: only `make
# soak` tells of its trend.
test-all: export HYPOTHESIS_PROFILE = ci
test-all: setup $(CLIENT_READY)  ## every test, soak and fuzz in small, and the page's tests where there is a Chromium
	$(TESTS)
	$(CLIENT_TESTS)
	$(BIN)/python -m tests.soak --jobs 80 --round 40 --max-growth 0.5
	$(BIN)/python -m tests.fuzz --inputs 200
	@if $(MAKE) chromium; then $(MAKE) test-ui; else echo "No Chromium here: the tests of the page were left out."; fi

coverage: setup  ## the tests of the worker with coverage, which must not fall below the floor in pyproject.toml
	@mkdir -p .cache/coverage
	$(TESTS) --cov --cov-report=term:skip-covered

chromium:
	@[ -x /usr/bin/chromium ] || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends chromium; }

# Two processes: each has those of a browser and of a server beside it.
test-ui: setup $(CLIENT_READY) chromium  ## the web page in a headless Chromium; screenshots go to tests/ui/artefacts
	$(TESTS) -n 2 --confcutdir=tests/ui tests/ui

lint: $(DEV)  ## ruff, mypy, oxlint, codespell, hadolint, and the workflows by check-jsonschema and zizmor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/oxlint api/page/static
	$(BIN)/codespell src api media transcript client builder benchmarks deploy tests docs README.md Makefile compose.yaml handler.py
	$(BIN)/hadolint Dockerfile deploy/load-balancing/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --min-severity medium .github/workflows

# Only what is set is passed on; `TORCH_INDEX=` is set, and stands for pip's own index.
IMAGE ?= worker-whisper
BUILD_ARGS := $(foreach name,BASE_IMAGE TORCH_VERSION TORCH_INDEX WHISPER_MODEL WHISPER_MODELS,\
	$(if $(filter undefined,$(origin $(name))),,--build-arg $(name)=$($(name))))
# A network with nothing but loopback, which podman's containers share; docker's are started by a service outside of it.
ALONE := $(if $(shell command -v podman),$(if $(SUDO),,unshare --net sh -c 'ip link set lo up && exec "$$0" "$$@"'))

image:  ## build the Dockerfile with podman or docker; IMAGE=worker-whisper WHISPER_MODEL=medium BASE_IMAGE=...
	$(PYTHON) -m builder.image build --tag $(IMAGE) $(BUILD_ARGS)

image-base: models/.tiny.en podman  ## localhost/worker-whisper-base, for BASE_IMAGE where no registry can be reached
	$(PYTHON) -m builder.image base

test-image: setup  ## the built image as a confined container, under the emulated platform; IMAGE=worker-whisper
	IMAGE=$(IMAGE) OMP_NUM_THREADS=1 $(ALONE) $(BIN)/python -m pytest --confcutdir=tests/image tests/image

podman:
	@{ command -v podman && command -v runc && command -v mmdebstrap; } > /dev/null || { $(SUDO) apt-get update && \
		$(SUDO) apt-get install --yes --no-install-recommends podman runc mmdebstrap; }

image-torch: setup $(IMAGE_READY)  ## the engine's tests with the torch that the image has: 3 GB
	OMP_NUM_THREADS=1 .venv-image/bin/python -m pytest -n 3 --dist loadfile $(ENGINE_TESTS:%=tests/test_%.py)

# uv takes the versions that a lock has as its preferences: `rm builder/*.lock client/*.lock; make lock` updates all.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes
lock: $(DEV)  ## write the locks of all requirements.txt again; needs the package index
	$(LOCK) --output-file=builder/requirements-build.lock builder/requirements-build.txt
	$(LOCK) --overrides=builder/requirements-excluded.txt --output-file=builder/requirements.lock builder/requirements.txt
	$(LOCK) --overrides=builder/requirements-excluded.txt --output-file=builder/requirements-local.lock builder/requirements-local.txt
	$(LOCK) --constraints=builder/requirements.lock --output-file=builder/requirements-dev.lock builder/requirements-dev.txt
	$(LOCK) --output-file=client/requirements-dev.lock client/requirements-dev.txt

serve: $(READY) $(WEIGHTS)  ## the worker behind the SDK's local HTTP API; MODEL=base PORT=8000
	$(BIN)/python handler.py --rp_serve_api --rp_api_port $(or $(PORT),8000)

http: $(READY) $(WEIGHTS)  ## OpenAI's audio API and the web page on this machine, http://localhost:8000; MODEL=base PORT=8000
	@echo "Loading $(MODEL). The page: http://localhost:$(or $(PORT),8000)/; the API's routes: /docs. In another terminal:"
	@echo "  curl localhost:$(or $(PORT),8000)/v1/audio/transcriptions -F model=whisper-1 -F file=@tests/data/demo.ogg"
	@echo "  OpenAI(base_url=\"http://localhost:$(or $(PORT),8000)/v1\", api_key=\"any\").audio.transcriptions.create(...)"
	@WORKER_MODE=http PORT=$(or $(PORT),8000) $(BIN)/python handler.py

platform: $(DEV) $(WEIGHTS)  ## RunPod's API and a worker on this machine; MODEL=base PORT=8080
	@$(BIN)/python -m tests.platform --port $(or $(PORT),8080)

bench: setup $(BENCH)  ## transcription side by side with openai-whisper, faster-whisper and whisper.cpp
	$(BIN)/python -m benchmarks.transcription

coldstart: setup $(BENCH)  ## a worker's start, from its process to its first result, beside minimal ones
	@$(BIN)/python -m benchmarks.coldstart

soak: setup  ## 500 jobs of every kind for one worker, while platform, network and callers misbehave
	$(BIN)/python -m tests.soak

fuzz: setup  ## 2,000 wrong inputs and damaged media through the whole handler
	$(BIN)/python -m tests.fuzz

format: $(DEV)  ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clips: $(DEV)  ## make the repository's audio again (needs Debian's flite)
	tests/data/make_clips.sh

release: $(DEV)  ## a version, in this checkout; nothing is pushed: VERSION=0.2.0, and DRY_RUN=1 to keep nothing
	@$(BIN)/python builder/release.py $(if $(DRY_RUN),--dry-run) $(VERSION)

clean:  ## remove the environment, the models and all caches
	rm -rf .venv .venv-client .venv-image .venv-whisperx .cache models .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/ui/artefacts

# $(call install_worker,ENVIRONMENT,VERSION): this version of torch, whose own packages are not locked, then the worker's.
# In the other order pip would list all that openai-whisper requires and nothing imports. Only torch itself is looked for
# at PyTorch's index: where that cannot be reached, pip tries again for ten seconds for each package.
define install_worker
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(TORCH_FROM) "torch==$(2)"
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check "torch==$(2)"
	@$(1)/bin/python -m pip install $(LOCKED) $(WORKER_LOCKS:%=-r %)
endef

# The stamp goes first and comes back last: after an interruption the environment is made anew.
$(READY): $(WORKER_LOCKS) builder/requirements-local.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("worker-whisper needs Python 3.10 or newer: make PYTHON=python3.12 setup")'
	@echo "Setting up .venv: about a minute, most of it PyTorch"
	@if [ -e $@ ]; then rm $@; else $(PYTHON) -m venv --clear .venv; fi
	$(call install_worker,.venv,$(TORCH))
	@touch $@

$(DEV): builder/requirements-dev.lock $(READY)
	@$(BIN)/python -m pip install $(LOCKED) -r $<
	@touch $@

$(IMAGE_READY): $(WORKER_LOCKS) builder/requirements-dev.lock Dockerfile
	@if [ -e $@ ]; then rm $@; else $(PYTHON) -m venv --clear .venv-image; fi
	$(call install_worker,.venv-image,$(IMAGE_TORCH))
	@.venv-image/bin/python -m pip install $(LOCKED) -r builder/requirements-dev.lock
	@touch $@

# An environment of its own, without torch, as on a user's machine.
$(CLIENT_READY): client/requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("the client needs Python 3.10 or newer: make PYTHON=python3.12 client")'
	@if [ -e $@ ]; then rm $@; else $(PYTHON) -m venv --clear .venv-client; fi
	@$(CLIENT)/python -m pip install $(LOCKED) -r $<
	@touch $@

$(BENCH): builder/requirements-bench.txt $(DEV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

models/.%: | $(READY)
	@echo "Fetching the model $*"
	@mkdir -p $(@D)
	@$(BIN)/python builder/development_weights.py $*
	@touch $@
