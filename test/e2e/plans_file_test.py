"""`pg_billing plans`: Stripe and the database become what a plans file says, and say before what will change."""
import json
import os
import subprocess

import pytest

from harness.simulated_stripe import SimulatedStripe
from harness.worker import binary

PLANS = {
    "environments": {"staging": {"mode": "test"}, "production": {"mode": "live", "after": "staging"}},
    "plans": [
        {"id": "free", "default": True, "features": {"messages": {"limit": 50, "window": "month"}}},
        {"id": "team", "display_name": "Team", "rank": 10, "features": {"messages": {"unlimited": True, "window": "month"}},
         "product": {"description": "For several", "metadata": {"tier": "2"}},
         "prices": [{"lookup_key": "team_monthly", "cycle": "monthly", "unit_amount": {"$environment": {"staging": 100, "production": 4900}}, "currency": "eur"},
                    {"lookup_key": "team_yearly", "cycle": "yearly", "unit_amount": 49000, "currency": "eur", "metadata": {"credits": "12"}},
                    {"price_id": "price_of_old"}]}],
    "portal": {"features": {"invoice_history": {"enabled": True}, "subscription_cancel": {"enabled": True, "mode": "at_period_end"}}},
}


class Shop:
    def __init__(self, stripe, database, folder):
        self.stripe, self.database = stripe, database
        self.file = folder / "plans.json"
        self.admin = database.create_role("billing_admin", "admin")
        self.write(PLANS)

    def write(self, plans):
        self.plans = plans
        self.file.write_text(json.dumps(plans))

    def run(self, *arguments, file=True, text="", **environment):
        return subprocess.run(
            [binary(), "plans", arguments[0], *([str(self.file)] if file else []), *arguments[1:]], capture_output=True, text=True, timeout=60, input=text,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql:///nowhere", "PG_BILLING_OPERATOR_DATABASE_URL": self.database.url(self.admin),
                 **self.stripe.environment, **environment})

    def prices(self, **bounds):
        return {price["lookup_key"]: price for price in self.stripe.everything("prices", active=True, **bounds)}


@pytest.fixture
def shop(database, tmp_path):
    with SimulatedStripe() as stripe:
        yield Shop(stripe, database, tmp_path)


def test_a_catalogue_is_shown_applied_and_then_there_is_nothing_to_do(shop):
    told = shop.run("plan")
    assert told.returncode == 3, told.stderr
    for line in ("staging (test mode)", "+ plan team in the database", '+ product pg_billing_team "Team" at Stripe', "+ price team_monthly 100 eur a month at Stripe",
                 "+ portal configuration at Stripe", "6 changes"):
        assert line in told.stdout, told.stdout
    assert "team_monthly" not in shop.prices() and shop.database.value("SELECT count(*) FROM {s}.subscription_plans") == 0
    done = shop.run("apply")
    assert done.returncode == 0 and done.stdout == told.stdout + "done\n", done.stderr
    price = shop.prices()["team_monthly"]
    assert (price["unit_amount"], price["recurring"]["interval"], price["product"]) == (100, "month", "pg_billing_team")
    assert shop.stripe.get("products/pg_billing_team")["metadata"] == {"pg_billing_plan": "team", "tier": "2"}
    # Sold at once: the mirror has the price without its webhook.
    assert shop.database.value("SELECT {s}.plan_price('team', 'monthly')") == price["id"]
    again = shop.run("plan")
    assert again.returncode == 0 and "nothing to change" in again.stdout, again.stdout
    assert shop.run("apply").returncode == 0


def test_a_price_that_is_replaced_stays_for_whoever_has_it(shop):
    assert shop.run("apply").returncode == 0
    old = shop.prices()["team_monthly"]["id"]
    plans = json.loads(json.dumps(PLANS).replace('"staging": 100', '"staging": 200'))
    plans["plans"][0]["features"]["messages"]["limit"] = 60
    shop.write(plans)
    told = shop.run("plan")
    for line in ("~ price team_monthly: 100 eur a month -> 200 eur a month", f"{old} stays for whoever has it", "features.messages.limit: 50 -> 60"):
        assert line in told.stdout, told.stdout
    assert shop.run("apply").returncode == 0
    new = shop.prices()["team_monthly"]
    assert new["unit_amount"] == 200 and new["id"] != old
    assert shop.stripe.get(f"prices/{old}")["active"] is False
    assert shop.database.rows("SELECT plan_id, cycle FROM {s}.plan_prices WHERE reference = %s", (old,)) == [{"plan_id": "team", "cycle": "monthly"}]
    assert shop.database.value("SELECT {s}.plan_price('team', 'monthly')") == new["id"]
    assert shop.run("plan").returncode == 0


def test_an_account_that_sells_it_already_goes_on_with_its_product(shop):
    product = shop.stripe.post("products", name="Team")
    shop.stripe.post("prices", product=product["id"], currency="eur", unit_amount=49000, recurring={"interval": "year"}, lookup_key="team_yearly", metadata={"credits": "12"})
    told = shop.run("plan").stdout
    assert f"~ product {product['id']}" in told and "price team_yearly" not in told
    assert shop.run("apply").returncode == 0
    assert shop.prices()["team_monthly"]["product"] == product["id"]


def test_production_wants_what_was_tried_in_staging_and_asks(shop):
    live = {"STRIPE_SECRET_KEY": "sk_live_0123456789abcdef", "STRIPE_LIVE_MODE": "true"}
    shop.database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'tests')")
    with SimulatedStripe(key="sk_live_0123456789abcdef") as production:
        staging, shop.stripe = shop.stripe, production
        refused = shop.run("apply", **live)
        if "Invalid API Key" in refused.stderr:
            pytest.skip("the simulated account has no live mode")
        assert refused.returncode == 2 and "not applied in staging before" in refused.stderr and "--untried" in refused.stderr
        shop.file.with_name("plans.json.applied").write_text(json.dumps({"staging": {"catalogue": "another"}}))
        assert shop.run("apply", **live).returncode == 2
        shop.stripe = staging
    assert "4900 eur" not in shop.run("plan", "--environment", "staging").stdout


@pytest.mark.parametrize("change, message", [
    (lambda p: p.update(plan=[]), 'has an unknown member "plan"'),
    (lambda p: p["plans"][1].update(pricing=1), 'unknown member "pricing"'),
    (lambda p: p["plans"][1]["prices"][0].update(unit_amount="29.00"), 'unit_amount "29.00"'),
    (lambda p: p["plans"][1]["prices"][0].update(currency="EUR"), 'currency "EUR"'),
    (lambda p: p["plans"][1]["prices"][0].pop("lookup_key"), "no lookup_key"),
    (lambda p: p["plans"][1]["prices"][0].update(unit_amount={"$environment": {"production": 1}}), "no value for environment staging"),
    (lambda p: p["plans"].append(p["plans"][0]), "plan free is there twice"),
    (lambda p: p["environments"]["production"].update(after="beta"), 'comes after "beta"'),
    (lambda p: p["environments"].update(beta={"mode": "test"}), "2 environments have mode test"),
    (lambda p: p.pop("plans"), "has no plans"),
])
def test_mistakes_in_the_file_are_told_and_change_nothing(shop, change, message):
    plans = json.loads(json.dumps(PLANS))
    change(plans)
    shop.write(plans)
    told = shop.run("apply")
    assert told.returncode == 2 and message in told.stderr and "hint: " in told.stderr, told.stderr
    assert "team_monthly" not in shop.prices() and shop.database.value("SELECT count(*) FROM {s}.subscription_plans") == 0


def test_mistakes_of_the_call(shop):
    for arguments, message in ((["plan", "--environment", "beta"], 'there is no environment "beta"'), (["plan", "--environment", "production"], "is for live mode"),
                               (["destroy"], "unknown command destroy")):
        told = shop.run(*arguments)
        assert told.returncode == 2 and message in told.stderr, told.stderr
    assert "which file?" in shop.run("plan", file=False).stderr
    assert "cannot read" in shop.run("plan", str(shop.file) + "x", file=False).stderr
    shop.file.write_text("{")
    assert "is not JSON" in shop.run("plan").stderr
    shop.write(PLANS)
    worker = shop.database.create_role("billing_worker", "worker")
    told = shop.run("apply", PG_BILLING_OPERATOR_DATABASE_URL=shop.database.url(worker))
    assert told.returncode == 2 and "permission denied" in told.stderr and "kind admin" in told.stderr
    told = shop.run("plan", STRIPE_SECRET_KEY="")
    assert told.returncode == 2 and "STRIPE_SECRET_KEY is not set" in told.stderr
    assert "plans plan FILE" in shop.run("plan", "--help").stdout
