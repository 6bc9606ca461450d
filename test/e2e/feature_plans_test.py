"""A workshop for trading strategies with a list of features per plan, through HTTP and SQL: plans that are looked at
with queries of old, a checkout, the portal, a cancellation, and an endpoint that is sent only six kinds of events.
examples/feature_plans.sql sets it up."""
import time

import pytest

from harness.examples import run_example
from harness.life import Life, flat
from harness.objects import MONTH, Price
from harness.stripe import Sender, post
from harness.waiting import until

ENDPOINT = {"checkout.session.completed", "customer.subscription.updated", "customer.subscription.deleted",
            "invoice.payment_failed", "invoice.payment_succeeded", "customer.updated"}

FREE = Price("price_free_monthly", 0, "prod_free", "Free Plan", currency="usd")
STARTER = Price("price_starter_monthly", 1999, "prod_starter", "Starter Plan", currency="usd")
STARTER_YEARLY = Price("price_starter_yearly", 19999, "prod_starter", "Starter Plan", interval="year", currency="usd")
PRO = Price("price_pro_monthly", 4999, "prod_pro", "Pro Plan", currency="usd")

# What operators have always run.
PLANS = """
-- Check that plans were created
SELECT name, display_name, price_monthly, price_yearly, is_active
FROM subscription_plans;
"""
FEATURES = """
-- Check that features were created
SELECT sp.name, COUNT(pf.id) as feature_count
FROM subscription_plans sp
LEFT JOIN plan_features pf ON sp.id = pf.plan_id
GROUP BY sp.name;
"""
SUBSCRIPTIONS = "SELECT * FROM user_subscriptions WHERE user_id = '<user-id>';"
AUDIT = "SELECT * FROM audit_logs WHERE action LIKE 'subscription%' ORDER BY created_at DESC LIMIT 20;"


class Workshop:
    def __init__(self, database, worker):
        self.database, self.worker = database, worker
        self.sender = Sender(worker.webhook, worker.secret)
        run_example(database, "feature_plans")
        self.app = database.connect(user=database.create_role("workshop_app", "app"))

    def tells(self, *happenings):
        """Stripe sends what the endpoint listens to."""
        outcomes = []
        for one in flat(happenings):
            if one["type"] in ENDPOINT:
                answer = self.sender.post(one)
                assert answer.status == 200, answer.body
                outcomes.append(answer.json()["outcome"])
        assert "failed" not in outcomes
        return outcomes

    def checks_out(self, life, user):
        return self.tells(life.customer_created(), life.subscribed(status="incomplete"), life.update(status="active"),
                          life.first_invoice(), life.checkout_completed(user))

    def subscription(self, user):
        return self.database.state(user, connection=self.app)

    def plan(self, user):
        return self.database.value("SELECT {s}.get_user_entitlements(%s) -> 'plans' ->> 0", (user,), connection=self.app)

    def may(self, user, feature):
        return self.database.value("SELECT {s}.check_entitlement(%s, %s)", (user, feature), connection=self.app)

    def use(self, user, feature, amount=1):
        return self.database.value("SELECT {s}.use_feature(%s, %s, %s)", (user, feature, amount), connection=self.app)

    def psql(self, statement):
        """As psql $DATABASE_URL -c prints it: rows of columns."""
        return [line.split("|") for line in self.database.cluster.psql(
            self.database.name, "-A", "-t", "-c", statement).splitlines()]


@pytest.fixture
def workshop(database, worker):
    running = Workshop(database, worker)
    yield running
    running.app.close()


# The plans.

def test_plans_and_features_as_they_are_looked_at(workshop):
    assert sorted(workshop.psql(PLANS)) == [
        ["free", "Free Plan", "0.00", "", "t"],
        ["pro", "Pro Plan", "49.99", "479.99", "t"],
        ["starter", "Starter Plan", "19.99", "199.99", "t"]]
    assert sorted(workshop.psql(FEATURES)) == [["free", "7"], ["pro", "9"], ["starter", "7"]]


def test_the_file_may_run_again_and_takes_the_environments_prices(any_database, monkeypatch):
    first = run_example(any_database, "feature_plans")
    assert run_example(any_database, "feature_plans") == first
    changes = any_database.value("SELECT count(*) FROM {s}.audit_logs")
    assert changes == 3
    monkeypatch.setenv("STRIPE_PRICE_PRO_MONTHLY", "price_1AbC'x")
    run_example(any_database, "feature_plans")
    run_example(any_database, "feature_plans")
    assert any_database.rows("SELECT reference, cycle FROM {s}.plan_prices WHERE plan_id = 'pro' ORDER BY cycle") == [
        {"reference": "price_1AbC'x", "cycle": "monthly"}, {"reference": "price_pro_yearly", "cycle": "yearly"}]
    assert any_database.value("SELECT count(*) FROM {s}.audit_logs") == changes + 1


def test_what_each_plan_gives(workshop):
    for user, price in (("user_starter", STARTER), ("user_yearly", STARTER_YEARLY), ("user_pro", PRO)):
        workshop.checks_out(Life(user, items=((price, 1),)), user)
    users = {"user_none": "free", "user_starter": "starter", "user_yearly": "starter", "user_pro": "pro"}
    assert {user: workshop.plan(user) for user in users} == users
    assert [workshop.may(user, "strategies")["limit"] for user in users] == [3, 25, 25, None]
    assert [workshop.may(user, "history_years")["value"] for user in users] == [1, 5, 5, 20]
    assert [workshop.may(user, "market_data")["value"] for user in users] == ["delayed", "delayed", "delayed", "realtime"]
    assert [workshop.may(user, "export")["allowed"] for user in users] == [False, True, True, True]
    assert [workshop.may(user, "api_access")["allowed"] for user in users] == [False, False, False, True]
    assert [workshop.may(user, "api_access")["next_step"] for user in users][:2] == ["subscribe", "upgrade"]
    assert workshop.may("user_none", "backtest")["reason"] == "unknown_feature"


def test_limits_and_what_is_given_back(workshop):
    assert [workshop.use("user_ada", "strategies")["success"] for _ in range(4)] == [True, True, True, False]
    released = workshop.database.value("SELECT {s}.release_feature('user_ada', 'strategies')", connection=workshop.app)
    assert (released["status"], released["used"]) == ("released", 2)
    assert workshop.use("user_ada", "strategies")["success"]
    assert workshop.use("user_ada", "backtests", 10)["remaining"] == 0
    assert workshop.use("user_ada", "backtests")["next_step"] == "subscribe"
    # A checkout later: more of everything, in the same month, and what there is counts on.
    workshop.checks_out(Life("ada", items=((STARTER_YEARLY, 1),)), "user_ada")
    assert workshop.use("user_ada", "strategies")["used"] == 4
    assert workshop.may("user_ada", "backtests")["remaining"] == 190
    used = workshop.use("user_ada", "backtests", 190)
    assert (used["success"], used["used"], used["remaining"]) == (True, 200, 0)
    refused = workshop.use("user_ada", "backtests")
    assert (refused["success"], refused["next_step"]) == (False, "upgrade")
    month = workshop.database.value("SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date")
    assert refused["next_reset_at"] == f"{month}T00:00:00+00:00"


# The endpoint.

def test_triggered_events(workshop):
    """stripe trigger checkout.session.completed, customer.subscription.updated, invoice.payment_succeeded"""
    fixture = Life("fixture", items=((PRO, 1),))
    outcomes = workshop.checks_out(fixture, None)
    assert outcomes == ["parked"] * 3
    assert workshop.database.rows("SELECT * FROM {s}.user_subscriptions") == []
    assert workshop.tells(*fixture.events) == ["duplicate"] * 3
    # Whoever does not know the endpoint's secret gets nothing in.
    assert post(workshop.worker.webhook, fixture.events[-1], "whsec_of_another_endpoint").status == 400
    # "User paid but subscription not showing in database" says what to do, and it is done.
    advice = workshop.database.rows("SELECT error FROM {s}.stripe_events WHERE outcome = 'parked' LIMIT 1")[0]["error"]
    assert advice == "cus_fixture has no user; run SELECT link_stripe_customer('user_1','cus_fixture')"
    workshop.database.link("user_ada", "cus_fixture")
    assert workshop.plan("user_ada") == "pro"


def test_the_flow_of_a_subscription(workshop):
    user = "user_ada"
    assert (workshop.plan(user), workshop.subscription(user)["can_purchase"]) == ("free", True)

    # 1. Create checkout session: plan_name pro, billing_cycle monthly. 2. Complete checkout.
    price = workshop.database.value("SELECT reference FROM {s}.plan_prices WHERE plan_id = 'pro' AND cycle = 'monthly'",
                                    connection=workshop.app)
    assert price == PRO.id
    ada = Life("ada", items=((PRO, 1),), metadata={"user_id": user})
    workshop.checks_out(ada, user)

    # 3. Verify subscription.
    shown = workshop.subscription(user)
    assert (shown["state"], shown["plan"], shown["price_id"], shown["has_access"], shown["can_purchase"]) == \
        ("active", "pro", PRO.id, True, False)
    (row,) = workshop.database.rows(SUBSCRIPTIONS.replace("<user-id>", user))
    assert (row["status"], row["price_id"], row["stripe_subscription_id"]) == ("active", PRO.id, "sub_ada")

    # 4. Test customer portal: it finds the customer. What is changed there comes back as events.
    assert shown["stripe_customer_id"] == "cus_ada"
    ada.customer["invoice_settings"]["default_payment_method"] = "pm_another_card"
    workshop.tells(ada.customer_updated(email="ada@example.net"))
    assert workshop.database.value("SELECT email FROM {s}.stripe_customers WHERE id = 'cus_ada'") == "ada@example.net"

    # 5. Test cancellation: at the period's end. Until then everything is as it was; he may think better of it.
    workshop.tells(ada.cancel_at_period_end())
    shown = workshop.subscription(user)
    assert (shown["state"], shown["has_access"], shown["next_step"]) == ("canceled", True, "resume_subscription")
    assert workshop.may(user, "api_access")["allowed"]
    end = workshop.database.value("SELECT current_period_end FROM {s}.user_subscriptions WHERE user_id = %s", (user,))
    assert workshop.database.state(user, end)["has_access"] is False
    workshop.tells(ada.resumed())
    assert workshop.subscription(user)["state"] == "active"
    workshop.tells(ada.cancel_at_period_end(), ada.ended())
    shown = workshop.subscription(user)
    assert (shown["state"], shown["next_step"], workshop.plan(user)) == ("expired", "subscribe", "free")
    assert (workshop.may(user, "api_access")["allowed"], workshop.may(user, "strategies")["limit"]) == (False, 3)

    # All of it stands in the audit, and each event has its line in the log.
    actions = [row["action"] for row in workshop.database.rows(AUDIT)]
    assert {"subscription_activated", "subscription_canceled", "subscription_resumed", "subscription_ended"} <= set(actions)
    assert workshop.database.rows(AUDIT.replace("subscription%", "payment_succeeded").replace("LIKE", "="))
    def lines():
        return [line for line in workshop.worker.log_lines() if line["event"] == "stripe_webhook_handled_successfully"]

    until(lambda: {line.get("activity") for line in lines()} >= {"subscription_activated", "payment_succeeded",
                                                                 "subscription_ended"}, "they are logged")
    assert all(line["signature"] == "stripe_webhook_verified" for line in lines())


def test_features_follow_an_upgrade_at_once(workshop):
    """"User upgraded but still seeing free plan features" has no place to come from."""
    ada = Life("ada", items=((STARTER, 1),))
    workshop.checks_out(ada, "user_ada")
    for plan, price in (("pro", PRO), ("starter", STARTER), ("pro", PRO)):
        assert workshop.subscription("user_ada")["has_access"]  # what could be cached is cached
        workshop.tells(ada.price_changed(price))
        assert (workshop.plan("user_ada"), workshop.subscription("user_ada")["plan"]) == (plan, plan)
        assert workshop.may("user_ada", "api_access")["allowed"] is (plan == "pro")
    conversions = workshop.database.rows("SELECT * FROM {s}.metrics_conversion")
    assert {(row["from_plan"], row["to_plan"]) for row in conversions} >= {("starter", "pro"), ("pro", "starter")}
    (mrr,) = workshop.database.rows("SELECT currency, mrr, arr, subscriptions FROM {s}.metrics_mrr")
    assert (mrr["currency"], mrr["mrr"], mrr["arr"], mrr["subscriptions"]) == ("usd", 4999, 59988, 1)


def test_whoever_takes_the_free_price_is_on_the_free_plan(workshop):
    ada = Life("ada", items=((FREE, 1),))
    workshop.checks_out(ada, "user_ada")
    assert (workshop.plan("user_ada"), workshop.may("user_ada", "strategies")["limit"]) == ("free", 3)
    assert workshop.subscription("user_ada")["can_purchase"]
    bought = Life("ada_buys", items=((PRO, 1),))
    bought.customer_id = ada.customer_id
    workshop.checks_out(bought, "user_ada")
    assert (workshop.plan("user_ada"), workshop.subscription("user_ada")["can_purchase"]) == ("pro", False)


def test_a_payment_fails_and_is_made_good(workshop):
    ada = Life("ada", items=((PRO, 1),), start=int(time.time()) - MONTH - 9 * 86400)
    workshop.checks_out(ada, "user_ada")
    ada.clock = ada.period[1] + 60
    workshop.tells(ada.payment_failed())
    refused = workshop.may("user_ada", "api_access")
    assert (refused["allowed"], refused["reason"], refused["next_step"]) == \
        (False, "past_due_grace_over", "update_payment_method")
    assert workshop.may("user_ada", "strategies")["limit"] == 3
    workshop.tells(ada.recovered())
    assert workshop.may("user_ada", "api_access")["allowed"] and workshop.plan("user_ada") == "pro"


def test_any_order_of_what_the_endpoint_is_sent(workshop):
    ada = Life("ada", items=((STARTER, 1),))
    events = flat([ada.customer_created(), ada.subscribed(status="incomplete"), ada.update(status="active"),
                   ada.first_invoice(), ada.checkout_completed("user_ada"), ada.price_changed(PRO),
                   ada.cancel_at_period_end()])
    workshop.tells(*events[::-1], *events[::2], *events)
    shown = workshop.subscription("user_ada")
    assert (shown["state"], shown["plan"]) == ("canceled", "pro")
    assert workshop.database.rows("SELECT * FROM {s}.rebuild_billing_state(false)") == []
    health = workshop.database.rows("SELECT success_rate, failed FROM {s}.metrics_webhooks WHERE received > 0 LIMIT 1")
    assert health == [{"success_rate": 1, "failed": 0}]


def test_a_price_that_nobody_mapped(workshop):
    """A price made in the Dashboard and not in the environment: said, and put right by running the file with it."""
    ada = Life("ada", items=((Price("price_new", 5999, "prod_pro", "Pro Plan", currency="usd"), 1),))
    workshop.checks_out(ada, "user_ada")
    shown = workshop.subscription("user_ada")
    assert (shown["has_access"], shown["reason"], shown["next_step"], shown["can_purchase"]) == \
        (False, "unmapped_price", "map_price", False)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STRIPE_PRICE_PRO_MONTHLY", "price_new")
        run_example(workshop.database, "feature_plans")
    assert workshop.subscription("user_ada")["plan"] == workshop.plan("user_ada") == "pro"


def test_checkout_and_invoice_alone(workshop):
    """A subscription that is active from its start is carried by nothing that the endpoint is sent, until it changes.
    What came before takes effect then; with customer.subscription.created, as the file advises, at once."""
    ada, bob = Life("ada", items=((PRO, 1),)), Life("bob", items=((PRO, 1),))
    workshop.tells(ada.customer_created(), ada.subscribed(), ada.first_invoice(), ada.checkout_completed("user_ada"))
    assert workshop.plan("user_ada") == "free"
    workshop.tells(ada.renewed())
    assert workshop.plan("user_ada") == "pro"
    until(lambda: workshop.database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed") == 0,
          "the first invoice, which waited for its price, is applied")
    workshop.tells(bob.customer_created())
    created = bob.subscribed()
    workshop.tells(bob.first_invoice(), bob.checkout_completed("user_bob"))
    assert workshop.sender.post(created).status == 200
    assert workshop.plan("user_bob") == "pro"
