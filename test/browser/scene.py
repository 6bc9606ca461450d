"""Chromium, and the pages that it looks at."""
from selenium import webdriver
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


def sign_in(browser, page):
    browser.driver.get(page.url + "/sign-in")
    browser.driver.find_element("name", "token").send_keys(TOKEN)
    browser.driver.find_element("css selector", "main button").click()
    # A click does not wait for what it leads to.
    wait.WebDriverWait(browser.driver, 20).until(lambda driver: driver.title.startswith("Overview"))
