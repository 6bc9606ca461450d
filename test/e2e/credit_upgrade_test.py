"""Changes of plan within a period, told by Stripe's proration lines, in every order."""
import copy
import dataclasses
import itertools

import pytest

from credit_grants_test import NOW, SOLO, TEAM, balance, grants, settle, sound
from harness import objects
from harness.life import Life, event
from harness.objects import DAY, NEW, OLD

MONTH = 30 * DAY


def proration_line(line, amount, description, start, end, price, api_version):
    made = copy.deepcopy(line)
    made |= {"amount": amount, "description": description, "period": {"start": start, "end": end}, "quantity": 1}
    if objects.is_new(api_version):
        made["pricing"]["price_details"] = {"price": price.id, "product": price.product}
        details = made["parent"]["subscription_item_details"]
        details["proration"] = True
        if amount < 0:
            details["proration_details"] = {"credited_items": {"invoice": "in_before", "invoice_line_items": ["il_x"]}}
    else:
        made |= {"price": price.json(api_version), "plan": price.plan(api_version), "proration": True,
                 "type": "invoiceitem"}
    return made


def changed(life, number, before, after, at):
    """The paid invoice of a change that is invoiced at once."""
    made = objects.invoice(f"in_{life.name}_change_{number}", life.subscription, at, life.period, life.api_version,
                           reason="subscription_update", paid=True)
    line, end = made["lines"]["data"][0], life.period[1]
    made["lines"]["data"] = [
        {**proration_line(line, -before.unit_amount // 2, f"Unused time on {before.name}", at, end, before,
                          life.api_version), "id": f"il_{life.name}_{number}_a"},
        {**proration_line(line, after.unit_amount // 2, f"Remaining time on {after.name}", at, end, after,
                          life.api_version), "id": f"il_{life.name}_{number}_b"}]
    return event(f"evt_{life.name}_change_{number}", "invoice.paid", made, at, life.api_version)


def history(api_version):
    """Solo at first, up to Team in the middle of the period, down, and up again."""
    start = NOW - 20 * DAY
    life = Life("ada", items=((SOLO, 1),), start=start, api_version=api_version)
    first = [life.customer_created(), life.subscribed(period=(start, start + MONTH)),
             life.checkout_completed("user_ada"), life.first_invoice()[0]]
    half, later, latest = start + MONTH // 2, start + MONTH // 2 + DAY, start + MONTH // 2 + 2 * DAY
    prices = [event(f"evt_{price.id}", "price.created", price.json(api_version), start) for price in (SOLO, TEAM)]
    return prices, first, [changed(life, 1, SOLO, TEAM, half), changed(life, 2, TEAM, SOLO, later),
                           changed(life, 3, SOLO, TEAM, latest)]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_an_upgrade_grants_the_difference_for_the_rest_of_the_period(database, version):
    database.grant_since_ever()
    prices, first, (up, down, _) = history(version)
    database.process(*prices, *first)
    assert balance(database, "user_ada")["balance"] == 30
    database.process(up)
    assert [(one["amount"], one["source"]) for one in grants(database, "user_ada")] == [(30, "invoice"), (85, "upgrade")]
    database.process(down)
    assert balance(database, "user_ada")["balance"] == 115
    assert sound(database)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_up_and_down_and_up_farms_nothing_in_any_order(databases, version):
    prices, first, changes = history(version)
    results = set()
    for order in itertools.permutations([first[3], *changes]):
        database = databases().grant_since_ever()
        database.process(*prices, *first[:3])
        for one in order:
            database.process(one)
        settle(database)
        results.add(balance(database, "user_ada")["balance"])
        assert sound(database)
    assert results == {115}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_other_event_of_the_same_payment_changes_nothing(database, version):
    database.grant_since_ever()
    prices, first, changes = history(version)
    database.process(*prices, *first)
    for one in changes:
        database.process(one)
        had = balance(database, "user_ada")
        database.process({**one, "id": one["id"] + "_too", "type": "invoice.payment_succeeded"})
        assert balance(database, "user_ada") == had


def moved(life, number, price, length, at):
    """The paid invoice of a change to another period, which begins anew."""
    item_id = life.subscription["items"]["data"][0]["id"]
    made = objects.subscription(life.subscription_id, life.customer_id, [(price, 1)], at, (at, at + length),
                                life.api_version)
    made["items"]["data"][0]["id"] = item_id
    paid = objects.invoice(f"in_{life.name}_move_{number}", made, at, (at, at + length), life.api_version,
                           reason="subscription_update", paid=True)
    return event(f"evt_{life.name}_move_{number}", "invoice.paid", paid, at, life.api_version)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_to_a_year_and_back_to_a_month_keeps_the_year_in_any_order(databases, version):
    start = NOW - 20 * DAY
    year = dataclasses.replace(objects.PRO_YEARLY, id="price_solo_year", product="prod_solo", metadata={"credits": "360"})
    life = Life("ada", items=((SOLO, 1),), start=start, api_version=version)
    first = [life.customer_created(), life.subscribed(period=(start, start + MONTH)),
             life.checkout_completed("user_ada"), life.first_invoice()[0]]
    prices = [event(f"evt_{price.id}", "price.created", price.json(version), start) for price in (SOLO, year)]
    changes = [first[3], moved(life, 1, year, 365 * DAY, start + 2 * DAY), moved(life, 2, SOLO, MONTH, start + 4 * DAY)]
    results = {}
    for order in itertools.permutations(range(3)):
        database = databases().grant_since_ever()
        database.process(*prices, *first[:3])
        for number in order:
            database.process(changes[number])
        settle(database)
        results[order] = balance(database, "user_ada")["balance"]
        assert sound(database)
        assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert set(results.values()) == {360}, results
