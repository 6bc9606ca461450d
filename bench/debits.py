"""Using credits, durably: spread over many accounts, and all from one."""
from . import population
from .comparison import Comparison, Side
from .pgbench import run
from .stand import APPLICATION

ACCOUNTS = 50_000
FIRST, LAST = population.FIRST, population.FIRST + ACCOUNTS - 1
HOT = LAST  # an account that is in nobody else's range
BATCH = 50

# By hand, two ways. The simple one keeps a balance and a ledger.
SIMPLE = f"""
CREATE TABLE bench.balances (user_id text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)) WITH (fillfactor = 70);
CREATE TABLE bench.ledger (user_id text NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, amount bigint NOT NULL,
    balance_after bigint NOT NULL, description text, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (user_id, id));
INSERT INTO bench.balances SELECT n::text, 100000000 FROM generate_series({FIRST}, {LAST}) n;
GRANT SELECT, INSERT, UPDATE ON bench.balances, bench.ledger TO {APPLICATION};
"""

# The other does what use_credits_validated does, on tables of the same shape, constraints and indexes: a lock,
# idempotency, the subscription, lots in burn order with their expiry, a ledger, and what burnt what.
SAME = f"""
CREATE TABLE bench.accounts (LIKE credit_accounts INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE bench.lots (LIKE credit_grants INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE bench.transactions (LIKE credit_transactions INCLUDING ALL);
CREATE TABLE bench.burns (LIKE credit_burns INCLUDING ALL);
CREATE TABLE bench.requests (LIKE credit_requests INCLUDING ALL);
INSERT INTO bench.accounts SELECT * FROM credit_accounts;
INSERT INTO bench.lots SELECT * FROM credit_grants;
INSERT INTO bench.transactions SELECT * FROM credit_transactions;
INSERT INTO bench.burns SELECT * FROM credit_burns;
INSERT INTO bench.requests SELECT * FROM credit_requests;

CREATE FUNCTION bench.use_credits(user_id text, amount bigint, description text, idempotency_key text, metadata jsonb DEFAULT '{{}}')
    RETURNS jsonb LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    hash    text := encode(sha256(convert_to(jsonb_build_array(use_credits.amount, use_credits.description, use_credits.metadata)::text, 'UTF8')), 'hex');
    account record;
    before  record;
    lot     record;
    now     timestamptz;
    access  boolean;
    missing bigint := use_credits.amount;
    burnt   bigint;
    burns   jsonb := '[]';
    free    bigint := 0;
    number  bigint;
    bound   bigint := 0;
    place   integer := 0;
    answer  jsonb;
BEGIN
    IF use_credits.amount IS NULL OR use_credits.amount < 1 THEN
        RAISE EXCEPTION 'amount must be at least 1';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(use_credits.user_id, 0));
    SELECT a.balance, a.held, a.debt, a.subscription_credits, a.next_due_at, a.last_transaction_id INTO account
      FROM bench.accounts a WHERE a.user_id = use_credits.user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'status', 'insufficient_credits', 'reason', 'unknown_user');
    END IF;
    SELECT r.request_hash, r.answer INTO before
      FROM bench.requests r WHERE r.user_id = use_credits.user_id AND r.idempotency_key = use_credits.idempotency_key;
    IF FOUND THEN
        IF before.request_hash = hash THEN
            RETURN before.answer;
        END IF;
        RETURN jsonb_build_object('success', false, 'status', 'exists_with_different_request');
    END IF;
    now := clock_timestamp();
    IF account.next_due_at <= now THEN
        RAISE EXCEPTION 'what lapses is not part of this';
    END IF;
    SELECT coalesce(bool_or(s.status IN ('active', 'trialing') AND s.current_period_end > now), false) INTO access
      FROM public.user_subscriptions s WHERE s.user_id = use_credits.user_id;
    number := account.last_transaction_id + 1;
    FOR lot IN
        SELECT l.grant_id, l.remaining - l.held AS free, l.requires_subscription FROM bench.lots l
         WHERE l.user_id = use_credits.user_id AND l.live AND l.started AND (l.expires_at IS NULL OR l.expires_at > now)
           AND (access OR NOT l.requires_subscription)
         ORDER BY l.priority, l.expires_at NULLS LAST, l.created_at, l.grant_id FOR NO KEY UPDATE
    LOOP
        free := free + lot.free;
        IF missing > 0 AND lot.free > 0 THEN
            burnt := least(missing, lot.free);
            UPDATE bench.lots l SET remaining = l.remaining - burnt, spent = l.spent + burnt, live = l.remaining > burnt
             WHERE l.user_id = use_credits.user_id AND l.grant_id = lot.grant_id;
            place := place + 1;
            INSERT INTO bench.burns VALUES (use_credits.user_id, number, lot.grant_id, burnt, place);
            burns := burns || jsonb_build_object('grant_id', lot.grant_id, 'amount', burnt);
            bound := bound + CASE WHEN lot.requires_subscription THEN burnt ELSE 0 END;
            missing := missing - burnt;
        END IF;
    END LOOP;
    IF missing > 0 OR account.debt > 0 THEN
        RAISE EXCEPTION 'insufficient credits';
    END IF;
    UPDATE bench.accounts a SET balance = a.balance - use_credits.amount, last_transaction_id = number, last_entry_at = now,
           subscription_credits = a.subscription_credits - bound
     WHERE a.user_id = use_credits.user_id;
    INSERT INTO bench.transactions (user_id, transaction_id, transaction_type, amount, balance_after, description, idempotency_key,
                                    metadata, effective_at, created_at)
    VALUES (use_credits.user_id, number, 'usage', -use_credits.amount, account.balance - use_credits.amount, use_credits.description,
            use_credits.idempotency_key, use_credits.metadata, now, now);
    answer := jsonb_build_object('success', true, 'status', 'charged', 'transaction_id', number, 'charged', use_credits.amount,
                                 'balance', account.balance - use_credits.amount, 'held', account.held,
                                 'available', free - use_credits.amount, 'burns', burns);
    INSERT INTO bench.requests VALUES (use_credits.user_id, use_credits.idempotency_key, 'use_credits', hash, answer);
    RETURN answer;
END
$$;
"""

KEY = "\\set k random(1, 1000000000000000000)\n"
OURS = "SELECT use_credits_validated({user}, 1, 'story', :k);\n"
SAME_CALL = "SELECT bench.use_credits({user}, 1, 'story', :k);\n"
CTE = ("WITH taken AS (UPDATE bench.balances SET balance = balance - 1 WHERE user_id = {user} AND balance >= 1 RETURNING user_id, balance) "
       "INSERT INTO bench.ledger (user_id, amount, balance_after, description) SELECT user_id, -1, balance, 'story' FROM taken RETURNING balance_after;\n")
TWO = ("BEGIN;\nUPDATE bench.balances SET balance = balance - 1 WHERE user_id = {user} AND balance >= 1 RETURNING balance AS left \\gset\n"
       "INSERT INTO bench.ledger (user_id, amount, balance_after, description) VALUES ({user}, -1, :left, 'story');\nCOMMIT;\n")
MANY = ("SELECT result -> 'success' FROM use_credits_batch((SELECT jsonb_agg(jsonb_build_object('user_id', {user}, 'amount', 1, "
        f"'description', 'story', 'idempotency_key', :k || '-' || n)) FROM generate_series(1, {BATCH}) n));\n")
ONE_EACH = f"""
DO $$ BEGIN
    FOR one IN {FIRST} .. {LAST} BY 1000 LOOP
        PERFORM bench.use_credits(n::text, 1, 'story', 'warm ' || gen_random_uuid()),
                use_credits_validated(n::text, 1, 'story', 'warm ' || gen_random_uuid())
           FROM generate_series(one, one + 999) n;
        WITH taken AS (UPDATE bench.balances SET balance = balance - 1
                        WHERE user_id IN (SELECT n::text FROM generate_series(one, one + 999) n) RETURNING user_id, balance)
        INSERT INTO bench.ledger (user_id, amount, balance_after, description) SELECT user_id, -1, balance, 'story' FROM taken;
        COMMIT;
    END LOOP;
END $$"""


def comparisons(stand):
    database = stand.customers(ACCOUNTS)
    stand.schema(database, SIMPLE)
    stand.schema(database, SAME)
    anyone = f"\\set u random({FIRST}, {LAST - 1})\n"

    def spread(label, text):
        script = KEY + anyone + text.format(user=":u")
        return Side(label, lambda seconds: run(database, script, seconds, user=APPLICATION))

    def hot(label, text, each=1):
        script = KEY + text.format(user=f"'{HOT}'")
        return Side(label, lambda seconds: each * run(database, script, seconds, clients=16, user=APPLICATION))

    def prepare():
        for answer in (f"use_credits_validated('{FIRST}', 1, 'story', 'first')", f"bench.use_credits('{FIRST}', 1, 'story', 'first')"):
            if database.value(f"SELECT {answer} ->> 'status'") != "charged":
                raise RuntimeError(f"{answer} does not charge")
        # The first change of a page after a checkpoint writes the whole page to the log. Here every page is changed
        # once beforehand, on all sides, as it would be most of the time between two checkpoints.
        database.execute("CHECKPOINT")
        database.execute(ONE_EACH)

    yield Comparison(
        "debits/spread", f"a debit of one of {ACCOUNTS} accounts, with checks, lots and idempotency, 8 clients", "debits/s",
        spread("use_credits_validated", OURS), [spread("CTE: conditional UPDATE + INSERT", CTE), spread("plpgsql, the same", SAME_CALL)],
        {"CTE: conditional UPDATE + INSERT": 0.8, "plpgsql, the same": 1.5}, prepare=prepare)
    yield Comparison(
        "debits/hot", "debits of one account, 16 clients", "debits/s", hot("use_credits_validated", OURS),
        [hot("conditional UPDATE + INSERT", TWO), hot("CTE: conditional UPDATE + INSERT", CTE), hot("plpgsql, the same", SAME_CALL)],
        {"conditional UPDATE + INSERT": 1.1}, prepare=prepare)
    yield Comparison(
        "debits/batch", f"debits of one account, {BATCH} at a time, 16 clients", "debits/s", hot("use_credits_batch", MANY, BATCH),
        [hot("single calls", OURS)], {"single calls": 10}, prepare=prepare)
