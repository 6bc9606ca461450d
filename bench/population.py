"""Many customers at once: one customer's life goes through the events' processing, and its rows are copied for the others,
names replaced. So the rows are real ones, and a million customers take minutes."""
import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import time

from harness.life import Life, event, flat
from harness.objects import DAY, NEW, PRO

# Users are numbers, which pgbench can draw; in all that is made here only these have eight digits and begin so.
FIRST = 73_190_000
FIRST_NEWCOMER = 95_190_000
TEMPLATE = str(FIRST)
NEWCOMER = str(FIRST_NEWCOMER)
CHUNK = 2000  # customers in one COPY
PRICE = dataclasses.replace(PRO, metadata={"credits": "100000000"})
PLANS = """
SELECT upsert_plan('{"id": "free", "default": true, "features": {"messages": {"limit": 50, "window": "month"}}}');
SELECT upsert_plan('{"id": "pro", "rank": 10, "prices": [{"price_id": "price_pro_monthly"}], "features": {
    "messages": {"limit": 1000, "window": "month"}, "export": true, "seats": {"limit": 3}}}');
"""


def name(number, first=FIRST):
    """Ids sort as they came, as Stripe's do."""
    return str(first + number)


def history(customer):
    """Ten events: a customer who subscribed seventy days ago and has paid three times since."""
    life = Life(customer, items=((PRICE, 1),), start=int(time.time()) - 70 * DAY)
    events = flat([life.customer_created(metadata={"user_id": customer}), life.subscribed(), life.first_invoice()])
    for _ in range(2):
        life.advance(days=30)
        events += life.renewed()
    return life, events


def catalogue(database):
    database.grant_since_ever()
    database.execute(PLANS)
    database.process(event("evt_price", "price.created", PRICE.json(NEW), int(time.time()) - 100 * DAY))


def fill(database, count, tell=lambda text: None):
    """So many customers of ten events each, named name(0) and on, with two lots of credits (the subscription's and a pack)
    and some usage of a feature that has a cap."""
    catalogue(database)
    life, events = history(TEMPLATE)
    outcomes = database.outcomes(*events)
    if set(outcomes) != {"processed"}:
        raise RuntimeError(f"the template's events were {outcomes}")
    database.execute("SELECT grant_credits(%s, 100000000, category => 'paid'), use_feature(%s, 'messages')", (TEMPLATE, TEMPLATE))
    rows = template_rows(database)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = [range(first, min(first + CHUNK, count)) for first in range(1, count, CHUNK)]
        for numbers, _ in zip(chunks, pool.map(lambda numbers: copy_customers(database, rows, numbers), chunks)):
            if numbers.stop == count or numbers.stop % 100_000 == 1:
                tell(f"{numbers.stop} customers")
    database.execute("VACUUM (ANALYZE)")
    database.execute("CHECKPOINT")
    return life


def copy_customers(database, rows, numbers):
    """The template's rows for each of these numbers, through a connection of its own."""
    with contextlib.closing(database.connect()) as connection:
        for table, text in rows.items():
            copy_in(connection, table, "".join(text.replace(TEMPLATE, name(number)) for number in numbers))


def tables(database):
    """The extension's tables that hold rows, partitions as the whole that they are of."""
    return [row["name"] for row in database.rows("""
        SELECT c.oid::regclass::text AS name FROM pg_class c
          JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
         WHERE x.extname = 'pg_billing' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1""")]


def copy_out(database, table, condition="true"):
    """The rows as COPY writes them, without columns that are computed from the others."""
    columns = database.value("""SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                                 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''""", (table,))
    text = io.StringIO()
    with database.connection.cursor() as cursor:
        cursor.copy_expert(f"COPY (SELECT {columns} FROM {table} t WHERE {condition}) TO STDOUT", text)
    return text.getvalue()


def copy_in(connection, table, text):
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))


def template_rows(database):
    """{table: the template's rows as COPY writes them}"""
    found = {table: copy_out(database, table, f"t::text LIKE '%{TEMPLATE}%'") for table in tables(database)}
    return {table: text for table, text in found.items() if text}


class Arrivals:
    """Batches of fifty events: ten newcomers with four each, and ten changes of customers who are there."""

    def __init__(self, count, life):
        self.count = count
        self.newcomers = 0
        self.changes = 0
        newcomer = Life(NEWCOMER, items=((PRICE, 1),))
        self.joining = [json.dumps(one, indent=2) for one in flat(
            [newcomer.customer_created(metadata={"user_id": NEWCOMER}), newcomer.subscribed(), newcomer.first_invoice()])]
        changed = life.update(metadata={"user_id": TEMPLATE, "turn": "TURN"})
        changed["id"], changed["created"] = "evt_96", -1
        self.change = json.dumps(changed, indent=2).replace('"created": -1', '"created": CREATED')
        self.began = life.clock

    def batch(self, chance):
        events = []
        for _ in range(10):
            self.newcomers += 1
            events += [text.replace(NEWCOMER, name(self.newcomers, FIRST_NEWCOMER)) for text in self.joining]
            self.changes += 1
            events.append(self.change.replace('"evt_96"', f'"evt_96{self.changes:010d}"').replace("TURN", str(self.changes))
                          .replace("CREATED", str(self.began + self.changes)).replace(TEMPLATE, name(chance.randrange(self.count))))
        return events
