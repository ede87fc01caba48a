# The service with a stand-in for the model, and its tests over real sockets.

FAKE_OBJ := $(call objects,tests/http/fake_model.c $(wildcard model/base/*.c) \
            model/data/image.c model/data/image_write.c)

# Without the commands that need the model itself.
$(BUILD)/obj/tests/http/main.o: server/main.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -DONESHOT_FAKE_MODEL -MMD -MP -c -o $@ $<

$(BUILD)/oneshot-fake: $(BUILD)/obj/tests/http/main.o $(BUILD)/libserver.a $(BUILD)/libapi.a $(FAKE_OBJ)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)
