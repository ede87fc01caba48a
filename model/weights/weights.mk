# The trained model becomes part of the program where it is there, with the hash that
# default.sha256 promises (`sha256sum -c` reads that file as well).

WEIGHTS_FILE := model/weights/default.safetensors
EMBEDDED     := $(if $(wildcard $(WEIGHTS_FILE)),$(BUILD)/obj/model/weights/embedded.o)

$(BUILD)/obj/model/weights/embedded.o: model/weights/embedded.c $(wildcard $(WEIGHTS_FILE)*) \
                                       model/weights/default.sha256 $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(ALL_CFLAGS) -DEMBEDDED_FILE='"$(WEIGHTS_FILE)"' \
	    -DEMBEDDED_SHA256='"$(firstword $(shell cat model/weights/default.sha256))"' -c -o $@ $<
