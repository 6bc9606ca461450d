"""What scripts/demo shows: one subscription's life, posted as signed webhooks, and the state after every step."""
import pathlib
import subprocess
import sys
import textwrap

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

    def show(self, statement):
        """The statement, and what psql prints for it."""
        print()
        print(textwrap.indent(f"{DIM}{statement};{PLAIN}", "   "))
        output = self.cluster.psql("demo", "-P", "footer=off", "-P", "null=-", "-c", statement)
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

    story.step("What is left to read")
    story.show("SELECT event_created, action, subject, event_id FROM audit_logs\n"
               " WHERE user_id = 'user_ada' ORDER BY event_created, event_id")
    story.show("SELECT outcome, count(*) AS events, sum(duplicates) AS duplicates FROM stripe_events GROUP BY outcome")


def main(arguments):
    keep = "--keep" in arguments
    cluster = Cluster(keep=keep, fsync=True).start()
    worker = None
    try:
        version, = cluster.execute("SHOW server_version")[0]
        cluster.create_database("demo")
        cluster.execute("CREATE EXTENSION pg_billing; CREATE ROLE billing_worker LOGIN;"
                        "SELECT grant_billing_role('billing_worker', 'worker')", "demo")
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
