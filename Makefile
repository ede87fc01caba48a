# OneShot CT. `make help` lists what there is.
#
#   make            build/oneshot
#   make test       every quick test
#   make V=asan …   the same in a build folder of its own: asan, tsan, debug, valgrind

V       ?= release
BUILD   := $(if $(filter release,$(V)),build,build-$(V))
CC      ?= gcc
PKGS    := libmicrohttpd jansson libpng zlib libcurl
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wpointer-arith -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Wwrite-strings -Wundef -Wformat=2
OPT_release  := -O3 -fno-math-errno -fno-trapping-math
OPT_debug    := -O1 -g3
OPT_asan     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan     := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_valgrind := -O1 -g -mno-avx512f
ARCH    ?= -march=x86-64-v2
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
CFLAGS  ?= -g
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -DONESHOT_VERSION='"$(VERSION)"' -I. $(OPT_$(V)) $(ARCH) -fopenmp $(WARN) \
              $(shell pkg-config --cflags $(PKGS)) $(CFLAGS)
LIBS    := $(shell pkg-config --libs $(PKGS)) -ldnnl -lm -lpthread
TEST_LIBS := $(shell pkg-config --libs check)

MODEL_SRC  := $(wildcard model/*.c model/*/*.c)
API_SRC    := $(wildcard api/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c))
objects     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all test help clean
all: $(BUILD)/oneshot

$(BUILD)/libmodel.a: $(call objects,$(MODEL_SRC))
$(BUILD)/libapi.a: $(call objects,$(API_SRC))
$(BUILD)/libserver.a: $(call objects,$(SERVER_SRC))
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/oneshot: $(BUILD)/obj/server/main.o $(BUILD)/libserver.a $(BUILD)/libapi.a $(BUILD)/libmodel.a
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

include server/assets.mk tests/http/http.mk

# Each tests/unit/test_X.c is a program of its own.
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(BUILD)/libserver.a $(BUILD)/libapi.a $(BUILD)/libmodel.a
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(TEST_LIBS) $(LIBS)

test-unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

FIXTURES ?= ../shared/reference
$(BUILD)/tests/parity: $(call objects,tests/golden/parity.c tests/golden/parity_network.c) $(BUILD)/libmodel.a
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

parity: $(BUILD)/tests/parity
	$(BUILD)/tests/parity $(FIXTURES)

$(BUILD)/tests/bench: $(call objects,tests/bench/bench.c tests/bench/peak.c) $(BUILD)/libmodel.a
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

bench: $(BUILD)/tests/bench
	$(BUILD)/tests/bench $(BACKBONES)

test: all test-unit

clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.SECONDARY:
