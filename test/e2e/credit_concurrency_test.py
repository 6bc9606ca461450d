"""One invoice, many tellings at once: by both of its events, by copies of them, by hand. It grants once."""
import contextlib
import threading

import psycopg2

from credit_grants_test import NOW, SOLO, balance, charge, settle, started
from harness.life import event

RECONCILIATION = """
SELECT
  ct.user_id,
  SUM(ct.amount) FILTER (WHERE ct.transaction_type = 'allocation') as allocated,
  SUM(ct.amount) FILTER (WHERE ct.transaction_type = 'usage') as used,
  SUM(ct.amount) as balance
FROM credit_transactions ct
WHERE ct.created_at > NOW() - INTERVAL '1 week'
GROUP BY ct.user_id
HAVING SUM(ct.amount) < 0;
"""


def at_once(database, works):
    """Runs each piece of work in a session of its own, all starting together; returns what went wrong."""
    start, failures = threading.Barrier(len(works)), []

    def run(work):
        try:
            with contextlib.closing(database.connect()) as connection:
                connection.autocommit = True
                start.wait()
                work(connection)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_an_invoice_told_and_granted_at_once_grants_once(database):
    database.grant_since_ever()
    for number in range(25):
        life, first = started(f"c{number}")
        paid, succeeded = life.first_invoice()
        database.process(*first)
        copies = [paid, succeeded, {**paid, "id": f"evt_copy_{number}"}, {**succeeded, "id": f"evt_other_{number}"}]

        def tell(one):
            return lambda connection: database.process(one, connection=connection)

        def by_hand(connection, number=number):
            database.value("SELECT {s}.add_subscription_credits(%s, %s, %s, 30, 'by hand')",
                           (f"cus_c{number}", f"in_c{number}_1", f"sub_c{number}"), connection)

        failures = at_once(database, [*map(tell, copies), by_hand])
        assert not failures, failures
    settle(database)
    assert database.rows("SELECT user_id, count(*) AS grants, sum(amount) AS credits FROM {s}.credit_grants"
                         " GROUP BY user_id HAVING count(*) <> 1 OR sum(amount) <> 30") == []
    assert database.value("SELECT count(*) FROM {s}.credit_grants") == 25
    assert database.unsound_credits() == []


def test_debits_refunds_and_events_of_one_user_at_once(database):
    """Applications charge while Stripe renews and refunds: nobody waits for anybody's deadlock, and it adds up."""
    database.grant_since_ever()
    life, first = started("busy", start=NOW - 40 * 86400)
    database.process(*first, *life.first_invoice())
    database.value("SELECT {s}.grant_credits('user_busy', 1000)")
    life.clock = NOW - 3600
    renewals = [one for _ in range(3) for one in life.renewed()]
    refund = event("evt_refund", "charge.refunded", charge(life, 1, amount_refunded=450), life.clock)
    charged = []

    def spend(connection):
        for _ in range(40):
            answer = database.value("SELECT {s}.use_credits_validated('user_busy', 3)", connection=connection)
            if answer["success"]:
                charged.append(3)

    def renew(connection):
        for one in renewals:
            while True:
                try:
                    database.process(one, connection=connection)
                    break
                except psycopg2.Error as error:
                    assert error.pgcode[:2] == "40" and error.pgcode != "40P01", error

    failures = at_once(database, [*[spend] * 6, renew,
                                  lambda connection: database.process(refund, connection=connection)])
    assert not failures, failures
    settle(database)
    assert len(charged) == 240
    assert database.unsound_credits() == []
    assert database.value("SELECT sum(spent) FROM {s}.credit_grants") == 720
    # The weekly check of an existing back end runs as it stands, and finds nothing.
    assert database.rows(RECONCILIATION) == []
    assert balance(database, "user_busy")["debt"] == 0
