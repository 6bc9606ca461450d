"""Everything can be done with the keyboard alone, and without the page's script."""
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from harness.operator_page import TOKEN
from scene import another_page, sign_in


class Keyboard:
    def __init__(self, browser):
        self.driver = browser.driver

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()
        return self

    def go(self):
        """Enter, and what it leads to."""
        with another_page(self.driver):
            self.press(Keys.ENTER)
        return self

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    def tab_to(self, name):
        """Goes on with Tab until what has the focus is called so, and shows that it has it."""
        for _ in range(200):
            self.press(Keys.TAB)
            if self.focused.accessible_name == name:
                outline = self.driver.execute_script(
                    "const style = getComputedStyle(document.activeElement);"
                    "return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2")
                assert outline, f"{name} does not show its focus"
                return self
        raise AssertionError(f"Tab never gets to {name}")

    @property
    def heading(self):
        return self.driver.find_element("tag name", "h1").text


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_signing_in_filtering_replaying_and_linking(browser, page, database, script):
    browser.look(script=script)
    browser.driver.get(page.url + "/events")
    keyboard = Keyboard(browser)
    assert keyboard.heading == "Sign in"
    keyboard.tab_to("Token").press(TOKEN).go()
    assert keyboard.heading == "Events"

    keyboard.tab_to("Skip to the content").press(Keys.ENTER)
    keyboard.tab_to("Type (invoice.* for all)").press("invoice.paid")
    keyboard.tab_to("Show").go()
    assert "type=invoice.paid" in browser.driver.current_url
    keyboard.tab_to("evt_ada_03").go()
    assert keyboard.heading == "Event evt_ada_03"
    keyboard.tab_to("Reason").press("ticket 7")
    keyboard.tab_to("Replay the event").go()
    assert browser.driver.find_element("css selector", "[role=status]").text == "The event was applied again: processed."
    assert database.value("SELECT reason FROM {s}.audit_logs WHERE action = 'event_replayed'") == "ticket 7"

    keyboard.tab_to("Parked").go()
    keyboard.tab_to("Link cus_bob").go()
    keyboard.tab_to("User id").press("user_bob")
    keyboard.tab_to("Reason").press("ticket 8")
    keyboard.tab_to("Link the customer").go()
    assert keyboard.heading == "User user_bob"
    assert database.state("user_bob")["has_access"]

    keyboard.tab_to("Sign out").go()
    assert keyboard.heading == "Sign in"
    assert not [said for said in browser.complaints() if "404" not in said]


def test_tables_scroll_by_the_keyboard_on_a_narrow_screen(browser, page):
    browser.look(360)
    sign_in(browser, page)
    browser.driver.get(page.url + "/events")
    keyboard = Keyboard(browser)
    keyboard.tab_to("The latest first")
    keyboard.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert browser.driver.execute_async_script(
        "const done = arguments[0], region = document.activeElement; let left = 100;"
        "const look = () => region.scrollLeft > 0 ? done(true) : left-- ? setTimeout(look, 20) : done(false); look();")


def test_the_script_adds_comfort(browser, page):
    sign_in(browser, page)
    browser.driver.get(page.url + "/users")
    Keyboard(browser).press("/")
    assert browser.driver.switch_to.active_element.accessible_name.startswith("User id, customer id")
    assert browser.driver.find_element("css selector", "time").get_attribute("title")


def test_a_form_that_says_no_reason_is_not_sent(browser, page, database):
    sign_in(browser, page)
    browser.driver.get(page.url + "/event?id=evt_ada_03")
    Keyboard(browser).tab_to("Replay the event").press(Keys.ENTER)
    assert Keyboard(browser).focused.accessible_name == "Reason"
    assert not database.value("SELECT count(*) FROM {s}.audit_logs WHERE action = 'event_replayed'")
