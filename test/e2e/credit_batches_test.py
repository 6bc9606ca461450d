"""A batch does what its requests would do one by one, whatever its tables are like."""
import contextlib
import hashlib
import json
import random
import threading
import time

import psycopg2
import pytest

USERS = ("ada", "bob", "eve", "nobody")
NONE = ""
TRIGGER = """
CREATE FUNCTION {s}.note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('test.rows', (coalesce(nullif(current_setting('test.rows', true), ''), '0')::bigint + 1)::text, false);
    RETURN NEW;
END $$;
CREATE TRIGGER noted BEFORE INSERT ON {s}.credit_requests FOR EACH ROW EXECUTE FUNCTION {s}.note_row();
CREATE TRIGGER noted BEFORE INSERT ON {s}.credit_transactions FOR EACH ROW EXECUTE FUNCTION {s}.note_row();
CREATE TRIGGER noted BEFORE INSERT ON {s}.credit_burns FOR EACH ROW EXECUTE FUNCTION {s}.note_row();
"""
COLUMN = """
ALTER TABLE {s}.credit_requests ADD COLUMN seen text NOT NULL DEFAULT 'by ' || current_user;
ALTER TABLE {s}.credit_transactions ADD COLUMN half bigint GENERATED ALWAYS AS (amount / 2) STORED;
"""
INDEX = """
CREATE INDEX ON {s}.credit_requests (lower(operation)) WHERE answer ->> 'status' = 'charged';
CREATE UNIQUE INDEX ON {s}.credit_burns (user_id, transaction_id, position);
"""


def requests(seed, count):
    """With keys that come again, some of them for something else, partial ones, refusals, and rows that are toasted."""
    rng = random.Random(seed)
    made = []
    for n in range(count):
        request = {"user_id": rng.choice(USERS), "amount": rng.choice((1, 1, 2, 5, 40))}
        if rng.random() < 0.8:
            request["idempotency_key"] = f"key \"{rng.randrange(count)}\""
        if rng.random() < 0.5:
            request["description"] = rng.choice(("story", "Grüße,\t\"quoted\" \\ and\x7f \U0001f600 \x01", "x" * 1000))
        if rng.random() < 0.2:
            request["mode"] = rng.choice(("partial", "reject", None))
        if rng.random() < 0.2:
            request["actor_id"] = "zoe"
        if rng.random() < 0.2:
            noise = "".join(hashlib.sha256(f"{seed} {n} {i}".encode()).hexdigest() for i in range(rng.choice((1, 220))))
            request["metadata"] = {"n": n, "f": 1.5, "big": 2 ** 63, "noise": noise, "deep": [{"a": None}, True]}
        made.append(request)
    return made


def fill(database):
    for user in USERS[:3]:
        for amount, priority in ((60, 50), (35, 10), (500, 90)):
            database.execute("SELECT {s}.grant_credits(%s, %s, priority => %s)", (user, amount, priority))


def batch(database, uses, **how):
    rows = database.rows("SELECT ordinal, result FROM {s}.use_credits_batch(%s) ORDER BY ordinal", (json.dumps(uses),), **how)
    assert [row["ordinal"] for row in rows] == list(range(1, len(uses) + 1))
    return [row["result"] for row in rows]


def one_by_one(database, uses):
    return [database.value("SELECT {s}.use_credits_validated(%s, %s, %s, %s, %s, %s, %s)", (
        use["user_id"], use["amount"], use.get("description"), use.get("idempotency_key"), json.dumps(use.get("metadata", {})),
        use.get("mode") or "reject", use.get("actor_id"))) for use in uses]


def content(database):
    """All but the times."""
    return {table: sorted(json.dumps(row["line"], sort_keys=True) for row in database.rows(
        f"SELECT to_jsonb(t) - '{{created_at,effective_at,last_entry_at,next_due_at,seen,half}}'::text[] AS line FROM {{s}}.{table} t"))
            for table in ("credit_accounts", "credit_grants", "credit_transactions", "credit_burns", "credit_requests")}


def test_what_makes_a_request_the_same_is_kept_as_ever(database):
    """A hash that was stored by an earlier version is compared with one that is made now."""
    fill(database)
    uses = [{**use, "user_id": "ada", "amount": 1, "idempotency_key": str(n)} for n, use in enumerate(requests(7, 60))]
    batch(database, uses[:30])
    one_by_one(database, uses[30:])
    for use in uses:
        body = {"actor_id": use.get("actor_id", ""), "amount": 1, "description": use.get("description", ""),
                "metadata": use.get("metadata", {}), "mode": use.get("mode") or "reject"}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert database.value("SELECT request_hash FROM {s}.credit_requests WHERE idempotency_key = %s", (use["idempotency_key"],)) == (
            hashlib.sha256(text.encode()).hexdigest()), use


@pytest.mark.parametrize("change", (NONE, TRIGGER, COLUMN, INDEX), ids=("plain", "trigger", "column", "index"))
def test_a_batch_does_what_its_requests_do_one_by_one(databases, change):
    expected, found = databases(), databases()
    if change:
        found.execute(change)
    for database in (expected, found):
        fill(database)
    for seed, size in enumerate((1, 2, 3, 50, 120, 50)):
        uses = requests(seed % 5, size)  # the last ones have all been asked before
        assert batch(found, uses) == one_by_one(expected, uses)
    assert content(found) == content(expected)
    assert found.rows("SELECT * FROM {s}.verify_credit_ledger()") == []
    if change == TRIGGER:
        written = sum(found.value(f"SELECT count(*) FROM {{s}}.{table}") for table in ("credit_requests", "credit_transactions", "credit_burns"))
        assert int(found.value("SELECT current_setting('test.rows')")) == written
    if change == COLUMN:
        assert found.value("SELECT count(*) FROM {s}.credit_requests WHERE seen IS DISTINCT FROM 'by ' || current_user") == 0
        assert found.value("SELECT count(*) FROM {s}.credit_transactions WHERE half IS DISTINCT FROM amount / 2") == 0
    if change == INDEX:  # all entries are in it, and none twice
        found.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        by_index = found.value("SELECT count(*) FROM {s}.credit_requests WHERE lower(operation) = 'use_credits' AND answer ->> 'status' = 'charged'")
        found.execute("RESET enable_seqscan; RESET enable_bitmapscan")
        assert by_index == found.value("SELECT count(*) FROM {s}.credit_requests WHERE answer ->> 'status' = 'charged'") > 0


@pytest.mark.parametrize("value, message", (
    ("[" * 64 + "]" * 64, "json is nested deeper than 64 levels"),
    ("[" * 3000 + "]" * 3000, "json is nested deeper than 64 levels"),
    ("1e400", "json holds a number that is out of range"),
))
def test_a_batch_that_cannot_be_kept(database, value, message):
    fill(database)
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=f"unusable requests: {message}"):
        database.value("SELECT result FROM {s}.use_credits_batch(%s)", (f'[{{"user_id": "ada", "amount": 1, "metadata": {{"v": {value}}}}}]',))
    assert batch(database, [{"user_id": "ada", "amount": 1, "metadata": {"v": json.loads("[" * 60 + "]" * 60)}}])[0]["success"]


def test_a_constraint_that_was_added_undoes_all_of_a_batch(database):
    fill(database)
    assert batch(database, [{"user_id": "ada", "amount": 1}])[0]["success"]
    before = content(database)
    database.execute("ALTER TABLE {s}.credit_transactions ADD CONSTRAINT no_stories CHECK (description <> 'story')")
    uses = [{"user_id": "ada", "amount": 1, "description": text, "idempotency_key": text} for text in ("one", "story", "two")]
    with pytest.raises(psycopg2.errors.CheckViolation, match="no_stories"):
        batch(database, uses)
    assert content(database) == before
    database.execute("ALTER TABLE {s}.credit_transactions DROP CONSTRAINT no_stories")
    assert [answer["status"] for answer in batch(database, uses)] == ["charged"] * 3


@pytest.mark.parametrize("end", ("commit", "rollback"))
def test_a_key_that_another_is_about_to_use(database, end):
    """What is counted has a lock of its own, so that the same key may come to both at once."""
    fill(database)
    before = content(database)
    uses = [{"user_id": "ada", "amount": 1, "idempotency_key": key} for key in ("c", "a", "b")]
    outcome = []

    def charge():
        with contextlib.closing(database.connect()) as second:
            try:
                outcome.append([answer["status"] for answer in batch(database, uses, connection=second)])
            except psycopg2.Error as error:
                outcome.append(error.pgcode)

    with contextlib.closing(database.connect()) as first:
        first.autocommit = False
        database.execute("INSERT INTO {s}.credit_requests (user_id, idempotency_key, operation, request_hash, answer)"
                         " VALUES ('ada', 'b', 'use_feature', '', '{}')", connection=first)
        thread = threading.Thread(target=charge)
        thread.start()
        deadline = time.monotonic() + 20
        while not database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert time.monotonic() < deadline and thread.is_alive(), outcome
            time.sleep(0.01)
        getattr(first, end)()
        thread.join()
    if end == "rollback":
        assert outcome == [["charged"] * 3]
    else:
        assert outcome == ["40001"]
        assert {**content(database), "credit_requests": []} == before


def test_keys_are_found_however_the_table_looked_when_it_was_first_asked(database):
    """A plan made for an empty table would read every key of the account for each request of a batch."""
    fill(database)
    database.execute("VACUUM ANALYZE {s}.credit_requests")
    batch(database, [{"user_id": "ada", "amount": 1, "idempotency_key": f"first {n}"} for n in range(2)])
    database.execute("INSERT INTO {s}.credit_requests (user_id, idempotency_key, operation, request_hash, answer)"
                     " SELECT 'ada', n::text, 'use_credits', '', '{}' FROM generate_series(1, 20000) n")
    database.execute("SELECT pg_stat_force_next_flush()")
    read = "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelid = '{s}.credit_requests_pkey'::regclass"
    before = database.value(read)
    batch(database, [{"user_id": "ada", "amount": 1, "idempotency_key": f"second {n}"} for n in range(2)])
    database.execute("SELECT pg_stat_force_next_flush()")
    assert database.value(read) - before < 100
