# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin
N ?= 500
KIND ?= chain
UPSTREAM ?= https://api.openai.com/v1

# llama-cpp-python comes as source; what we do not use is not built.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_CURL=OFF
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-proxy bench-vote bench-local llama-server bench-replay bench-experience evaluate evaluation serve clean

help: ## list what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: .venv/.local ## install the local engine and see it think, vote and stop early
	$(BIN)/forethought demo

serve: .venv/.local ## serve the embedded model on http://127.0.0.1:8000/v1
	$(BIN)/forethought serve --pocket

test: check .venvs/openai3/.ready ## install everything and run every check and test
	$(BIN)/python -m pytest

check: .venv/.dev ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

format: .venv/.dev ## format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: bench-proxy bench-vote bench-local ## every benchmark

bench-proxy: .venv/.dev ## CPU per request of the proxy, against a bare relay and LiteLLM's
	$(BIN)/python tests/bench/proxy.py

bench-vote: .venv/.dev ## what thinking, voting and stopping early are worth on the embedded model
	$(BIN)/python tests/bench/vote.py

bench-local: .venv/.dev ## the local engine against its peers, and a soak of it
	$(BIN)/python tests/bench/local.py

bench-replay: .venv/.dev ## votes and thoughts that stop early, on recordings of real models in FORETHOUGHT_DATA
	$(BIN)/python tests/bench/thoughts.py
	$(BIN)/python tests/bench/replay.py

# Results are kept for each state of the code, so that an interrupted run goes on and a changed strategy starts anew.
evaluate evaluation bench-experience: STATE = $(shell git describe --always --dirty 2>/dev/null)
evaluate: .venv/.dev ## accuracy against tokens of every policy on the embedded model; N=500 KIND=chain
	$(BIN)/forethought evaluate --pocket -p none -p policies/forethought_policies -p tests/bench/policies -n $(N) \
		--kind $(KIND) --by difficulty --json tests/bench/evaluate-$(STATE).jsonl --plot tests/bench/evaluate-$(KIND).svg

evaluation: .venv/.dev ## every number on the strategies, against its bar, also in build/evaluation.md; N=500
	$(BIN)/python tests/bench/evaluation.py --problems $(N) --json build/evaluation-$(STATE).jsonl
	$(MAKE) --keep-going bench-experience $(if $(FORETHOUGHT_DATA),bench-replay)

bench-experience: .venv/.dev ## experience against every fixed policy on the embedded model, in four orders
	mkdir -p build
	$(BIN)/python tests/bench/experience.py --journal build/experience-$(STATE).jsonl --json build/experience.json

llama-server: build/llama-server/bin/llama-server ## build llama.cpp's own server, which bench-local then measures beside

# The source is that of the installed llama-cpp-python, so that both sides have the same kernels.
build/llama-server/bin/llama-server: | .venv/.local
	rm -rf build/llama-server
	mkdir -p build/llama-server/source
	$(BIN)/pip download --quiet --no-deps --no-binary llama-cpp-python --dest build/llama-server \
		"llama-cpp-python==$$($(BIN)/python -c 'import llama_cpp; print(llama_cpp.__version__)')"
	tar -xzf build/llama-server/llama_cpp_python-*.tar.gz -C build/llama-server/source --strip-components=1
	cmake -S build/llama-server/source/vendor/llama.cpp -B build/llama-server -DCMAKE_BUILD_TYPE=Release \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
		-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF
	cmake --build build/llama-server --target llama-server

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.local: pyproject.toml | .venv/bin/python
	@echo "Installing Forethought with its local engine; building llama.cpp takes some minutes the first time."
	$(BIN)/pip install --quiet -e ".[local,proxy]"
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Installing Forethought with all it can use; building llama.cpp takes some minutes the first time."
	$(BIN)/pip install --quiet -e ".[dev]"
	@touch $@ .venv/.local

# openai 3.x runs on another HTTP stack than 2.x, and litellm may pin 2.x: it gets an environment of its own.
.venvs/openai3/.ready: pyproject.toml
	$(PYTHON) -m venv .venvs/openai3
	.venvs/openai3/bin/pip install --quiet -e ".[proxy]" "openai>=3,<4" "httpx>=0.28,<1" "pytest>=8.3,<10" "pytest-asyncio>=1,<2"
	@touch $@

clean: ## remove what was installed and built
	rm -rf .venv .venvs dist build .hypothesis .mypy_cache .ruff_cache
