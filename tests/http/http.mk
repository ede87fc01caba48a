# The service with a stand-in for the model, and its tests over real sockets.

FAKE_OBJ := $(call objects,tests/http/fake_model.c $(wildcard model/base/*.c) \
            $(addprefix model/data/,image.c image_write.c volume.c voxel.c gunzip.c nifti.c nifti_write.c dicom.c \
              dicom_elements.c dicom_syntax.c series.c))

# Without the commands that need the model itself.
$(BUILD)/obj/tests/http/main.o: server/main.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -DONESHOT_FAKE_MODEL -MMD -MP -c -o $@ $<

$(BUILD)/oneshot-fake: $(BUILD)/obj/tests/http/main.o $(BUILD)/libserver.a $(BUILD)/libapi.a $(FAKE_OBJ)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

HTTP_TESTS := $(patsubst tests/http/%.c,$(BUILD)/tests/http/%,$(wildcard tests/http/test_*.c))

$(BUILD)/obj/tests/http/service.o: tests/http/service.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -DFAKE_BINARY='"$(BUILD)/oneshot-fake"' -MMD -MP -c -o $@ $<

$(BUILD)/tests/http/test_%: $(BUILD)/obj/tests/http/test_%.o \
    $(call objects,tests/http/service.c tests/http/schema.c) $(BUILD)/libapi.a $(FAKE_OBJ)
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(TEST_LIBS) $(LIBS) $(shell pkg-config --libs yaml-0.1)

.PHONY: test-http
test-http: $(BUILD)/oneshot-fake $(HTTP_TESTS)
	@for t in $(HTTP_TESTS); do echo "== $$t"; $$t || exit 1; done
