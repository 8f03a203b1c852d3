"""What the tests of the demo share."""

import pytest
from webdriver import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium with a profile of its own."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()
