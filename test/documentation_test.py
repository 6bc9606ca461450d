"""What the documentation lists is what the code knows."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
INSTALLATION = (ROOT / "docs/installation.md").read_text()
# A quoted name with dots: of an event, mostly.
EVENT = re.compile(r'"((?:[a-z_]+\.)+[a-z_]+)"')


def events_in(*folders):
    """Names of events in C++ sources, without those of objects, tables and files."""
    objects = {"checkout.session", "entitlements.active_entitlement_summary", "entitlements.feature",
               "test_helpers.test_clock"}
    names = {name for folder in folders for path in (ROOT / folder).glob("*.cpp") for name in EVENT.findall(path.read_text())}
    return {name for name in names if name.split(".")[0] in STRIPES and name not in objects}


# Objects whose events have an effect, by the first part of the name.
STRIPES = {"customer", "checkout", "invoice", "invoice_payment", "charge", "refund", "credit_note", "payment_intent",
           "product", "price", "subscription_schedule", "entitlements", "test_helpers"}


@pytest.fixture(scope="module")
def listed():
    table = INSTALLATION.split("### Events of the endpoint")[1].split("###")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall("`([^`]+)`", row)}


def covers(listed, event):
    return event in listed or any(name.endswith("*") and event.startswith(name[:-1]) for name in listed)


def test_every_event_that_the_rules_know_is_listed_for_the_endpoint(listed):
    known = events_in("extension/core", "extension/functions")
    assert {"customer.subscription.deleted", "invoice.paid", "customer.deleted"} <= known
    assert [event for event in sorted(known) if not covers(listed, event)] == []


def test_every_event_that_moves_something_is_listed_for_the_endpoint(listed):
    """Also those that only their object makes known: what the simulation tells of, but for what is only mirrored."""
    told = events_in("worker/simulation")
    assert len(told) > 30
    only_mirrored = {"payment_method.attached", "customer.unheard_of.created"}
    assert [event for event in sorted(told - only_mirrored) if not covers(listed, event)] == []


def test_nothing_is_listed_that_the_code_does_not_know(listed):
    objects = {name.split(".")[0] for name in listed}
    assert objects == STRIPES
    sources = "".join(path.read_text() for path in (ROOT / "extension").rglob("*.cpp"))
    for kind in sorted(objects - {"checkout", "entitlements", "test_helpers"}):
        assert f'"{kind}"' in sources or f"'{kind}'" in sources, kind


def anchors(text):
    """Of the headings, as they are linked to; a second one of the same name has -1 behind it."""
    found = {}
    for heading in re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", text)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
    return {f"{name}-{n}" if n else name for name, count in found.items() for n in range(count + 1)}


def test_every_link_between_pages_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    names = {page: anchors(page.read_text()) for page in pages}
    dead = []
    for page in pages:
        for path, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            target = (page.parent / path).resolve() if path else page
            if "://" not in path and (not target.exists() or anchor and anchor not in names.get(target, {anchor})):
                dead.append((page.name, path, anchor))
    assert len(pages) > 10 and dead == []


def test_the_endpoint_that_is_registered_gets_every_event_that_the_rules_know(listed):
    registered = events_in("worker/doctor")
    assert len(registered) > 40 and [event for event in sorted(registered) if not covers(listed, event)] == []
    known = events_in("extension/core", "extension/functions")
    # The beginning of two names, and what is told of inside another object.
    known -= {"checkout.session.async_payment_", "price.embedded"}
    assert sorted(known - registered) == []
