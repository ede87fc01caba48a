# OneShot CT. `make help` lists what there is, CONTRIBUTING.md walks through it.
#
# V=asan, tsan, valgrind, debug or fuzz builds and runs the same in a folder of its own.

V       ?= release
BUILD   := $(if $(filter release,$(V)),build,build-$(V))
PREFIX  ?= /usr/local
VERSION := $(shell cat VERSION)
JOBS    ?= $(shell nproc)
ifeq ($(origin CC),default)
CC      := $(if $(filter fuzz,$(V)),clang,gcc)
endif

# ---- flags ----

# Any x86-64 processor since about 2009. Kernels that gain from newer ones are compiled for several
# levels, and oneDNN generates its code at run time.
ARCH    ?= -march=x86-64-v2
CFLAGS  ?= -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wpointer-arith -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Wwrite-strings -Wundef -Wformat=2
SANITIZE     := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined
OPT_release  := -O3 -fno-math-errno -fno-trapping-math
OPT_debug    := -O1 -g3
OPT_asan     := $(SANITIZE) -fsanitize=address,undefined
OPT_tsan     := $(SANITIZE) -fsanitize=thread
OPT_valgrind := -O1 -g -mno-avx512f
OPT_fuzz     := $(SANITIZE) -fsanitize=fuzzer-no-link,address,undefined

# pkg-config is asked once, when the first compiler runs: what it knows may have been installed by
# then.
once       = $(eval $(1) := $(2))$(2)
checked    = $(if $(filter missing,$(1)),$(error packages are missing: `make deps` installs them),$(1))
pkg        = $(call checked,$(shell pkg-config $(1) 2>/dev/null || echo missing))
PKGS      := libmicrohttpd gnutls jansson libpng zlib libcurl
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(call pkg,--cflags $(PKGS)))
LIBS       = $(call once,LIBS,$(call pkg,--libs $(PKGS)) -ldnnl -lm -lpthread)
TEST_LIBS  = $(call once,TEST_LIBS,$(call pkg,--libs check))
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DONESHOT_VERSION='"$(VERSION)"' -I. $(OPT_$(V)) $(ARCH) \
             -fopenmp $(WARN) $(PKG_CFLAGS) $(CFLAGS)

# ---- Debian packages ----

need         := sh tests/tools/packages
DEB_BUILD    := gcc libc6-dev pkgconf libdnnl-dev libmicrohttpd-dev libgnutls28-dev libjansson-dev \
                libpng-dev zlib1g-dev libcurl4-openssl-dev
DEB_TEST     := check libyaml-dev curl python3 nodejs
DEB_FUZZ     := clang libclang-rt-14-dev libomp-dev
DEB_VALGRIND := valgrind libc6-dbg
DEB_DEPLOY   := buildah mmdebstrap haproxy nginx-light curl python3
DEB_FORMAT   := clang-format
DEB_TIDY     := clang-tidy libomp-dev

# ---- the program ----

MODEL_SRC  := $(filter-out model/weights/%,$(wildcard model/*.c model/*/*.c))
API_SRC    := $(wildcard api/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c))
objects     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
parallel    = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: all deps demo model test test-programs test-unit test-http test-overfit test-deploy \
        parity bench bench-stream fuzz fuzz-run soak soak-long asan tsan valgrind format tidy lint readme install clean help FORCE

all: $(BUILD)/oneshot ## build/oneshot, the one program (the default)

$(BUILD)/libmodel.a: $(call objects,$(MODEL_SRC))
$(BUILD)/libapi.a: $(call objects,$(API_SRC))
$(BUILD)/libserver.a: $(call objects,$(SERVER_SRC))
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

# Other flags or another version: compile again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(ALL_CFLAGS))' >$@.now
	@cmp -s $@.now $@ || cp $@.now $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define link
@mkdir -p $(@D)
@echo "  LD $@"
@$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o %.a,$^) $(1) $(LIBS)
endef

include model/weights/weights.mk

$(BUILD)/oneshot: $(BUILD)/obj/server/main.o $(EMBEDDED) $(BUILD)/libserver.a $(BUILD)/libapi.a $(BUILD)/libmodel.a
	$(call link)

include server/assets.mk tests/http/http.mk tests/browser/browser.mk

deps: ## install the Debian packages that building and testing need (at once where they are there)
	@$(need) $(DEB_BUILD) $(DEB_TEST)

install: all ## install the program below PREFIX (/usr/local), staged in DESTDIR
	install -D -m 755 $(BUILD)/oneshot $(DESTDIR)$(PREFIX)/bin/oneshot

# ---- demo ----

$(BUILD)/findings: $(call objects,tests/demo/findings.c)
	$(call link)

demo: deps ## build, start the service, send it a slice, show what it found
	@$(parallel) $(BUILD)/oneshot $(BUILD)/findings
	@sh tests/demo/demo $(BUILD)

# ---- tests ----

# Each tests/unit/test_X.c is a program of its own (as each tests/http/test_X.c, see http.mk), each
# tests/fuzz/fuzz_X.c replays tests/fuzz/corpus/X.
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY  := $(TARGETS:%=$(BUILD)/tests/replay_%)
OWN     := $(BUILD)/libserver.a $(BUILD)/libapi.a $(BUILD)/libmodel.a
# Records of the reference, where somebody keeps them; those that come along are always compared.
FIXTURES ?= $(or $(wildcard ../shared/reference),tests/golden)
RECORDS  := $(sort $(dir $(wildcard $(foreach kind,infer train,$(addsuffix /$(kind)_*.safetensors, \
                                                                     tests/golden $(FIXTURES))))))

$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(OWN)
	$(call link,$(TEST_LIBS))

$(BUILD)/tests/replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/replay.o $(OWN)
	$(call link)

$(BUILD)/tests/parity: $(call objects,$(wildcard tests/golden/parity*.c)) $(BUILD)/libmodel.a
	$(call link)

$(BUILD)/tests/bench: $(call objects,$(wildcard tests/bench/*.c)) $(BUILD)/libapi.a $(BUILD)/libmodel.a
	$(call link)

# Processes and their figures as in tests/soak.
$(BUILD)/tests/stream: $(call objects,tests/stream/stream.c tests/soak/subject.c tests/soak/small.c) \
                       $(EMBEDDED) $(BUILD)/libmodel.a
	$(call link)

$(BUILD)/tests/soak: $(call objects,$(wildcard tests/soak/*.c)) $(BUILD)/libmodel.a
	$(call link)

# As the program does for itself (model/base/threads.h): tests run beside other programs, too.
export GOMP_SPINCOUNT   ?= 5000
export ONESHOT_REFERENCE ?= $(abspath $(FIXTURES))
export ONESHOT_BIN      := $(abspath $(BUILD)/oneshot)
export ONESHOT_FAKE_BIN := $(abspath $(BUILD)/oneshot-fake)

CORPORA := $(foreach t,$(TARGETS),'$(BUILD)/tests/replay_$t tests/fuzz/corpus/$t')
TESTS   := $(UNIT) $(HTTP_TESTS) $(CORPORA) \
           $(foreach r,$(RECORDS),'$(BUILD)/tests/parity $r') 'sh tests/demo/examples $(BUILD)' \
           $(if $(EMBEDDED),'sh tests/demo/weights $(BUILD)') 'sh tests/demo/demo $(BUILD)' \
           'sh tests/browser/short' 'sh tests/lint/lint $(BUILD)/oneshot'
# TSan does not see libgomp's barriers, so it gets the service with the stand-in model.
TESTS_tsan := $(HTTP_TESTS) $(BUILD)/tests/test_queue $(BUILD)/tests/test_log
# Valgrind knows no AVX-512, and runs one thread at a time.
TESTS_valgrind := $(UNIT) $(CORPORA)
RUN_asan     := env CK_TIMEOUT_MULTIPLIER=10
RUN_tsan     := env CK_TIMEOUT_MULTIPLIER=10
RUN_valgrind := env CK_TIMEOUT_MULTIPLIER=50 CK_FORK=no OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=AVX2 \
                valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
run = RUN='$(strip $(RUN_$(V)))' sh tests/tools/run

test: deps browser-deps ## every quick test: unit, golden, HTTP, parity, fuzz corpora, examples, viewer, lint
	@$(parallel) test-programs
	@$(run) $(or $(TESTS_$(V)),$(TESTS))

test-programs: $(BUILD)/oneshot $(BUILD)/oneshot-fake $(BUILD)/findings $(UNIT) $(HTTP_TESTS) $(REPLAY) \
               $(BUILD)/tests/parity

test-unit: $(UNIT) ## the unit and golden tests alone
	@$(run) $(UNIT)

test-http: ## the service alone, over real sockets

model: $(BUILD)/oneshot ## train the model that comes along anew: DATA=DIR, see model/weights/README.md
	@sh model/weights/train $(BUILD)/oneshot '$(or $(DATA),$(error DATA=DIR says where the slices are))' $(BUILD)/model

test-overfit: $(BUILD)/oneshot ## eight phantoms trained on until they are known by heart; minutes
	@sh tests/overfit/overfit $(BUILD)

test-deploy: deps ## docker/ as root: the image behind HAProxy and nginx, services killed and shut down
	@$(need) $(DEB_DEPLOY)
	@$(parallel) $(BUILD)/oneshot
	@bash tests/deploy/deploy $(BUILD)

parity: $(BUILD)/tests/parity ## compare with recorded outputs of the reference: FIXTURES=DIR, or those in tests/golden
	$(BUILD)/tests/parity $(FIXTURES)

bench-stream: $(BUILD)/oneshot $(BUILD)/tests/stream ## a volume of 300 slices through the service: first result, overhead, memory
	$(BUILD)/tests/stream $(BUILD)/oneshot

bench: $(BUILD)/tests/bench ## time of a slice, its stages, a training iteration; BACKBONES="resnet18 resnet50"
	$(BUILD)/tests/bench $(BACKBONES)

# With V the service is built so, the clients are not. The stand-in where the real model would be too
# slow, or libgomp is in the way.
SOAK_SECONDS  ?= 60
SOAK_CLIENTS  ?= 64
SOAK_REQUESTS ?= 500
SOAK_BACKBONE ?= default
SOAKED        ?= $(BUILD)/oneshot$(if $(filter tsan valgrind,$(V)),-fake)
soak: deps ## attack the service, SOAK_SECONDS (60) by SOAK_CLIENTS (64); SOAK_BACKBONE="default resnet50"
	@$(parallel) V=release build/tests/soak
	@$(parallel) $(SOAKED)
	@for b in $(SOAK_BACKBONE); do \
	    FAKE_PREDICT_MS=20 build/tests/soak --seconds $(SOAK_SECONDS) --clients $(SOAK_CLIENTS) \
	        --requests $(SOAK_REQUESTS) \
	        $(if $(filter-out release,$(V)),--unbounded --idle 20 --patience 600) $$([ $$b = default ] || echo --backbone $$b) \
	        -- $(RUN_$(V)) $(SOAKED) || exit 1; \
	done

soak-long: ## the same for five minutes with 200 connections (SOAK_LONG seconds)
	@$(MAKE) --no-print-directory soak SOAK_SECONDS=$(or $(SOAK_LONG),300) SOAK_CLIENTS=200

asan tsan valgrind: ## tests under AddressSanitizer + UBSan (all), ThreadSanitizer (service), valgrind (units)
	@$(if $(filter valgrind,$@),$(need) $(DEB_VALGRIND))
	@$(MAKE) --no-print-directory V=$@ test

FUZZ_SECONDS ?= 60
$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(OWN)
	$(call link,-fsanitize=fuzzer)

fuzz: ## search for faults, FUZZ_SECONDS (60) per parser; FUZZ="png multipart" for some of them
	@$(need) $(DEB_BUILD) $(DEB_FUZZ)
	@$(MAKE) --no-print-directory V=fuzz fuzz-run

FUZZ ?= $(TARGETS)
fuzz-run:
	@$(parallel) $(FUZZ:%=$(BUILD)/fuzz_%)
	@for t in $(FUZZ); do \
	    mkdir -p $(BUILD)/found/$$t; echo "== fuzz $$t"; \
	    $(BUILD)/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -rss_limit_mb=4096 \
	        -artifact_prefix=$(BUILD)/found/$$t- $(BUILD)/found/$$t tests/fuzz/corpus/$$t || exit 1; \
	done

# ---- care ----

# Written by hand; the other headers in tests/golden are made by the scripts there.
C_FILES = $(shell find api model server tests -name node_modules -prune -o -name '*.[ch]' -print | \
            grep -v '^tests/golden/[a-oq-z].*h$$')

format: ## lay out all C files as .clang-format says
	@$(need) $(DEB_FORMAT)
	@clang-format -i $(C_FILES)

tidy: ## static analysis as .clang-tidy says
	@$(need) $(DEB_BUILD) $(DEB_TIDY)
	@printf '%s\n' $(filter-out tests/%,$(filter %.c,$(C_FILES))) | xargs -P $(JOBS) -I{} \
	    clang-tidy --quiet {} -- $(filter-out -march=%,$(ALL_CFLAGS)) \
	    -include tests/lint/analyzer.h 2>/dev/null

lint: $(BUILD)/oneshot ## who may include what, banned functions, layout, the README's tables
	@sh tests/lint/lint $(BUILD)/oneshot

readme: $(BUILD)/oneshot ## put the program's own tables into the README
	@sh tests/tools/readme $(BUILD)/oneshot README.md >$(BUILD)/README.md && cp $(BUILD)/README.md README.md

clean: ## remove everything that was built
	rm -rf build build-*

help: ## this list
	@echo "make TARGET... [V=asan|tsan|valgrind|debug]"
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / {printf "  %-22s %s\n", $$1, $$2}' Makefile tests/browser/browser.mk

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
