"""Every page, light and dark, wide and narrow: nothing for axe to complain about, and no page wider than the screen."""
import pytest

from scene import PAGES, sign_in

AXE = "const done = arguments[arguments.length - 1]; axe.run(document).then(done, problem => done(String(problem)));"


def violations(browser, axe):
    # By the debugger's way in, which the page's own policy does not bind.
    browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    result = browser.driver.execute_async_script(AXE)
    assert isinstance(result, dict), result
    return [(found["id"], node["html"][:200], node.get("failureSummary")) for found in result["violations"]
            for node in found["nodes"]]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_anything_that_axe_complains_about(browser, page, axe, width, dark):
    browser.look(width, dark)
    browser.driver.get(page.url + "/sign-in")
    assert not violations(browser, axe)
    sign_in(browser, page)
    for name, path in PAGES.items():
        browser.driver.get(page.url + path)
        for details in browser.driver.find_elements("css selector", "details"):
            browser.driver.execute_script("arguments[0].open = true", details)
        found = violations(browser, axe)
        assert not found, (name, found)
        wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, (name, wide)
        background = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(18, 22, 28)") == dark
    complaints = [said for said in browser.complaints() if "404" not in said]
    assert not complaints, complaints


def test_headings_landmarks_and_names_are_in_order(browser, page):
    sign_in(browser, page)
    for name, path in PAGES.items():
        browser.driver.get(page.url + path)
        levels = [int(heading.tag_name[1]) for heading in browser.driver.find_elements("css selector", "h1, h2, h3")]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:])), (name, levels)
        current = browser.driver.find_elements("css selector", "header nav [aria-current]")
        assert len(current) == 1, name
        for field in browser.driver.find_elements("css selector", "main input:not([type=hidden]), main select"):
            assert field.accessible_name, (name, field.get_attribute("outerHTML"))


def test_what_others_have_written_takes_nothing_over(browser, page):
    sign_in(browser, page)
    for path in PAGES.values():
        browser.driver.get(page.url + path)
        assert browser.driver.title.endswith("pg_billing")
        assert len(browser.driver.find_elements("tag name", "script")) == 1
