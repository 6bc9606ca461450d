"""Chromium, and the pages that it looks at."""
import contextlib

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.support import wait

from harness.operator_page import TOKEN

PAGES = {"overview": "/", "events": "/events", "filtered": "/events?type=invoice.paid&outcome=processed",
         "nothing": "/events?type=none", "event": "/event?id=evt_bob_03", "parked": "/parked",
         "link": "/link?customer=cus_bob", "conflict": "/conflict?customer=cus_ada", "users": "/users",
         "search": "/users?q=user_ada", "user": "/user?id=user_ada", "credits": "/credits?user=user_ada",
         "alerts": "/alerts", "missing": "/event?id=evt_none"}


class Browser:
    """Chromium without a window."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        # --no-sandbox: Chromium's sandbox refuses root, which containers run as.
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                         "--lang=en"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options)
        self.driver.set_page_load_timeout(60)

    def look(self, width=1280, dark=False, script=True):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        return self

    def complaints(self):
        """What the console says against the page: a policy that is broken, a script that fails, a file that is missing."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@contextlib.contextmanager
def another_page(driver):
    """What is done here leads to another page, which is there afterwards: neither a click nor a key waits for that."""
    driver.execute_script("document.documentElement.dataset.before = 'yes'")
    yield
    # Between two pages there is nothing to ask.
    patience = wait.WebDriverWait(driver, 20, 0.1, ignored_exceptions=[WebDriverException])
    patience.until(lambda _: driver.execute_script(
        "return document.readyState === 'complete' && !document.documentElement.dataset.before"))


def sign_in(browser, page):
    browser.driver.get(page.url + "/sign-in")
    browser.driver.find_element("name", "token").send_keys(TOKEN)
    with another_page(browser.driver):
        browser.driver.find_element("css selector", "main button").click()
    assert browser.driver.title.startswith("Overview")
