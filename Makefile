# `make demo` and `make test` set up .venv first. Without make: tools/setup.sh run, then .venv/bin/rtu-edge demo.

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# make hil SLOW=5: all clocks of the suite at a fifth, for a busy host.
SLOW := 1
BOARDS := mega2560 microbit netduino2 mps2-an500 riscv32

.PHONY: help demo test test-oldest test-newest test-pythons test-free-threading hil estop lint tables docs screens format setup fuzz wheels release empty clean

help:
	@echo "make demo           learn to balance a cart-pole over a serial port, with all the set-up"
	@echo "make test           all tests, with all the set-up"
	@echo "make test-oldest    the tests with the oldest packages that pyproject.toml allows; make test-newest: the newest"
	@echo "make test-pythons   the tests on each Python from 3.10 to 3.15 that is found or unpacked, or on PYTHONS=..."
	@echo "make test-free-threading   the tests with threads on a Python 3.14 without global interpreter lock, built here"
	@echo "make hil            each fault of the standard suite, on the firmware as a process and on each board in QEMU; SLOW=5: slowly"
	@echo "make estop          the emergency stop: each cell of the table in docs/estop.md; as root, for it needs two users"
	@echo "make fuzz           the native decoders for long: 10 million inputs or 10 minutes each"
	@echo "make lint           the checkers alone; make format puts the sources in form"
	@echo "make tables         write the texts that come from the table of parameters (rtu_edge/learn/parameters.py)"
	@echo "make docs           the documentation as a site, in build/docs; a broken link is an error"
	@echo "make screens        the pictures of docs/screens.md; needs chromium"
	@echo "make wheels         dist/*.whl for each Python, on x86-64 and on aarch64 (Raspberry Pi, Jetson)"
	@echo "make release        a dry run: wheels twice and the source distribution, checked; uploads nothing"
	@echo "make empty          the wheels of dist/ in empty environments: sizes, import times, every command; needs an index"
	@echo "make clean          remove everything that was built or installed here"

demo:
	@tools/setup.sh run
	@$(BIN)/rtu-edge demo $(ARGS)

# ARGS: of pytest, for example ARGS="-k replay".
test:
	@tools/setup.sh test
	@tools/test.sh $(ARGS)

test-oldest:
	@tools/pythons.sh oldest $(ARGS)

test-newest:
	@tools/pythons.sh newest $(ARGS)

test-pythons:
	@tools/pythons.sh each $(ARGS)

test-free-threading:
	@tools/free_threading.sh $(ARGS)

hil:
	@tools/setup.sh test
	@$(BIN)/python tools/slow.py $(SLOW) $(BIN)/rtu-edge hil run --target process --target qemu $(BOARDS:%=--target qemu-%) --out build/hil $(ARGS)

estop:
	@tools/setup.sh test
	@$(PYTEST) -q tests/test_estop.py --all-cells $(ARGS)

lint:
	@tools/setup.sh test
	@$(PYTEST) -q tests/test_lint.py

# For example ARGS="--seconds 60 wire".
fuzz:
	@tools/setup.sh test
	@$(BIN)/python tests/fuzzing.py $(ARGS)

tables:
	@tools/setup.sh test
	@$(BIN)/python tools/tables.py $(ARGS)

# ARGS="run hil": only these.
screens:
	@tools/setup.sh test
	@$(BIN)/pip install -q "pyte>=0.8.1" "pillow>=10"
	@$(BIN)/python tools/screens.py $(ARGS)

docs:
	@tools/setup.sh test
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

format:
	@tools/setup.sh test
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@git ls-files -z '*.c' '*.h' '*.cpp' | xargs -0 $(BIN)/clang-format -i

setup:
	@tools/setup.sh test

# ARGS="--python 3.11 --arch aarch64": only this one.
wheels:
	@tools/setup.sh test
	@$(BIN)/python tools/wheels.py $(ARGS)

# docs/release.md.
release:
	@tools/setup.sh test
	@$(BIN)/pip install -q "twine>=6"
	@$(BIN)/python tools/release.py $(ARGS)

# ARGS=WHEEL: this one.
empty:
	@tools/setup.sh test
	@$(BIN)/python -u tools/empty.py $(ARGS)

clean:
	rm -rf .venv .cache build dist rtu_edge/bin .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
