# The viewer in Debian's chromium, driven through playwright-core, which npm fetches.

# Where nodejs is not Debian's it brings its own npm along, which Debian's would contradict.
DEB_BROWSER     = nodejs chromium $(shell command -v npm >/dev/null || echo npm)
BROWSER_MODULES := tests/browser/node_modules/.package-lock.json

# `make test` does without a browser where none can be had, and says so.
.PHONY: test-browser browser-deps bench-browser samples
browser-deps:
	@$(need) $(DEB_BROWSER) || echo "  no chromium: the viewer will not be tested"
	@timeout 120 $(MAKE) --no-print-directory $(BROWSER_MODULES) || echo "  no playwright-core: the viewer will not be tested"

$(BROWSER_MODULES): tests/browser/package-lock.json
	@cd tests/browser && npm ci --no-audit --no-fund --silent
	@touch $@

test-browser: $(BUILD)/oneshot $(BUILD)/oneshot-fake ## the viewer in Chromium (npm fetches its driver)
	@$(need) $(DEB_BROWSER)
	@$(MAKE) --no-print-directory $(BROWSER_MODULES)
	@cd tests/browser && node --test run.mjs

bench-browser: $(BUILD)/oneshot ## first slice after the drop of a large volume, slices per second
	@$(need) $(DEB_BROWSER)
	@$(MAKE) --no-print-directory $(BROWSER_MODULES)
	@cd tests/browser && node bench.mjs

samples: $(BUILD)/oneshot ## static/sample.png and sample.nii.gz, drawn anew by the phantom
	@node tests/browser/samples.mjs $(BUILD)/oneshot static
