"""May the user do this, and how much of it is left: asked before every such action."""
from . import population
from .comparison import Comparison, Side
from .pgbench import run
from .stand import APPLICATION

ACCOUNTS = 50_000
FIRST, LAST = population.FIRST, population.FIRST + ACCOUNTS - 1

# By hand: what each user has of each feature, kept ready in one row, as whoever has no plans would.
READY = f"""
CREATE TABLE bench.entitlements (user_id text NOT NULL, feature text NOT NULL, allowed boolean NOT NULL, quota bigint, used bigint,
    resets_at timestamptz, PRIMARY KEY (user_id, feature));
INSERT INTO bench.entitlements SELECT n::text, f, true, 1000, 1, now() + interval '1 month'
  FROM generate_series({FIRST}, {LAST}) n, unnest(ARRAY['messages', 'export', 'seats']) f;
GRANT SELECT ON bench.entitlements TO {APPLICATION};
"""


def comparisons(stand):
    database = stand.customers(ACCOUNTS)
    stand.schema(database, READY)

    def prepare():
        stand.cache(database)
        answer = database.value("SELECT check_entitlement(%s, 'messages')", (str(FIRST),))
        if not answer["allowed"] or answer["used"] != 1 or answer["limit"] != 1000:
            raise RuntimeError(f"an unexpected answer: {answer}")

    def side(label, text):
        script = f"\\set u random({FIRST}, {LAST})\n{text};\n"
        return Side(label, lambda seconds: run(database, script, seconds, user=APPLICATION))

    ready = side("SELECT of a ready row", "SELECT allowed, quota, used, resets_at FROM bench.entitlements WHERE user_id = :u AND feature = 'messages'")
    yield Comparison("entitlements/check", "check_entitlement of a feature with a monthly cap, 8 clients", "tx/s",
                     side("check_entitlement", "SELECT check_entitlement(:u, 'messages')"), [ready], {ready.label: 0.8}, prepare=prepare)
