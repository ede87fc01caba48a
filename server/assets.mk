# The viewer and openapi.yaml become part of the program.

ASSETS := $(wildcard static/*.html static/*.js static/*.css static/*.svg static/*.png static/*.ico \
          static/*.gz)

$(BUILD)/embed: server/embed/embed.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) -std=c11 $(WARN) -o $@ $<

$(BUILD)/gen/assets.c: $(BUILD)/embed $(ASSETS) $(wildcard openapi.yaml) server/assets.mk
	@mkdir -p $(@D)
	@echo "  EMBED $@"
	@$(BUILD)/embed $@ $(foreach f,$(ASSETS),/$(notdir $(f))=$(f)) \
	    $(foreach f,$(wildcard openapi.yaml),/$(f)=$(f))

$(BUILD)/obj/gen/assets.o: $(BUILD)/gen/assets.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libserver.a: $(BUILD)/obj/gen/assets.o
