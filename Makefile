# Short names for what is done often. How things are built is said in CMakeLists.txt.
#
# `make PRESET=debug` builds another preset of CMakePresets.json; `make install PREFIX=/usr` another place;
# `make bench BENCH=--quick` hands flags to bench/run, `make fuzz FUZZ="--seconds 3600 csv"` to tests/fuzz/run;
# `make soak MINUTES=60` soaks for longer; `make sim SIM="--seed 7 --trace"` lives through one run of the simulator's.
# `make chaos MINUTES=60` is longer likewise.
PRESET ?= default
PREFIX ?= /usr/local
MINUTES ?= 5

.DEFAULT_GOAL := build
.PHONY: build run test check bench model sim mutations fuzz chaos soak install uninstall clean help setup

build: setup ## build the library and the command
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET)

run: setup ## build the command and see it at work
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --target databuffer_command
	@scripts/run

test: setup ## build and test plainly and under each sanitizer, and fuzz a little
	@scripts/test default asan tsan fuzz

check: setup ## build and test plainly
	@scripts/test default

bench: setup ## build for speed and run the benchmarks
	@scripts/setup bench/packages.txt || true
	@cmake --preset release >/dev/null
	@cmake --build --preset release
	@bench/run $(BENCH)

model: setup ## walk every interleaving of the hand-over, and of its broken variants
	@model/run $(MODEL)

sim: setup ## live through simulated runs, each from a seed of its own, until told to stop
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --target sim
	@build/$(PRESET)/tests/bin/sim $(SIM)

mutations: setup ## break the code on purpose, and show that the simulator finds it
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --target sim
	@ctest --preset $(PRESET) -R '^sim\.mutations$$' --verbose

fuzz: setup ## let the fuzzers look for what breaks, each for a minute
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz
	@tests/fuzz/run $(FUZZ)

chaos: setup ## kill worker processes at random while eight producers insert, for MINUTES plainly and under a sanitizer
	@tests/chaos/run $(MINUTES)

soak: setup ## a buffer under everything at once, for MINUTES plainly and under each sanitizer
	@tests/soak/run $(MINUTES)

install: setup ## build for speed and install into PREFIX
	@cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@cmake --build --preset release
	@cmake --install build/release
	@if [ "$$(id -u)" -eq 0 ] && [ -z "$$DESTDIR" ]; then ldconfig; fi

uninstall: ## remove what was installed last
	@scripts/uninstall build/release/install_manifest.txt

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:
	@scripts/setup
