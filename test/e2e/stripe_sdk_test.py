"""Stripe's official Node library works with the simulated account as with Stripe: whatever it makes of answers,
errors, pages and webhooks shows that they look alike."""
import json
import os
import subprocess

import pytest

from harness.npm import npm_package
from harness.receiver import Receiver
from harness.simulated_stripe import KEY, SimulatedStripe

PROGRAM = """
const Stripe = require('stripe');
const [port, key, hook] = process.argv.slice(2);
const stripe = new Stripe(key, { host: '127.0.0.1', port, protocol: 'http', maxNetworkRetries: 3 });
const said = {};
const refused = async (promise) => promise.then(() => 'nothing', (e) => [e.constructor.name, e.type, e.code, e.param, e.statusCode, /^req_/.test(e.requestId)]);
(async () => {
  const endpoint = await stripe.webhookEndpoints.create({ url: hook, enabled_events: ['*'] });
  said.secret = endpoint.secret;
  const made = [];
  for (let i = 0; i < 23; i++) made.push((await stripe.customers.create({ name: `n${i}`, metadata: { i } })).id);
  const listed = [];
  for await (const customer of stripe.customers.list({ limit: 5 })) listed.push(customer.id);
  said.paged = JSON.stringify(listed) === JSON.stringify(made.reverse());
  const one = await stripe.customers.create({ name: 'same' }, { idempotencyKey: 'k' });
  const two = await stripe.customers.create({ name: 'same' }, { idempotencyKey: 'k' });
  said.idempotent = one.id === two.id;
  said.replayed = two.lastResponse.headers['idempotent-replayed'];
  said.idempotency = await refused(stripe.customers.create({ name: 'other' }, { idempotencyKey: 'k' }));
  said.missing = await refused(stripe.customers.retrieve('cus_none'));
  said.unknown = await refused(stripe.customers.create({ colour: 'red' }));
  said.key = await refused(new Stripe('sk_live_x', { host: '127.0.0.1', port, protocol: 'http' }).customers.list());
  said.card = await refused(stripe.paymentMethods.attach('pm_card_chargeDeclined', { customer: one.id }));
  const deleted = await stripe.customers.del(one.id);
  said.deleted = [deleted.deleted, (await stripe.customers.retrieve(one.id)).deleted];
  const product = await stripe.products.create({ name: 'Team', metadata: { a: 'b' } });
  const price = await stripe.prices.create({ product: product.id, unit_amount: 900, currency: 'usd', recurring: { interval: 'month' }, lookup_key: 'team' });
  said.lookup = (await stripe.prices.list({ lookup_keys: ['team'], expand: ['data.product'] })).data[0].product.name;
  const session = await stripe.checkout.sessions.create({
    mode: 'subscription', line_items: [{ price: price.id, quantity: 2 }], success_url: 'https://a.example/{CHECKOUT_SESSION_ID}',
    client_reference_id: 'ada', subscription_data: { metadata: { x: 'y' }, trial_period_days: 14 },
  });
  await fetch(session.url, { method: 'POST', body: new URLSearchParams({ action: 'pay', email: 'a@example.org' }), redirect: 'manual' });
  const paid = await stripe.checkout.sessions.retrieve(session.id, { expand: ['subscription', 'line_items'] });
  said.paid = [paid.status, paid.subscription.status, paid.subscription.metadata.x, paid.line_items.data[0].quantity];
  const item = paid.subscription.items.data[0].id;
  const updated = await stripe.subscriptions.update(paid.subscription.id, { items: [{ id: item, quantity: 3 }], cancel_at_period_end: true });
  said.updated = [updated.items.data[0].quantity, updated.cancel_at_period_end];
  said.portal = (await stripe.billingPortal.sessions.create({ customer: paid.customer, return_url: 'https://a.example' })).url.includes('/p/session/bps_');
  said.canceled = (await stripe.subscriptions.cancel(paid.subscription.id)).status;
  said.events = (await stripe.events.list({ types: ['customer.subscription.created', 'customer.subscription.deleted'] })).data.map((e) => e.type);
  said.account = (await stripe.accounts.retrieveCurrent ? await stripe.accounts.retrieveCurrent() : await stripe.accounts.retrieve()).charges_enabled;
  console.log(JSON.stringify(said));
  process.exit(0);
})().catch((e) => { console.error(e); process.exit(1); });
"""

READER = """
const stripe = new (require('stripe'))('sk_test_unused');
const [secret] = process.argv.slice(2);
for (const { body, signature } of JSON.parse(require('fs').readFileSync(0))) {
  const event = stripe.webhooks.constructEvent(body, signature, secret);
  console.log(event.type, event.data.object.object);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A directory in which require('stripe') works."""
    directory = tmp_path_factory.mktemp("node")
    npm_package(directory, "stripe")
    return directory


def run(library, program, *arguments, **more):
    (library / "program.js").write_text(program)
    done = subprocess.run(["node", "program.js", *arguments], cwd=library, timeout=120, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]}, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def hook():
    """Takes Stripe's webhooks as they come: their bodies and signatures."""
    taken = []
    with WebhookReceiver(taken) as receiver:
        receiver.taken = taken
        yield receiver


class WebhookReceiver(Receiver):
    def __init__(self, taken):
        super().__init__(status=lambda message: 200)
        receiver = self

        def do_post(handler):
            body = handler.rfile.read(int(handler.headers["content-length"]))
            with receiver.lock:
                taken.append({"body": body.decode(), "signature": handler.headers["stripe-signature"]})
            handler.send_response(200)
            handler.send_header("content-length", "0")
            handler.end_headers()

        self.server.RequestHandlerClass.do_POST = do_post


@pytest.mark.parametrize("faults", [False, True], ids=["quiet", "faulty"])
def test_the_official_library_takes_it_for_stripe(library, hook, faults):
    with SimulatedStripe() as stripe:
        # Not 429: the library leaves those to its user.
        for kind in ("lost", "error", "broken") if faults else ():
            for path in ("/v1/customers", "/v1/checkout", "/v1/subscriptions"):
                stripe.steer("faults", kind=kind, method="POST", path=path)
        said = json.loads(run(library, PROGRAM, stripe.address.rpartition(":")[2], KEY, hook.url))
    assert said["paged"] and said["idempotent"] and said["replayed"] == "true"
    assert said["idempotency"] == ["StripeIdempotencyError", "StripeIdempotencyError", None, None, 400, True]
    assert said["missing"] == ["StripeInvalidRequestError", "StripeInvalidRequestError", "resource_missing", "id", 404, True]
    assert said["unknown"][2:5] == ["parameter_unknown", "colour", 400]
    assert said["key"][0] == "StripeAuthenticationError"
    assert said["card"][0] == "StripeCardError" and said["card"][2] == "card_declined"
    assert said["deleted"] == [True, True] and said["lookup"] == "Team"
    assert said["paid"] == ["complete", "trialing", "y", 2] and said["updated"] == [3, True]
    assert said["portal"] and said["canceled"] == "canceled" and said["account"]
    assert said["events"] == ["customer.subscription.deleted", "customer.subscription.created"]
    read = run(library, READER, said["secret"], input=json.dumps(hook.taken)).splitlines()
    assert {"customer.created customer", "checkout.session.completed checkout.session",
            "customer.subscription.deleted subscription"} <= set(read)
