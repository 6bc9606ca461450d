"""examples/front_end.html in Chromium: another origin than the API's, a checkout on a hosted page, and what comes after it."""
import functools
import http.server
import pathlib
import threading

import pytest

from harness.front_end import FrontEnd, token
from harness.simulated_stripe import SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET, free_port

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/front_end.html"


@pytest.fixture
def site(tmp_path):
    """Serves a directory. Its port is known before there is anything in it."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), functools.partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, tmp_path
        server.shutdown()


def test_a_user_subscribes_cancels_and_keeps(browser, database, site):
    server, directory = site
    origin = f"http://127.0.0.1:{server.server_address[1]}"
    front_end = FrontEnd(database, environment={"PG_BILLING_ORIGINS": origin})
    (directory / "index.html").write_text(EXAMPLE.read_text().replace('content="/billing"', f'content="{front_end.worker.url}/billing"'))
    stripe = SimulatedStripe(post=front_end.worker.webhook, secret=SECRET)
    front_end.worker.environment.update(stripe.environment)
    driver = browser.driver

    def shown():
        return driver.find_element("id", "state").text

    def press(label):
        [button] = [button for button in driver.find_elements("css selector", "button, a") if button.is_displayed() and button.accessible_name == label]
        button.click()

    with front_end, stripe:
        pro = stripe.price("pro")
        stripe.post(f"prices/{pro['id']}", metadata={"seen": "yes"})
        until(lambda: stripe.state()["undelivered"] == 0, "the price is known")
        database.execute("SELECT {s}.upsert_plan(jsonb_build_object('id', 'pro', 'display_name', 'Pro', 'trial_days', 14, 'prices',"
                         " jsonb_build_array(jsonb_build_object('price_id', %s, 'cycle', 'monthly'))))", (pro["id"],))
        driver.get(origin)
        until(lambda: "Pro, €29.00 monthly" in driver.find_element("id", "prices").text, "the prices are shown")
        driver.find_element("id", "token").send_keys("no token")
        press("Sign in")
        until(lambda: "sign in again" in driver.find_element("id", "problem").text, "what is wrong is said")
        driver.find_element("id", "token").clear()
        driver.find_element("id", "token").send_keys(token("ada"))
        press("Sign in")
        until(lambda: shown() == "You have no subscription.", "the state is shown")
        press("Subscribe: Pro, monthly")
        until(lambda: driver.current_url.startswith(stripe.url), "the checkout is open")
        press("Pay")
        until(lambda: driver.current_url.startswith(origin) and "session_id=cs_" in driver.current_url, "the user is back")
        until(lambda: shown() == "pro: trialing", "it is known what was bought")
        assert not driver.find_element("css selector", "#prices button").is_enabled()
        press("Cancel")
        until(lambda: "canceled, ends on" in shown(), "the cancellation is shown")
        press("Keep it")
        until(lambda: shown() == "pro: trialing", "it goes on")
        press("Cards and invoices")
        until(lambda: driver.current_url.startswith(stripe.url), "the portal is open")
    assert [line for line in browser.complaints() if "401" not in line and "favicon" not in line] == []
