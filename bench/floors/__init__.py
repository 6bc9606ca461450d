"""The least that any receiver must do with an event, done by pgbench directly on the database: the payload stored once, the
customer's row updated. Floor A as most would write it, in four round trips; floor B in one statement."""
import itertools
import pathlib

from bench import events, pgbench
from harness.database import Database

HERE = pathlib.Path(__file__).resolve().parent
A, B = "floor A", "floor B"
SCRIPTS = {A: (HERE / "a.sql").read_text(), B: (HERE / "b.sql").read_text()}
CUSTOMERS = 50_000


class Floors:
    def __init__(self, stand):
        self.database = Database(stand.cluster, schema=None)
        stand.cluster.psql(self.database.name, "-v", f"customers={CUSTOMERS}", "-f", str(HERE / "tables.sql"))
        self.database.execute("VACUUM (ANALYZE)")
        size = sum(map(len, events.sample()))
        mean = size / events.STEPS
        # A real event, as compressible as those that the others get, nearest to their mean size.
        self.payload = min(events.sample(), key=lambda text: abs(len(text) - mean))
        self.runs = itertools.count(1)

    def measure(self, floor, seconds, clients, **options):
        """As pgbench.measure. Every event has an id of its own, and events that are under way at once other customers."""
        variables = {"run": 1_000_000 + next(self.runs), "n": 0, "customers": CUSTOMERS, "payload": self.payload}
        return pgbench.measure(self.database, SCRIPTS[floor], seconds, clients=clients, variables=variables, **options)

    def rate(self, floor, clients):
        return lambda seconds: self.measure(floor, seconds, clients)["tps"]
