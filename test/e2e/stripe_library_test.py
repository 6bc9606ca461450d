"""Stripe's official Node library signs and sends: our idea of the signature is not the judge of itself."""
import json
import os
import subprocess

import pytest

from harness.npm import npm_package
from harness.life import Life, flat

SENDER = """
const Stripe = require('stripe');
const stripe = new Stripe('sk_test_unused');
const [url, secret, file] = process.argv.slice(2);
const events = JSON.parse(require('fs').readFileSync(file));
(async () => {
  for (const event of events) {
    const payload = JSON.stringify(event, null, 2);
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret });
    const answer = await fetch(url, {
      method: 'POST', body: payload,
      headers: { 'Content-Type': 'application/json; charset=utf-8', 'Stripe-Signature': header },
    });
    console.log(answer.status, event.id);
  }
})();
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A directory in which require('stripe') works."""
    directory = tmp_path_factory.mktemp("node")
    npm_package(directory, "stripe")
    return directory


def send(library, worker, secret, events):
    (library / "events.json").write_text(json.dumps(events))
    (library / "send.js").write_text(SENDER)
    sent = subprocess.run(["node", "send.js", worker.webhook, secret, "events.json"], cwd=library, timeout=60,
                          capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert sent.returncode == 0, sent.stderr
    return [int(line.split()[0]) for line in sent.stdout.splitlines()]


def test_what_stripes_library_signs_is_accepted(library, database, worker):
    ada = Life("ada")
    events = flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(), ada.checkout_completed("user_ada")])
    assert send(library, worker, worker.secret, events) == [200] * len(events)
    assert database.state("user_ada")["state"] == "active"
    assert send(library, worker, "whsec_another", [ada.ended()]) == [400]
    assert database.state("user_ada")["state"] == "active"
