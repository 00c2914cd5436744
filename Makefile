# postrider: proves whether a mail server keeps its promise.
#
#   make setup demo     install what is missing, build, run the first two flows
#   make setup check    install what is missing, build with gcc and clang, all tests
#
#   make                build postriderd and postrider into build/release/bin
#   make demo           the three-step flow, then the same with the next hop down
#   make check          lint, gcc and clang builds, unit + end-to-end tests, sanitizers, short fuzz
#   make unit           unit tests only          make lint      rules of the tree only
#   make e2e            end-to-end tests only    make format    clang-format in place
#   make asan | tsan    unit + end-to-end tests under a sanitizer
#   make fuzz           every fuzzer, SECONDS=60 each (clang)
#   make fuzz-long      RUNS=10000000 of each, at idle priority; goes on where it was stopped
#   make check-requirements   the requirement catalogue; RFC_TEXTS=DIR holds it against the RFC texts
#   make setup-targets  fetch the servers that flows can run (NAME=postfix for one), into build/targets
#   make setup-bench    install the peers that benchmarks compare with
#   make mutants        breaks the server one behaviour at a time; a conformance case must notice each
#                       (NAME="pop3-no-lock …" for some, SHARD=1/8 for a part, JOBS=3 at a time)
#   make power-cuts     CUTS=1000 simulated power cuts: nothing acknowledged may be lost
#   make hostile        10,000 hostile connections at once: memory stays bounded, honest mail gets in
#   make kills          KILLS=1000 SIGKILLs under load: the same
#   make slow-disk      rates when each sync takes 10 ms
#   make bench          rates and sizes against the peers (an hour; NAME=relay for one, see tests/bench)
#   make ci             TARGET=reference: installs, fetches, builds, judges it, and leaves results/ci
#   make install        DESTDIR= PREFIX=/usr/local
#   make deb            a Debian package in build/deb
#   make clean          rm -rf build
#
# Everything generated lives under build/<mode>/.  User flags go in
# CFLAGS/CPPFLAGS/LDFLAGS, are appended last and so win; WERROR=0 for packagers.

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/sh
export LC_ALL := C
# An empty environment is enough.
export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

VERSION := $(shell PATH='$(PATH)'; cat VERSION)
PREFIX ?= /usr/local
PKG_CONFIG ?= pkg-config
# `?=` does not override make's own defaults, and -R then removes them.
ifeq ($(filter-out default undefined,$(origin CC)),)
CC := gcc
endif
ifeq ($(filter-out default undefined,$(origin AR)),)
AR := ar
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))
MODE ?= release
BUILD ?= build
OUT := $(BUILD)/$(MODE)
SECONDS ?= 60

# ---- flags -----------------------------------------------------------------
IS_CLANG := $(shell PATH='$(PATH)'; $(CC) --version 2>/dev/null | grep -qi clang && echo y)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
	-Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wcast-qual -Wvla -Wundef -Wdate-time \
	-Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion \
	-Wredundant-decls
ifeq ($(IS_CLANG),y)
WARN += -Wcomma -Wmissing-variable-declarations -Wconditional-uninitialized \
	-Wunreachable-code -Wassign-enum -Wframe-larger-than=32768
else
WARN += -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init \
	-Wformat-overflow=2 -Wformat-truncation=1 -Wformat-signedness \
	-Wcast-align=strict -Warith-conversion -Wtrampolines -Wstack-usage=32768
endif
ifneq ($(WERROR),0)
WARN += -Werror
endif

HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
	-fno-delete-null-pointer-checks -fno-strict-overflow -fPIE
ifneq ($(IS_CLANG),y)
HARDEN += -ftrivial-auto-var-init=zero
endif
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed

OPT_release := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 $(HARDEN)
LD_release  := $(HARDEN_LD)
OPT_clang   := $(OPT_release)
LD_clang    := $(HARDEN_LD)
OPT_debug   := -Og
# A server that can be told to break one behaviour: reference-server/core/mutant.h.
OPT_mutants := -O1 $(HARDEN) -DMUTANTS
LD_mutants  := $(HARDEN_LD)
SAN_asan    := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_tsan    := -fsanitize=thread
SAN_fuzz    := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
# Many more inputs in the same time; undefined behaviour is looked for by the short runs.
SAN_fuzz-long := -fsanitize=address,fuzzer-no-link
SAN := $(SAN_$(MODE))
ifneq ($(SAN),)
OPT_$(MODE) := $(if $(filter fuzz-long,$(MODE)),-O2,-O1) -fno-omit-frame-pointer $(SAN)
LD_$(MODE)  := $(SAN)
# The sanitizers' own instrumentation makes GCC see null dereferences and large frames that are not there.
WARN += -Wno-null-dereference $(if $(IS_CLANG),,-Wno-restrict -Wno-stringop-overflow -Wno-maybe-uninitialized) $(if $(IS_CLANG),-Wno-frame-larger-than,-Wno-stack-usage)
endif

# uthash's default hash falls through a switch in a way that clang does not accept.
BASE_CFLAGS := -std=c17 -D_GNU_SOURCE -DPOSTRIDER_VERSION='"$(VERSION)"' -include base/poison.h -I. -g \
	-DHASH_FUNCTION=HASH_FNV \
	-fno-common -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)=. $(OPT_$(MODE)) $(WARN)

# One list of libraries for each program; headers are taken as system headers.
LIBS_BASE    := libevent libevent_pthreads openssl libfyaml libidn2
LIBS_SERVER  := $(LIBS_BASE) libunbound ldns libgsasl lmdb jansson
LIBS_HARNESS := $(LIBS_BASE) libevent_openssl ldns jansson zlib
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell PATH='$(PATH)'; $(PKG_CONFIG) --cflags $(LIBS_SERVER) $(LIBS_HARNESS) cmocka 2>/dev/null))
SERVER_LIBS  = $(shell PATH='$(PATH)'; $(PKG_CONFIG) --libs $(LIBS_SERVER)) -lpthread
HARNESS_LIBS = $(shell PATH='$(PATH)'; $(PKG_CONFIG) --libs $(LIBS_HARNESS)) -lpthread -lm
BASE_LIBS    = $(shell PATH='$(PATH)'; $(PKG_CONFIG) --libs $(LIBS_BASE)) -lpthread
CMOCKA_LIBS  = $(shell PATH='$(PATH)'; $(PKG_CONFIG) --libs cmocka)

ALL_CFLAGS  = $(BASE_CFLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LD_$(MODE)) $(LDFLAGS)

# ---- what is built from what -----------------------------------------------
src = $(sort $(wildcard $(addsuffix /*.c,$(1))))
obj = $(patsubst %.c,$(OUT)/%.o,$(1))

BASE_O    := $(call obj,$(call src,base))
PURE_O    := $(call obj,$(call src,reference-server/core reference-server/policy harness/wire))
SERVER_O  := $(call obj,$(filter-out %/main.c,$(call src,reference-server $(addprefix reference-server/,core policy store drive))))
HARNESS_O := $(call obj,$(filter-out %/main.c,$(call src,$(addprefix harness/,wire scenario world peer load fault judge conform cli) reports)))
PROGRAMS  := $(OUT)/bin/postriderd $(OUT)/bin/postrider

# Preloaded into servers by end-to-end tests; not into those with sanitizers, which want to be first.
PRELOADED := $(if $(SAN),,$(OUT)/tests/power/recorder.so $(OUT)/tests/power/faults.so)

TESTS   := $(patsubst %.c,$(OUT)/%,$(call src,$(addprefix tests/unit/,base server harness)))
FUZZERS := $(patsubst %.c,$(OUT)/%,$(call src,$(addprefix tests/fuzz/,base server harness)))

.PHONY: all help ci deb setup setup-targets setup-bench bench power-cuts hostile kills slow-disk mutants mutants-build demo check unit-build unit e2e lint check-requirements format asan tsan fuzz fuzz-short install clean FORCE
all: $(PROGRAMS)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

$(OUT)/libbase.a: $(BASE_O)
$(OUT)/libserver.a: $(SERVER_O)
$(OUT)/libharness.a: $(HARNESS_O)
$(OUT)/lib%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

$(OUT)/bin/postriderd: $(OUT)/reference-server/main.o $(OUT)/libserver.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS)
$(OUT)/bin/postrider: $(OUT)/harness/main.o $(OUT)/libharness.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(HARNESS_LIBS)

$(OUT)/tests/unit/base/%: $(OUT)/tests/unit/base/%.o $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BASE_LIBS) $(CMOCKA_LIBS)
$(OUT)/tests/unit/server/%: $(OUT)/tests/unit/server/%.o $(OUT)/libserver.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(CMOCKA_LIBS)
$(OUT)/tests/unit/harness/%: $(OUT)/tests/unit/harness/%.o $(OUT)/libharness.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(HARNESS_LIBS) $(CMOCKA_LIBS)

$(OUT)/tests/fuzz/base/%: $(OUT)/tests/fuzz/base/%.o $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(BASE_LIBS)
$(OUT)/tests/fuzz/server/%: $(OUT)/tests/fuzz/server/%.o $(OUT)/libserver.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(SERVER_LIBS)
$(OUT)/tests/fuzz/harness/%: $(OUT)/tests/fuzz/harness/%.o $(OUT)/libharness.a $(OUT)/libbase.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(HARNESS_LIBS)

$(OUT)/tests/power/%.so: tests/power/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared $(filter-out -pie,$(ALL_LDFLAGS)) -o $@ $< -ldl

# Objects depend on the flags: changing CFLAGS or CC rebuilds, nothing stale.
$(OUT)/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@

# ---- set-up, demo, checks --------------------------------------------------
setup:
	@sh packaging/setup.sh

# In a make of its own: what setup has just installed changes the flags above.
AFTER_SETUP := $(filter setup,$(MAKECMDGOALS))
demo: $(AFTER_SETUP)
	@$(MAKE) --no-print-directory all
	@sh packaging/demo.sh $(OUT)/bin

check: $(AFTER_SETUP)
	@BUILD='$(BUILD)' bash tests/check.sh

unit-build: $(TESTS)
unit: $(TESTS)
	@sh tests/unit.sh $(OUT) $(TESTS)

e2e: all $(PRELOADED)
	@sh tests/e2e.sh $(OUT)

setup-targets: all
	@sh packaging/setup.sh targets
	@sh packaging/setup-targets.sh $(OUT)/bin/postrider $(NAME)

setup-bench:
	@sh packaging/setup.sh build bench

# Power cuts worked out from a recording, see tests/e2e/power.py.
power-cuts: all $(PRELOADED)
	@cd tests/e2e && E2E_OUT='$(abspath $(OUT))' python3 -B power.py $(or $(CUTS),1000) $(or $(SEED),1)

kills: all
	@cd tests/e2e && E2E_OUT='$(abspath $(OUT))' python3 -B test_sigkill.py $(or $(KILLS),1000) $(or $(SEED),1)

slow-disk: all $(PRELOADED)
	@cd tests/e2e && E2E_OUT='$(abspath $(OUT))' python3 -B faults.py

# CONNECTIONS=10000; REPORT=reports/published/hostile.md keeps the figures.
hostile: all
	@cd tests/e2e && E2E_OUT='$(abspath $(OUT))' python3 -B flood.py $(or $(CONNECTIONS),10000) $(if $(REPORT),'$(abspath $(REPORT))')

# NAME="smtp-open-relay pop3-no-lock" for some of them.
mutants-build:
	@$(MAKE) --no-print-directory MODE=mutants $(BUILD)/mutants/bin/postriderd
mutants: all mutants-build
	@SHARD='$(SHARD)' JOBS='$(JOBS)' PARTS='$(PARTS)' sh tests/mutants.sh $(OUT) $(BUILD)/mutants $(NAME)

# NAME="relay pop3" for some of them; ROUNDS=5; QUICK=1 shows in minutes that it works.
bench: all
	@BENCH_OUT='$(OUT)' python3 tests/bench/bench.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(NAME)

lint: $(PURE_O)
	@sh tests/lint/all.sh '$(CC)' $(PURE_O)

check-requirements:
	@sh tests/requirements/all.sh $(if $(RFC_TEXTS),'$(RFC_TEXTS)')

format:
	@clang-format -i $$(git ls-files '*.[ch]')

asan tsan:
	@$(MAKE) MODE=$@ unit
	@$(MAKE) MODE=$@ e2e

fuzz:
	@$(MAKE) MODE=fuzz CC=clang fuzz-run
.PHONY: fuzz-run fuzz-build fuzz-long fuzz-long-run
fuzz-long:
	@$(MAKE) MODE=fuzz-long CC=clang fuzz-long-run
fuzz-long-run: $(FUZZERS)
	@python3 -B tests/fuzz/long.py $(OUT) $(or $(RUNS),10000000) $(FUZZERS)
fuzz-build: $(FUZZERS)
FUZZ_RUNS ?= 10000
fuzz-short: $(FUZZERS)
	@sh tests/fuzz.sh $(OUT) $(FUZZ_RUNS) $(FUZZERS)
fuzz-run: $(FUZZERS)
	@for f in $(FUZZERS); do n=$$(basename $$f); mkdir -p $(BUILD)/corpus/$$n tests/corpus/$$n $(OUT)/finds; \
		$$f -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1 -artifact_prefix=$(OUT)/finds/$$n- \
			$(BUILD)/corpus/$$n tests/corpus/$$n || exit 1; done

# SUITE="smtp RFC1939" for a part of the cases, ARGS="--strict" for options of postrider conform.
TARGET ?= reference
ci:
	@sh packaging/setup.sh build
	@$(MAKE) --no-print-directory all
	@sh packaging/ci.sh $(OUT)/bin '$(TARGET)' $(ARGS) $(SUITE)

# ---- installing ------------------------------------------------------------
install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/postrider' \
		'$(DESTDIR)$(PREFIX)/share/man/man1' '$(DESTDIR)$(PREFIX)/share/man/man5' '$(DESTDIR)$(PREFIX)/share/man/man8'
	install -m 755 $(OUT)/bin/postriderd $(OUT)/bin/postrider '$(DESTDIR)$(PREFIX)/bin'
	cp -R scenarios '$(DESTDIR)$(PREFIX)/share/postrider'
	install -d '$(DESTDIR)$(PREFIX)/share/postrider/reports'
	install -m 644 reports/*.css reports/*.gnuplot reports/*.json reports/README.md '$(DESTDIR)$(PREFIX)/share/postrider/reports'
	install -m 644 docs/man/*.1 '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -m 644 docs/man/*.5 '$(DESTDIR)$(PREFIX)/share/man/man5'
	install -m 644 docs/man/*.8 '$(DESTDIR)$(PREFIX)/share/man/man8'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	sed 's,@PREFIX@,$(PREFIX),g' packaging/postriderd.service >'$(DESTDIR)$(PREFIX)/lib/systemd/system/postriderd.service'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/systemd/system/postriderd.service'
	install -m 644 packaging/postriderd.socket '$(DESTDIR)$(PREFIX)/lib/systemd/system'

deb: all
	@sh packaging/deb.sh $(BUILD)

clean:
	rm -rf build compile_commands.json

-include $(shell PATH='$(PATH)'; find $(OUT) -name '*.d' 2>/dev/null)
