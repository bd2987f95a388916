# Everything starts from a fresh Debian 12 machine: each target first runs bin/setup, which installs what is missing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint bench bench-speech
MAKEFLAGS += --no-builtin-rules

export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

help:
	@echo "make demo    a call on real speech, transcribed and translated, to read and to hear"
	@echo "make serve   the server on http://127.0.0.1:8080; settings: docs/settings.md"
	@echo "make test    every test; PYTEST_ARGS='tests/audio -k g711' chooses"
	@echo "make lint    style, types and layers"
	@echo "make bench   how many calls one core carries, here and in other frameworks: ten minutes"
	@echo "make bench-speech   how right the words are, and how soon the other side hears them"
	@echo "make setup   only what running needs (the others do it themselves)"

setup:
	@bin/setup run

demo:
	@bin/setup run
	@.venv/bin/kallglot demo

serve:
	@bin/setup run
	@exec .venv/bin/kallglot serve

# Of the machine code, as of the sources, what it is made of is tested.
COMPILED_TESTS := tests/test_compiled.py tests/audio tests/legs tests/session tests/speech/failover \
	tests/speech/remote/test_segmented.py tests/speech/test_utterances.py tests/acceptance/test_conversation.py

test:
	@bin/setup test
	@.venv/bin/pytest -n 3 --dist loadgroup $(PYTEST_ARGS)
ifndef PYTEST_ARGS
	@echo "test: once more, on the machine code of the media path"
	@KALLGLOT_COMPILED=on .venv/bin/pytest -n 3 --dist loadgroup $(COMPILED_TESTS)
endif

lint:
	@bin/setup test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports

bench:
	@bin/setup test
	@.venv/bin/python -m benchmarks.media --short --markdown bench.md --json bench.json $(BENCH_ARGS)
	@echo "bench: the report is in bench.md"

bench-speech:
	@bin/setup test
	@.venv/bin/python -m benchmarks.speech $(BENCH_ARGS)
