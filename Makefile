# The user's face.  Every target does its own set-up: tools/deps.sh gets what is missing, CMake and Ninja build.
BUILD    := build
PRESET   := release
JOBS     := $(shell nproc 2>/dev/null || echo 2)
PREFIX   ?= /usr/local
DESTDIR  ?=
NATIVE   := $(if $(filter 1,$(PORTABLE)),OFF,ON)
DEPS     := RUNG_PORTABLE=$(PORTABLE) tools/deps.sh
CMAKE    := cmake --log-level=WARNING --preset
CCACHE   := $(if $(shell command -v ccache),-DCMAKE_C_COMPILER_LAUNCHER=ccache)
# $(call configure,PRESET,OPTIONS): the prefix is asked for after tools/deps.sh has run
configure = $(CMAKE) $(1) -DRUNG_NATIVE=$(NATIVE) $(CCACHE) -DRUNG_DEPS_DIR="$$($(DEPS) --print-dir)" $(2)
RUNG     := $(BUILD)/bin/rung
export JOBS
.DEFAULT_GOAL := help
.PHONY: help rung demo check bench install clean test-san test-long fmt lint

help:  ## this list
	@echo 'rung: process supervision for language-model reasoning'
	@echo
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  QUICK=1 small demo or bench   B=name one benchmark   OUT=raw.csv   PORTABLE=1 any machine with AVX2   JOBS=n   PREFIX=dir'

rung:  ## build build/bin/rung
	@$(DEPS)
	@$(call configure,$(PRESET),$(if $(wildcard $(BUILD)/CMakeCache.txt),,-DRUNG_TESTS=OFF))
	@cmake --build $(BUILD) -j $(JOBS) --target rung

demo: rung  ## problems, labels, a reward model and search on a tiny world; ends with a report (about 3 minutes)
	$(RUNG) run recipes/demo.yaml $(if $(QUICK),--quick)

check:  ## build and run all tests
	@$(DEPS) --test
	@$(call configure,$(PRESET),-DRUNG_TESTS=ON)
	@cmake --build $(BUILD) -j $(JOBS)
	cd $(BUILD) && ctest --output-on-failure -LE long -j $(JOBS)

bench: rung  ## speed against peers, side by side (B=name: one of benchmarks/; QUICK=1: small sizes)
	@$(DEPS) --bench
	@RUNG_DEPS_DIR="$$($(DEPS) --print-dir)" benchmarks/all.sh $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT)) $(B)

install: rung  ## install the command, librung.a, headers, rung.pc, man page, completion (PREFIX, DESTDIR)
	@cmake --build $(BUILD) -j $(JOBS) --target librung rung_manual
	DESTDIR="$(DESTDIR)" cmake --install $(BUILD) --prefix "$(PREFIX)"

test-san:  ## the tests under ASan + UBSan, the threaded ones under TSan, one CLI flow under valgrind
	@$(DEPS) --test
	@$(call configure,asan)
	@cmake --build build-asan -j $(JOBS)
	cd build-asan && ctest --output-on-failure -LE 'long|browser' -j $(JOBS)
	@$(call configure,tsan)
	@cmake --build build-tsan -j $(JOBS)
	cd build-tsan && ctest --output-on-failure -L threads
	@$(call configure,valgrind,-DRUNG_TESTS=OFF -DRUNG_NATIVE=OFF)
	@cmake --build build-valgrind -j $(JOBS) --target rung
	tools/valgrind_flow.sh build-valgrind/bin/rung

test-long: check  ## also what takes minutes: llama-server, nightly sizes
	@$(DEPS) --llama-server
	cd $(BUILD) && ctest --output-on-failure -L 'long|remote'

lint:  ## include direction, sizes, headers alone, words
	@tools/check_layers.sh && tools/check_size.sh && tools/check_headers.sh && tools/check_words.sh

fmt:  ## lay out the C sources by .clang-format
	find include src tests -name '*.[ch]' -print0 | xargs -0 clang-format -i

clean:  ## delete build output (not the dependencies: tools/deps.sh --print-dir says where they are)
	rm -rf $(BUILD) build-asan build-tsan build-debug build-coverage build-clang build-valgrind
