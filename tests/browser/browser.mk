# The viewer in Debian's chromium, on the real service and on the one with the fake model.

BROWSER_DEPS := tests/browser/node_modules/.package-lock.json

$(BROWSER_DEPS): tests/browser/package-lock.json
	@cd tests/browser && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: test-browser
test-browser: $(BUILD)/oneshot $(BUILD)/oneshot-fake $(BROWSER_DEPS)
	@cd tests/browser && ONESHOT_BIN=$(abspath $(BUILD)/oneshot) \
	    ONESHOT_FAKE_BIN=$(abspath $(BUILD)/oneshot-fake) node --test run.mjs
