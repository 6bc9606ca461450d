"""What scripts/demo shows: a subscription's life, posted as signed webhooks, with the state after every step; then
credits, from the invoice that grants them to the refund that takes them back."""
import dataclasses
import pathlib
import subprocess
import sys
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))

from harness.cluster import Cluster, program  # noqa: E402
from harness.life import Life, flat  # noqa: E402
from harness.objects import BASIC, NEW, OLD, PRO  # noqa: E402
from harness.stripe import Sender  # noqa: E402
from harness.worker import Worker  # noqa: E402

WIDTH = 110
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")

STATE = """\
SELECT s.* FROM jsonb_to_record(get_user_subscription_state('{user}'{instant}))
    AS s(state text, has_access bool, reason text, price_id text, quantity int, access_until date)"""

ANSWER = """\
SELECT a.* FROM {call} answer,
       jsonb_to_record(answer) AS a({columns},
                                    balance int, held int, available int)"""

BALANCE = """\
SELECT b.* FROM jsonb_to_record(get_credit_balance('user_cleo'))
    AS b(balance int, held int, available int, debt int)"""


STORIES = dataclasses.replace(BASIC, id="price_stories", product="prod_stories", name="Stories, monthly",
                              metadata={"credits": "30"})


class Story:
    def __init__(self, cluster, worker):
        self.cluster = cluster
        self.worker = worker
        self.sender = Sender(worker.webhook, worker.secret)
        self.steps = 0

    def step(self, title, text=""):
        self.steps += 1
        print(f"\n{BOLD}{self.steps}. {title}{PLAIN}")
        if text:
            print(textwrap.fill(text, WIDTH - 3, initial_indent="   ", subsequent_indent="   "))

    def show(self, *statements):
        """The statements, of one session, and what psql prints for them."""
        text = ";\n".join(statements) + ";"
        print()
        print(textwrap.indent(f"{DIM}{text}{PLAIN}", "   "))
        output = self.cluster.psql("demo", "-q", "-P", "footer=off", "-P", "null=-", text_input=text)
        print("\n".join(f"   {line}".rstrip() for line in output.rstrip("\n").split("\n")))

    def state(self, user, instant=None):
        self.show(STATE.format(user=user, instant=f", {instant}" if instant else ""))

    def post(self, *happenings):
        """Signs and posts each event, and prints what became of it."""
        print()
        for event in flat(happenings):
            answer = self.sender.post(event)
            (outcome, duplicates), = self.cluster.execute(
                f"SELECT outcome, duplicates FROM stripe_events WHERE stripe_event_id = '{event['id']}'", "demo")
            outcome = "duplicate" if duplicates else outcome
            print(f"   POST {event['id']:<14} {event['type']:<38} {event['api_version']:<18} "
                  f"-> {answer.status} {outcome}")

    def metrics(self, word):
        print(f"\n   {DIM}curl -s {self.worker.url}/metrics | grep {word}{PLAIN}")
        for line in self.worker.get("/metrics")[1].splitlines():
            if word in line and not line.startswith("#"):
                print(f"   {line}")

    def refused(self, event, **options):
        answer = self.sender.post(event, **options)
        print(f"\n   POST {event['id']:<14} {event['type']:<38} {event['api_version']:<18} -> {answer.status}")
        print(textwrap.fill(answer.body.strip(), WIDTH - 6, initial_indent="      ", subsequent_indent="      "))


def tell(story):
    ada = Life("ada", api_version=NEW)

    story.step("Before anything has happened", "One question is asked all along, in the application's own transaction.")
    story.state("user_ada")

    story.step("Stripe's events overtake the application",
               "A trial starts before anybody said whose customer cus_ada is. Nothing is lost: Stripe gets its 200, "
               "and the events wait. The rows say for what, and what to do if nothing else links the customer.")
    story.post(ada.customer_created(), ada.subscribed(trial_days=14), ada.first_invoice())
    story.show("SELECT stripe_event_id, outcome, error FROM stripe_events WHERE NOT processed ORDER BY stripe_created")
    story.show("SELECT jsonb_array_elements_text(explain_user('user_ada') -> 'why') AS why")
    story.metrics("customer_link")

    story.step("Checkout completes, and says who paid",
               "The session carries client_reference_id = user_ada: it links the customer, and what waited takes effect "
               "in the same transaction.")
    story.post(ada.checkout_completed("user_ada"))
    story.state("user_ada")

    story.step("The trial turns into a paid subscription")
    activation = ada.activated()
    story.post(activation)
    story.state("user_ada")

    story.step("Stripe delivers an event again", "At-least-once delivery, exactly one effect: the event id is remembered.")
    story.post(activation[0])
    story.show("SELECT stripe_event_id, event_type, outcome, duplicates FROM stripe_events WHERE duplicates > 0")

    story.step("Two changes arrive in the wrong order",
               "Five seats are bought, then one more; the webhook of the second change comes first. The state follows "
               "Stripe's order, never that of arrival.")
    five, six = ada.price_changed(PRO, 5), ada.price_changed(PRO, 6)
    story.post(six, five)
    story.state("user_ada")

    story.step("A renewal fails", "Access goes on for a grace period of seven days, counted from the unpaid period's "
               "start. The same question about an instant after that needs no job and no event: time is part of it.")
    story.post(ada.payment_failed())
    story.state("user_ada")
    story.state("user_ada", "now() + interval '8 days'")

    story.step("The second attempt succeeds")
    story.post(ada.recovered())
    story.state("user_ada")

    story.step("Ada cancels at the end of the period",
               "`canceled` is decided but not reached: what was paid for stays. Afterwards the state is `expired`.")
    story.post(ada.cancel_at_period_end())
    story.state("user_ada")
    story.state("user_ada", "now() + interval '31 days'")

    story.step("The subscription ends")
    story.post(ada.ended())
    story.state("user_ada")

    story.step("Another customer, in the shape of Stripe's API of 2020",
               "Nobody linked cus_bob. An operator does, as the waiting rows say, and gets the same answers: fields are "
               "found wherever an API version keeps them.")
    bob = Life("bob", api_version=OLD, items=((BASIC, 1),))
    story.post(bob.customer_created(), bob.subscribed(), bob.first_invoice())
    story.show("SELECT jsonb_pretty(link_stripe_customer('user_bob', 'cus_bob')) AS link_stripe_customer")
    story.state("user_bob")

    story.step("Somebody else knocks", "A payload that was not signed with the endpoint's secret changes nothing.")
    story.refused(bob.ended(), signature=f"t={bob.clock},v1={'0' * 64}")

    tell_of_credits(story)

    story.step("What is left to read")
    story.show("SELECT event_created, action, subject, event_id FROM audit_logs\n"
               " WHERE user_id = 'user_ada' ORDER BY event_created, event_id")
    story.show("SELECT outcome, count(*) AS events, sum(duplicates) AS duplicates FROM stripe_events GROUP BY outcome")


def answer(call, columns):
    return ANSWER.format(call=call, columns=columns)


def tell_of_credits(story):
    # After the installation: what was paid before it grants nothing.
    cleo = Life("cleo", api_version=NEW, items=((STORIES, 1),), start=int(time.time()))

    story.step("Credits: a price says how many",
               "price_stories has the metadata credits = 30. Stripe tells of the paid invoice twice, as invoice.paid and "
               "as invoice.payment_succeeded, and delivers one of them again: one fact, one grant.")
    started = [cleo.emit("price.created", STORIES.json(NEW)), cleo.customer_created(),
               cleo.checkout_completed("user_cleo"), cleo.subscribed()]
    paid = cleo.first_invoice()
    story.post(started, paid, paid[0])
    story.show("SELECT grant_id, amount, remaining, source, stripe_invoice_id, expires_at::date FROM credit_grants\n"
               " WHERE user_id = 'user_cleo'")

    story.step("The application uses credits, in its own transaction",
               "Both commit, or neither. The answer says what happened; the key makes it happen once, however often the "
               "request is tried again.")
    story_1 = answer("use_credits_validated('user_cleo', 5, 'story', 'request-1')",
                     "success bool, status text, transaction_id int, charged int")
    story.show("BEGIN", "INSERT INTO stories VALUES ('user_cleo', 'The owl who paid in full')", story_1, "COMMIT")
    story.show(story_1)

    story.step("Too much is refused, and charges nothing", "A refusal is an answer, not an error.")
    story.show(answer("use_credits_validated('user_cleo', 100)",
                      "success bool, status text, reason text, next_step text"))

    story.step("A job that is rolled back costs nothing")
    story.show("BEGIN", "INSERT INTO stories VALUES ('user_cleo', 'The fox who crashed')",
               answer("use_credits_validated('user_cleo', 5, 'story', 'request-2')", "status text, charged int"),
               "ROLLBACK")
    story.show(BALANCE)

    story.step("A long job holds credits first",
               "What is held nobody else can use. The job needs less than it held, and is charged for that; the rest is "
               "free again.")
    story.show(answer("hold_credits('user_cleo', 10, '15 minutes', 'film')",
                      "status text, hold_id int, amount int"))
    story.show(answer("capture_hold('user_cleo', 1, 7)",
                      "status text, transaction_id int, charged int, released int"))

    story.step("A job has failed after it was charged", "The refund names the debit, and goes back where it came from.")
    story.show(answer("refund_credits('user_cleo', 2, description => 'the printer was on fire')",
                      "status text, transaction_id int, refunded int, lapsed int, refundable int"))

    story.step("Half the money goes back at Stripe", "Half of what it granted goes with it: unspent credits first.")
    story.post(cleo.emit("charge.refunded", {
        "id": "ch_cleo_1", "object": "charge", "amount": 900, "amount_captured": 900, "amount_refunded": 450,
        "captured": True, "created": cleo.clock, "currency": "eur", "customer": cleo.customer_id, "livemode": False,
        "metadata": {}, "paid": True, "payment_intent": "pi_cleo_1", "refunded": False, "status": "succeeded"}))
    story.show(BALANCE)

    story.step("The ledger says it all", "It is only ever added to. Whether every row of it agrees with every other "
               "row, anybody can ask at any time: no rows means that it does.")
    story.show("SELECT transaction_id AS id, transaction_type AS type, amount, balance_after AS balance, description, grants\n"
               "  FROM credit_statement('user_cleo')")
    story.show("SELECT * FROM verify_credit_ledger()")


def main(arguments):
    keep = "--keep" in arguments
    cluster = Cluster(keep=keep, fsync=True).start()
    worker = None
    try:
        version, = cluster.execute("SHOW server_version")[0]
        cluster.create_database("demo")
        cluster.execute("CREATE EXTENSION pg_billing; CREATE ROLE billing_worker LOGIN;"
                        "SELECT grant_billing_role('billing_worker', 'worker');"
                        "CREATE TABLE stories (user_id text, title text)", "demo")
        worker = Worker(cluster.url("demo", "billing_worker"), keep=keep, log_file=cluster.directory / "worker.log")
        worker.start()
        print(f"PostgreSQL {version.split()[0]} with pg_cron and pg_billing in {cluster.directory}\n"
              f"The worker listens on {worker.webhook}")
        tell(Story(cluster, worker))
        if keep:
            print(f"\n{BOLD}Both keep running.{PLAIN}\n"
                  f"   look     {program('psql')} -h {cluster.socket_directory} -U postgres demo\n"
                  f"   metrics  curl {worker.url}/metrics\n"
                  f"   log      {worker.log_file}\n"
                  f"   secret   {worker.secret}   (sign with it and post to {worker.webhook})\n"
                  f"   stop     kill {worker.pid} && kill -INT {cluster.pid} && sleep 2 && rm -r {cluster.directory}")
            return
    except BaseException:
        cluster.keep = False
        raise
    finally:
        if not cluster.keep:
            if worker:
                worker.stop()
            cluster.destroy()
    print("\nAll of it is gone again. `scripts/demo --keep` leaves the server and the worker running.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"the demo failed: {error}")
