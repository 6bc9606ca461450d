"""Fixtures: Debian's Chromium, axe-core, and a database that has something on every page."""
import shutil

import pytest

from harness.life import Life, flat
from harness.npm import npm_package
from harness.operator_page import OperatorPage
from scene import Browser


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """axe-core's source, as a page may run it."""
    return (npm_package(tmp_path_factory.mktemp("axe"), "axe-core") / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def chromium():
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.fail("chromium and chromedriver are missing: run scripts/install-deps")
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(chromium):
    chromium.driver.delete_all_cookies()
    chromium.complaints()
    return chromium.look()


@pytest.fixture
def page(database):
    """An operator's page with somebody who pays, somebody unknown, a conflict, credits, and hostile names."""
    database.grant_since_ever()
    ada, bob, eve = Life("ada"), Life("bob"), Life('eve"><script>document.title="taken"</script>')
    for life in (ada, bob):
        database.process(*flat([life.customer_created(), life.subscribed(), life.first_invoice()]))
    database.process(ada.checkout_completed("user_ada"), ada.checkout_completed("user_zoe"), eve.customer_created(),
                     eve.subscribed())
    database.execute("UPDATE {s}.stripe_events SET outcome = 'failed', error = 'as ordered', processed = false,"
                     " retry_count = 20 WHERE stripe_event_id = 'evt_ada_03'")
    database.execute("SELECT {s}.grant_credits('user_ada', 100, reason => 'a gift')")
    database.execute("SELECT {s}.use_credits_validated('user_ada', 3, 'a story')")
    database.execute("SELECT count(*) FROM {s}.check_billing_alerts()")
    with OperatorPage(database) as running:
        yield running
