# attn: `make` builds bin/attn, `make demo` runs the main job, `make test` the tests, `make debug` both under sanitizers.
# CONTRIBUTING.md says what else there is.

CC ?= gcc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BUILD ?= build
BIN ?= bin
ARGS ?=

WARN = -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wpointer-arith -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral -Wno-missing-field-initializers
HARDEN = -fstack-protector-strong -D_FORTIFY_SOURCE=2
# Where the linker happens to put a short loop must not decide its time: a fifth of softmax over rows of 16
ALIGN = -falign-functions=64 -falign-loops=32
# Kernels: no errno and no traps, so that loops become vectors; never -ffast-math, masked scores are -inf
KERNEL_O = -O3
KERNEL = $(KERNEL_O) -fno-math-errno -fno-trapping-math -ffp-contract=fast
BASE = -std=gnu17 -I. $(WARN) -MMD -MP -fPIE -pthread

PACKAGES = lua5.4 jansson zlib libpng libedit libutf8proc
DEBIAN = gcc make pkg-config liblua5.4-dev libopenblas-serial-dev libjansson-dev zlib1g-dev libpng-dev libedit-dev libutf8proc-dev
PKG_FLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIB_DIR := $(shell pkg-config --variable=libdir lua5.4 2>/dev/null)
# the Lua of the system as a static archive: no symbol look-ups at start, and modules written in C still find it (-Wl,-E)
LUA_LIB := $(LIB_DIR)/liblua5.4.a
# OpenBLAS without threads and inside the executable, whichever flavour the system's links point at: the others start theirs
# before main, where a process that may not have them spins or dies. Where flavours are not kept apart (not Debian): the one there is.
BLAS_DIR := $(LIB_DIR)/openblas-serial
BLAS_FLAGS := $(shell PKG_CONFIG_PATH=$(BLAS_DIR)/pkgconfig:$$PKG_CONFIG_PATH pkg-config --cflags openblas 2>/dev/null)
BLAS_LIB := $(or $(wildcard $(BLAS_DIR)/libopenblas.a),$(shell pkg-config --libs openblas 2>/dev/null))
BLAS_LINK = -Wl,--exclude-libs,libopenblas.a -Wl,--wrap=blas_memory_alloc -Wl,--wrap=blas_memory_free
PKG_LIBS := $(shell pkg-config --libs jansson zlib libpng libedit libutf8proc 2>/dev/null)
LIBS = $(LUA_LIB) $(BLAS_LINK) $(BLAS_LIB) $(PKG_LIBS) -lm -ldl -pthread

ifdef NATIVE
CFLAGS += -march=native
endif

# ---- files ----

PLAIN = $(filter-out $(MOVED_FILES),$(wildcard attn/*.c attn/core/*.c attn/build/*.c attn/layer/*.c attn/attention/*.c attn/attention/*/*.c \
	attn/encoder/*.c attn/decoder/*.c attn/optim/optim.c attn/io/*.c)) $(MOVED_FILES) $(wildcard vm/*.c)
# operations that move elements of any type are compiled once; those that ids need also for int64
MOVED_FILES = $(patsubst %,attn/op/%.c,view cat where gather cast tri one_hot logical slices nonzero masked)
NUMERIC_FILES = $(patsubst %,attn/op/%.c,binary compare reduce cumulative sort)
TYPED = $(filter-out $(MOVED_FILES) attn/optim/optim.c,$(wildcard attn/row/*.c attn/op/*.c attn/optim/*.c)) $(filter attn/core/gemm.c attn/core/kept.c attn/core/kernels.c attn/core/speed.c,$(wildcard attn/core/*.c))
# chains and trees count in double whatever the tensors hold
DOUBLE = $(wildcard attn/structured/*.c)
KERNELS = $(wildcard attn/kernel/*.c)

ifeq ($(shell uname -m),x86_64)
LEVELS = base avx2 avx512
else
LEVELS = base
endif
FLAGS_base =
FLAGS_avx2 = -mavx2 -mfma
FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512

PLAIN_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(TYPED),$(PLAIN)))
OBJECTS = $(PLAIN_OBJECTS) \
	$(foreach t,32 64,$(patsubst %.c,$(BUILD)/%.$(t).o,$(TYPED))) \
	$(patsubst %.c,$(BUILD)/%.1.o,$(wildcard $(NUMERIC_FILES))) $(patsubst %.c,$(BUILD)/%.64.o,$(DOUBLE)) \
	$(foreach t,32 64,$(foreach l,$(LEVELS),$(patsubst %.c,$(BUILD)/%.$(t).$(l).o,$(KERNELS)))) \
	$(BUILD)/stdlib_data.o
ENGINE = $(filter $(BUILD)/attn/%,$(OBJECTS))
CTESTS = $(patsubst tests/c/%.c,$(BUILD)/tests/%,$(wildcard tests/c/*_test.c))

.PHONY: all dev test debug demo bench mutants install dist dist-test check-layers format format-check deps clean
all: $(BIN)/attn $(BUILD)/meta/attn.lua

ifeq ($(and $(PKG_LIBS),$(BLAS_LIB)),)
ifneq ($(filter-out deps clean check-layers format format-check demo dev test debug dist dist-test,$(or $(MAKECMDGOALS),all)),)
$(error some of the packages $(PACKAGES) openblas are missing: `make deps` installs them on Debian and Ubuntu)
endif
endif

$(BIN)/attn: $(OBJECTS)
	@mkdir -p $(@D)
	@echo "link $@"; $(CC) $(CFLAGS) $(LDFLAGS) -pie -Wl,-E -Wl,-z,relro,-z,now -o $@ $(OBJECTS) $(LIBS)

COMPILE = @mkdir -p $(@D); echo "cc $@"; $(CC) $(BASE) $(CFLAGS) $(HARDEN) $(BLAS_FLAGS) $(PKG_FLAGS)

$(PLAIN_OBJECTS): $(BUILD)/%.o: %.c
	$(COMPILE) -c $< -o $@

$(foreach t,32 64 1,$(BUILD)/%.$(t).o): KERNEL_FLAGS =
define typed_rules
$(BUILD)/%.$(1).o: %.c
	$$(COMPILE) $(ALIGN) -fno-math-errno -DAT_TYPE=$(1) -c $$< -o $$@
endef
$(foreach t,32 64 1,$(eval $(call typed_rules,$(t))))
define kernel_rules
$(BUILD)/attn/kernel/%.$(1).$(2).o: attn/kernel/%.c
	$$(COMPILE) $(ALIGN) $(KERNEL) $(FLAGS_$(2)) -DAT_TYPE=$(1) -DAT_LEVEL=$(2) -c $$< -o $$@
endef
$(foreach t,32 64,$(foreach l,$(LEVELS),$(eval $(call kernel_rules,$(t),$(l)))))

# ---- the standard library, as text inside the executable ----

$(BUILD)/embed: vm/embed/embed.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) -o $@ $<
# the licences of what is inside, from where Debian's packages put them
LICENSED = liblua5.4-dev libopenblas-serial-dev libjansson-dev zlib1g-dev libpng-dev libedit-dev libutf8proc-dev \
	libbsd-dev libmd-dev libncurses-dev
LICENSES = attn=LICENSE $(foreach p,$(LICENSED),$(p:%-dev=%)=/usr/share/doc/$(p)/copyright)
$(BUILD)/stdlib_data.c: $(BUILD)/embed $(wildcard stdlib/*.lua) LICENSE
	@$(BUILD)/embed $(wildcard stdlib/*.lua) -- $(LICENSES) > $@
$(BUILD)/stdlib_data.o: $(BUILD)/stdlib_data.c
	$(COMPILE) -c $< -o $@

# ---- for editors ----

# what .luarc.json names: the library as the Lua language server reads it
$(BUILD)/meta/attn.lua: $(BIN)/attn
	@mkdir -p $(@D)
	@$(BIN)/attn help --stubs > $@.new && mv $@.new $@

# what clangd and clang-tidy look for: the commands that make would run, one for each object
compile_commands.json: Makefile $(PLAIN) $(TYPED) $(DOUBLE) $(KERNELS)
	@{ echo '['; $(MAKE) -nB --no-print-directory CC=$(lastword $(CC)) ENGINE= LIBS= $(CTESTS) \
	    $(filter-out $(BUILD)/stdlib_data.o,$(OBJECTS)) \
	  | sed -n 's|^.*"; \(.* \([^ ]*\.c\)\( .*\)\{0,1\}\)$$|{"directory": "$(CURDIR)", "file": "\2", "command": "\1"},|p' \
	  | sed '$$s/,$$//'; echo ']'; } > $@.new && mv $@.new $@

# ---- what to run ----

$(BUILD)/tests/%: tests/c/%.c $(wildcard tests/c/*.h) $(ENGINE)
	@mkdir -p $(@D)
	@echo "cc $@"; $(CC) $(BASE) $(CFLAGS) $(LDFLAGS) $(BLAS_FLAGS) $(PKG_FLAGS) -o $@ $< $(ENGINE) $(LIBS)

# Two commands work on a fresh machine: these two see to the packages first, and build with every core.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))
demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) $(BIN)/attn
	@$(BIN)/attn scripts/translation/dates.lua --seeds 1 --jobs 1 --again --show

# make test ARGS="tests/op/softmax_test.lua tests/c/gemm_f32_test.c": these and nothing else
test:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) run-tests

.PHONY: run-tests
RUN_C = $(if $(wildcard $(ARGS)),$(patsubst tests/c/%.c,$(BUILD)/tests/%,$(filter tests/c/%.c,$(ARGS))),$(CTESTS))
run-tests: $(BIN)/attn $(RUN_C)
	@BIN=$(BIN) CTESTS="$(RUN_C)" sh tests/run.sh $(ARGS)

# Every line can be stepped through: gdb -x tests/gdb/attn.py --args bin/dev/attn script.lua
dev:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) BUILD=build/dev BIN=bin/dev HARDEN= KERNEL_O=-Og CFLAGS="-Og -g3" bin/dev/attn

# Program and tests with AddressSanitizer and UndefinedBehaviorSanitizer; the pool hands every block to malloc, so that they see it.
# The kernels' unrolled loops would take minutes to compile with every check at -O3.
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
debug:
	@$(MAKE) --no-print-directory deps
	@ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 $(MAKE) --no-print-directory $(JOBS) BUILD=build/debug BIN=bin/debug \
	  HARDEN= KERNEL_O=-O1 CFLAGS="-O1 -g -DAT_NO_POOL $(SANITIZE)" LDFLAGS="$(SANITIZE)" run-tests ARGS="$(ARGS)"

bench: $(BIN)/attn $(BUILD)/tests/bench_gemm
	@ATTN_BENCH_GEMM=$(BUILD)/tests/bench_gemm $(BIN)/attn tests/bench/bench.lua $(ARGS)
$(BUILD)/tests/bench_gemm: tests/bench/gemm.c $(ENGINE)
	@mkdir -p $(@D)
	@echo "cc $@"; $(CC) $(BASE) $(CFLAGS) $(LDFLAGS) $(BLAS_FLAGS) $(PKG_FLAGS) -o $@ $< $(ENGINE) $(LIBS)

# Changes to copies of the sources, each of which a test must notice; ARGS: parts of names.
mutants: $(BIN)/attn $(CTESTS)
	@MAKE="$(MAKE) --no-print-directory $(JOBS)" $(BIN)/attn tests/mutants/mutants.lua $(ARGS)

# Who may include whom: a folder on the left includes nothing but what stands on its right.
check-layers:
	@sh tests/layers.sh

# The C sources as .clang-format says: written so, or what is not.
format:
	@FIX=1 sh tests/format.sh
format-check:
	@sh tests/format.sh

install: $(BIN)/attn
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/attn $(DESTDIR)$(PREFIX)/bin/attn

# One folder, tarball and Debian package of what can be copied elsewhere: build/dist. And a test of it.
STATIC = -l:libjansson.a -l:libpng16.a -l:libz.a -l:libedit.a -l:libbsd.a -l:libmd.a -l:libtinfo.a -l:libutf8proc.a
HAND_OVER = CC="$(CC)" LUA_LIB="$(LUA_LIB)" LUA_CFLAGS="$(PKG_FLAGS)" BLAS_LINK="$(BLAS_LINK)" BLAS_LIB="$(BLAS_LIB)" STATIC="$(STATIC)" \
	SHARED="$(filter-out -ledit,$(PKG_LIBS))"
dist:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) BUILD=build/pic BIN=build/pic/bin CFLAGS="-O2 -g -fPIC" build/pic/bin/attn
	@$(HAND_OVER) sh tests/handover/make.sh build/pic build/dist
dist-test: dist
	@$(HAND_OVER) sh tests/handover/run.sh build/dist

deps:
	@sh tests/deps.sh $(DEBIAN)

clean:
	rm -rf $(BUILD) $(BIN) compile_commands.json

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
