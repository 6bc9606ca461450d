"""Work on everything at once, beside COPY of the rows that come of it: a rebuild from the stored events, and an import."""
import json
import time

from . import population
from .comparison import Comparison, Side
from .stand import WORKER

CUSTOMERS = 2_000
PAGE = 100
# What a rebuild computes from the stored events.
REBUILT = ["stripe_objects", "stripe_customer_links", "user_subscriptions", "trial_usage", "audit_logs", "payments", "credit_grants"]


def rows_of(database, tables):
    return {table: text for table in tables if (text := population.copy_out(database, table))}


def count(rows):
    return sum(text.count("\n") for text in rows.values())


class Copies:
    """COPY of rows into the same tables of an empty database, keys and indexes included."""

    def __init__(self, stand, rows):
        self.stand, self.rows = stand, rows

    def measure(self, _):
        database = self.stand.empty()
        try:
            database.execute("TRUNCATE " + ", ".join(self.rows))
            began = time.perf_counter()
            with database.connect(autocommit=False) as connection, connection.cursor() as cursor:
                for table, text in self.rows.items():
                    cursor.copy_expert(f"COPY {table} FROM STDIN", population.io.StringIO(text))
            connection.close()
            return count(self.rows) / (time.perf_counter() - began)
        finally:
            database.drop()


def rebuild(stand):
    database = stand.empty()
    population.fill(database, CUSTOMERS)
    rows = rows_of(database, REBUILT)

    def measure(_):
        began = time.perf_counter()
        found = database.rows("SELECT * FROM rebuild_billing_state(apply => true)")
        spent = time.perf_counter() - began
        if found:
            raise RuntimeError(f"a rebuild found {len(found)} differences, the first {found[0]}")
        return count(rows) / spent

    return Comparison("bulk/rebuild", f"rebuild_billing_state of {10 * CUSTOMERS} events: rows that it computes", "rows/s",
                      Side("rebuild_billing_state", measure), [Side("COPY of the same rows", Copies(stand, rows).measure)])


def objects():
    """What Stripe's lists have of so many customers: pages of customers, then of subscriptions, then of invoices."""
    life, events = population.history(population.TEMPLATE)
    latest = {}
    for one in events:
        latest[one["data"]["object"]["id"]] = one["data"]["object"]
    kinds = [[json.dumps(one) for one in latest.values() if one["object"] == kind] for kind in ("customer", "subscription", "invoice")]
    pages = []
    for templates in kinds:
        texts = [text.replace(population.TEMPLATE, population.name(number)) for number in range(CUSTOMERS) for text in templates]
        pages += ["[" + ",".join(texts[i:i + PAGE]) + "]" for i in range(0, len(texts), PAGE)]
    return pages


def begin_import(database, connection):
    run = database.value("SELECT begin_stripe_sync(false, 'bench') ->> 'run_id'", connection=connection)
    return database.value("SELECT began_at FROM stripe_sync_runs WHERE run_id = %s", (run,))


def import_pages(database, pages):
    began_at = begin_import(database, database.connect(user=WORKER))
    options = json.dumps({"api_version": population.NEW, "livemode": False, "endpoint": "sync",
                          "import_began": int(began_at.timestamp()), "grants": "current-period"})
    began = time.perf_counter()
    for page in pages:
        answer = database.value("SELECT apply_imported_objects(%s, now(), %s)", (page, options))
        if set(answer["outcomes"]) != {"processed"}:
            raise RuntimeError(f"an import answered {answer}")
    return time.perf_counter() - began


def imported(stand):
    pages = objects()

    def fresh():
        database = stand.empty()
        population.catalogue(database)
        return database

    database = fresh()
    before = count(rows_of(database, population.tables(database)))
    import_pages(database, pages)
    rows = rows_of(database, population.tables(database))
    made = count(rows) - before
    database.drop()

    def measure(_):
        database = fresh()
        try:
            return made / import_pages(database, pages)
        finally:
            database.drop()

    return Comparison("bulk/import", f"an import's pages of {PAGE} objects, {CUSTOMERS} customers: rows that it writes", "rows/s",
                      Side("apply_imported_objects", measure), [Side("COPY of the same rows", Copies(stand, rows).measure)])


def comparisons(stand):
    yield rebuild(stand)
    yield imported(stand)
