"""May the user do this, and how much of it is left: asked before every such action."""
from .comparison import Comparison, Side
from .pgbench import run
from .stand import APPLICATION, settle

ACCOUNTS = 50_000

# By hand: what each user has of each feature, kept ready in one row, as whoever has no plans would.
READY = f"""
CREATE TABLE bench.entitlements (user_id text NOT NULL, feature text NOT NULL, allowed boolean NOT NULL, quota bigint, used bigint,
    resets_at timestamptz, PRIMARY KEY (user_id, feature));
INSERT INTO bench.entitlements SELECT n::text, f, true, 1000, 1, now() + interval '1 month'
  FROM generate_series(1, {ACCOUNTS}) n, unnest(ARRAY['messages', 'export', 'seats']) f;
GRANT SELECT ON bench.entitlements TO {APPLICATION};
"""
PLANS = """
SELECT upsert_plan('{"id": "free", "default": true, "features": {"messages": {"limit": 50, "window": "month"}}}');
SELECT upsert_plan('{"id": "pro", "rank": 10, "prices": [{"price_id": "price_pro_monthly"}], "features": {
    "messages": {"limit": 1000, "window": "month"}, "export": true, "seats": {"limit": 3}}}');
"""


def comparisons(stand):
    database = stand.customers(ACCOUNTS)
    stand.schema(database, READY)

    def prepare():
        database.execute(PLANS)
        database.execute("SELECT use_feature(u.user_id, 'messages') FROM billing_users u"
                         " WHERE NOT EXISTS (SELECT FROM usage_windows w WHERE w.user_id = u.user_id)")
        settle(database)
        answer = database.value("SELECT check_entitlement('1', 'messages')")
        if not answer["allowed"] or answer["used"] != 1 or answer["limit"] != 1000:
            raise RuntimeError(f"an unexpected answer: {answer}")

    def side(label, text):
        script = f"\\set u random(1, {ACCOUNTS})\n{text};\n"
        return Side(label, lambda seconds: run(database, script, seconds, user=APPLICATION))

    ready = side("SELECT of a ready row", "SELECT allowed, quota, used, resets_at FROM bench.entitlements WHERE user_id = :u AND feature = 'messages'")
    yield Comparison("entitlements/check", "check_entitlement of a feature with a monthly cap, 8 clients", "tx/s",
                     side("check_entitlement", "SELECT check_entitlement(:u, 'messages')"), [ready], {ready.label: 0.8}, prepare=prepare)
