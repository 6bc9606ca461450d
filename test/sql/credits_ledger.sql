\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set credits :source '/sql/include/credits.sql'
\i :credits
\set ECHO all
-- Every row of credits, times of changes included: what must not change when a request is made again.
CREATE FUNCTION t.rows() RETURNS TABLE (place text, line text) LANGUAGE sql AS $$
SELECT 'account', a::text FROM credit_accounts a
UNION ALL SELECT 'grant', g::text FROM credit_grants g
UNION ALL SELECT 'entry', e::text FROM credit_transactions e
UNION ALL SELECT 'burn', b::text FROM credit_burns b
UNION ALL SELECT 'hold', h::text FROM credit_holds h
UNION ALL SELECT 'request', r::text FROM credit_requests r
UNION ALL SELECT 'audit', a::text FROM audit_logs a
$$;

-- The same request again gets the stored answer and does nothing; every write takes a key.
CREATE TABLE t.requests (n integer PRIMARY KEY, request text, answer jsonb);
INSERT INTO t.requests (n, request) VALUES
    (1, $$grant_credits('ada', 100, idempotency_key => 'g1')$$),
    (2, $$grant_credits('ada', 10, 'paid', 40, '2026-01-01', '2999-01-01', 'import', 'g2', '{"a": {"b": [1]}}', true, 'why')$$),
    (3, $$use_credits_validated('ada', 30, 'job', 'u1', '{"b": 1, "a": 2}', actor_id => 'bob')$$),
    (4, $$use_credits_validated('ada', 500, idempotency_key => 'u2', mode => 'partial')$$),
    (5, $$refund_credits('ada', 3, 7, idempotency_key => 'r1')$$),
    (6, $$refund_credits('ada', 3, idempotency_key => 'r2')$$),
    (7, $$hold_credits('ada', 8, '10 minutes', idempotency_key => 'h1')$$),
    (8, $$capture_hold('ada', 1, 5, 'c1')$$),
    (9, $$hold_credits('ada', 8, '10 minutes', idempotency_key => 'h2')$$),
    (10, $$capture_hold('ada', 2, 12, 'c2', '{"allow_more": true}')$$),
    (11, $$(SELECT result FROM use_credits_batch('[{"user_id": "ada", "amount": 1, "idempotency_key": "b1"}]'))$$);
CREATE PROCEDURE t.ask(INOUT different bigint DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    one t.requests;
    got jsonb;
BEGIN
    FOR one IN SELECT * FROM t.requests ORDER BY n LOOP
        EXECUTE 'SELECT ' || one.request INTO got;
        UPDATE t.requests SET answer = got WHERE n = one.n AND answer IS NULL;
        IF got::text <> coalesce(one.answer, got)::text THEN
            different := different + 1;
        END IF;
    END LOOP;
END
$$;
CALL t.ask();
SELECT n, t.say(answer) FROM t.requests ORDER BY n;
CREATE TABLE t.before AS SELECT * FROM t.rows();
CALL t.ask();
CALL t.ask();
(SELECT * FROM t.rows() EXCEPT ALL SELECT * FROM t.before) UNION ALL (SELECT * FROM t.before EXCEPT ALL SELECT * FROM t.rows());
-- Still so when the grant is over, and its hold is.
SELECT t.say(grant_credits('ada', 3, expires_at => clock_timestamp() + interval '0.1 seconds', idempotency_key => 'short')) AS answer \gset short_
INSERT INTO t.requests SELECT 12, format($$grant_credits('ada', 3, expires_at => %L, idempotency_key => 'short')$$, expires_at) FROM credit_grants WHERE user_id = 'ada' AND amount = 3;
SELECT pg_sleep(0.15);
SELECT t.say(x) = :'short_answer' AS same FROM (SELECT answer AS x FROM credit_requests WHERE idempotency_key = 'short') x;
CALL t.ask();

-- The same key for something else is refused, whatever differs; the refusal says what it was used for.
SELECT request, t.say(answer) FROM (VALUES ($$use_credits_validated('ada', 31, 'job', 'u1', '{"b": 1, "a": 2}', actor_id => 'bob')$$), ($$use_credits_validated('ada', 30, 'jobs', 'u1', '{"b": 1, "a": 2}', actor_id => 'bob')$$),
    ($$use_credits_validated('ada', 30, 'job', 'u1', '{"b": 1, "a": 3}', actor_id => 'bob')$$), ($$use_credits_validated('ada', 30, 'job', 'u1', '{"b": 1, "a": 2}', actor_id => 'eve')$$),
    ($$use_credits_validated('ada', 30, 'job', 'u1', '{"b": 1, "a": 2}', 'partial', 'bob')$$), ($$use_credits_validated('ada', 30, idempotency_key => 'h1')$$), ($$hold_credits('ada', 8, '11 minutes', idempotency_key => 'h1')$$),
    ($$capture_hold('ada', 1, 5, 'c2')$$), ($$capture_hold('ada', 2, 12, 'c2')$$), ($$capture_hold('ada', 99, 1, 'u1')$$), ($$refund_credits('ada', 3, 8, idempotency_key => 'r1')$$), ($$refund_credits('ada', 99, idempotency_key => 'r1')$$),
    ($$grant_credits('ada', 101, idempotency_key => 'g1')$$), ($$grant_credits('ada', 100, priority => 51, idempotency_key => 'g1')$$), ($$grant_credits('ada', 100, 'paid', idempotency_key => 'g1')$$),
    ($$grant_credits('ada', 100, source => 'x', idempotency_key => 'g1')$$), ($$grant_credits('ada', 100, requires_subscription => true, idempotency_key => 'g1')$$), ($$grant_credits('ada', 100, idempotency_key => 'g1', reason => 'x')$$)) r(request),
    LATERAL (SELECT (xpath('/row/c/text()', query_to_xml('SELECT ' || request || ' AS c', false, true, '')))[1]::text::jsonb) a(answer);
-- What says the same in other words is the same.
SELECT use_credits_validated('ada', 30, 'job', 'u1', '{"a": 2, "b": 1}', 'reject', 'bob') ->> 'transaction_id' AS transaction_id,
       hold_credits('ada', 8, '600 seconds', idempotency_key => 'h1') ->> 'hold_id' AS hold_id,
       (SELECT result ->> 'transaction_id' FROM use_credits_batch('[{"user_id": "ada", "amount": 30, "description": "job", "idempotency_key": "u1", "metadata": {"a": 2, "b": 1}, "actor_id": "bob"}]')) AS in_a_batch;
-- Keys belong to a user. Refusals are judged anew. What is rolled back never was.
SELECT use_credits_validated('bob', 1, idempotency_key => 'u1') ->> 'status' AS refused, grant_credits('bob', 1) ->> 'status' AS granted, use_credits_validated('bob', 1, idempotency_key => 'u1') ->> 'status' AS status;
SELECT hold_credits('bob', 1, idempotency_key => 'h1') ->> 'status' AS refused;
BEGIN;
SELECT grant_credits('bob', 1, idempotency_key => 'g1') ->> 'status' AS status, hold_credits('bob', 1, idempotency_key => 'h1') ->> 'status' AS held;
ROLLBACK;
SELECT grant_credits('bob', 2, idempotency_key => 'g1') ->> 'status' AS status;
SELECT user_id, idempotency_key, operation FROM credit_requests ORDER BY 1, 2;
SELECT * FROM verify_credit_ledger();

-- Statements: from inclusive to exclusive, with what each entry did to which grant.
SELECT transaction_id, transaction_type, amount, balance_after, description, actor_id, grants, metadata FROM credit_statement('ada') ORDER BY transaction_id LIMIT 6;
SELECT count(*) AS entries, count(*) FILTER (WHERE s.amount = (SELECT sum((g ->> 'amount')::bigint) FROM jsonb_array_elements(s.grants) g)) AS explained, sum(s.amount) = (SELECT balance FROM t.balance('ada')) AS all_of_it
  FROM credit_statement('ada') s;
SELECT array_agg(transaction_id) FROM credit_statement('ada', (SELECT created_at FROM credit_transactions WHERE user_id = 'ada' AND transaction_id = 3), (SELECT created_at FROM credit_transactions WHERE user_id = 'ada' AND transaction_id = 5));
SELECT count(*) FROM credit_statement('nobody'), credit_statement('ada', to_time => '2020-01-01') x;

-- When a job tidies does not matter: two accounts to which the same happens, one tidied after every step.
CREATE TABLE t.steps (n integer PRIMARY KEY, what text, elapsed interval);
INSERT INTO t.steps
SELECT n, CASE WHEN r < 0.30 THEN format('grant_credits(%%L, %s, priority => %s, expires_at => now() + interval ''%s minutes'')', 1 + n % 20, 10 * (n % 3), 1 + n % 50)
               WHEN r < 0.38 THEN format('grant_credits(%%L, %s, effective_at => now() + interval ''%s minutes'')', 1 + n % 9, 1 + n % 30)
               WHEN r < 0.65 THEN format('use_credits_validated(%%L, %s, mode => ''partial'')', 1 + n % 15)
               WHEN r < 0.80 THEN format('hold_credits(%%L, %s, ''%s minutes'')', 1 + n % 7, 1 + n % 40)
               WHEN r < 0.88 THEN format('release_hold(%%1$L, greatest((SELECT last_hold_id FROM credit_accounts WHERE user_id = %%1$L) - %s, 1))', n % 3)
               WHEN r < 0.94 THEN format('capture_hold(%%1$L, greatest((SELECT last_hold_id FROM credit_accounts WHERE user_id = %%1$L) - %s, 1))', n % 2)
               ELSE 'refund_credits(%1$L, (SELECT max(transaction_id) FROM credit_transactions WHERE user_id = %1$L AND transaction_type = ''usage''))' END,
       n % 13 * interval '1 minute'
  FROM (SELECT n, abs(hashint4(n) % 1000) / 1000.0 AS r FROM generate_series(1, 150) n) x;
CREATE FUNCTION t.live(of_user text, tidied boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    step record;
    done bigint := 0;
BEGIN
    PERFORM grant_credits(of_user, 30), hold_credits(of_user, 1), use_credits_validated(of_user, 1);
    FOR step IN SELECT * FROM t.steps ORDER BY n LOOP
        EXECUTE 'SELECT ' || format(step.what, of_user);
        -- Only this one, as if every step took place at its time.
        UPDATE credit_accounts SET next_due_at = next_due_at - step.elapsed, last_entry_at = last_entry_at - step.elapsed WHERE user_id = of_user;
        UPDATE credit_grants SET effective_at = effective_at - step.elapsed, expires_at = expires_at - step.elapsed, created_at = created_at - step.elapsed WHERE user_id = of_user;
        UPDATE credit_holds SET created_at = created_at - step.elapsed, expires_at = expires_at - step.elapsed, closed_at = closed_at - step.elapsed WHERE user_id = of_user;
        UPDATE credit_transactions SET effective_at = effective_at - step.elapsed, created_at = created_at - step.elapsed WHERE user_id = of_user;
        IF tidied THEN
            done := done + expire_credits();
        END IF;
    END LOOP;
    RETURN done;
END
$$;
SELECT t.live('calm', false);
SELECT t.live('tidy', true) > 20 AS tidied_often;
SELECT expire_credits() >= 0 AS tidied;
SELECT transaction_type, count(*) > 3 AS some FROM credit_transactions WHERE user_id = 'calm' GROUP BY 1 ORDER BY 1;
CREATE FUNCTION t.life(of_user text) RETURNS TABLE (line text) LANGUAGE sql AS $$
SELECT 'account ' || concat_ws(' ', balance, held, debt, subscription_credits, last_transaction_id, last_grant_id, last_hold_id) FROM credit_accounts WHERE user_id = of_user
UNION ALL SELECT 'grant ' || g::text FROM t.grants(of_user) g
UNION ALL SELECT 'entry ' || concat_ws(' ', id, type, amount, balance_after, lot, refers, hold, burns) FROM t.ledger(of_user)
UNION ALL SELECT 'hold ' || concat_ws(' ', hold_id, amount, status, captured, transaction_id, lots) FROM credit_holds WHERE user_id = of_user
$$;
SELECT count(*) > 150 AS many FROM t.life('calm');
(SELECT * FROM t.life('calm') EXCEPT ALL SELECT * FROM t.life('tidy')) UNION ALL (SELECT * FROM t.life('tidy') EXCEPT ALL SELECT * FROM t.life('calm'));
SELECT * FROM verify_credit_ledger('calm') UNION ALL SELECT * FROM verify_credit_ledger('tidy');

-- The verification finds what anybody has changed by hand. No constraint stands in the way of the owner here.
CREATE FUNCTION t.found_after(VARIADIC commands text[]) RETURNS TABLE (account text, invariant text) LANGUAGE plpgsql AS $$
DECLARE
    command text;
    found   jsonb;
BEGIN
    BEGIN
        FOREACH command IN ARRAY commands LOOP
            EXECUTE command;
        END LOOP;
        found := (SELECT jsonb_agg(DISTINCT jsonb_build_array(v.account, v.invariant)) FROM verify_credit_ledger() v);
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN QUERY SELECT x ->> 0, x ->> 1 FROM jsonb_array_elements(coalesce(found, '[["nobody", "nothing"]]')) x ORDER BY 1, 2;
    END;
END
$$;
SELECT grant_credits('cy', 10) ->> 'grant_id' AS lot, grant_credits('cy', 10) ->> 'grant_id' AS lot2, use_credits_validated('cy', 3) ->> 'transaction_id' AS debit, refund_credits('cy', 3, 1) ->> 'transaction_id' AS refund,
       hold_credits('cy', 2) ->> 'hold_id' AS hold, capture_hold('cy', 1) ->> 'transaction_id' AS capture, hold_credits('cy', 2) ->> 'hold_id' AS hold;
SELECT * FROM t.found_after('SELECT 1');
SELECT * FROM t.found_after($$UPDATE credit_accounts SET balance = balance + 1 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_accounts SET held = held - 1 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_accounts SET subscription_credits = 1 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_accounts SET last_transaction_id = 99 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_accounts SET debt = 1, balance = 2 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_accounts SET next_due_at = 'infinity' WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_grants SET remaining = remaining + 1, spent = spent - 1 WHERE user_id = 'cy' AND grant_id = 1$$);
SELECT * FROM t.found_after($$UPDATE credit_grants SET held = 0 WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$UPDATE credit_grants SET live = NOT live WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$DELETE FROM credit_transactions WHERE user_id = 'cy' AND transaction_id = 2$$);
SELECT * FROM t.found_after($$DELETE FROM credit_transactions WHERE user_id = 'cy' AND transaction_id = 5$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET amount = amount - 1 WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET balance_after = balance_after + 1 WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET debt_after = 1 WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET created_at = created_at - interval '1 day', effective_at = effective_at - interval '1 day' WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET effective_at = created_at + interval '1 day' WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_burns SET amount = amount + 1 WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$UPDATE credit_burns SET grant_id = 2 WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$DELETE FROM credit_burns WHERE user_id = 'cy' AND transaction_id = 3$$);
SELECT * FROM t.found_after($$INSERT INTO credit_burns VALUES ('cy', 99, 98, 1, 1)$$);
SELECT * FROM t.found_after($$UPDATE credit_burns SET amount = -4 WHERE user_id = 'cy' AND transaction_id = 4$$, $$UPDATE credit_transactions SET amount = 4 WHERE user_id = 'cy' AND transaction_id = 4$$);
SELECT * FROM t.found_after($$UPDATE credit_holds SET amount = 3, lots = '[[1, 3]]' WHERE user_id = 'cy' AND hold_id = 2$$);
SELECT * FROM t.found_after($$UPDATE credit_holds SET status = 'released', closed_at = now() WHERE user_id = 'cy' AND hold_id = 2$$);
SELECT * FROM t.found_after($$UPDATE credit_holds SET captured = 1 WHERE user_id = 'cy' AND hold_id = 1$$);
SELECT * FROM t.found_after($$UPDATE credit_holds SET transaction_id = 3 WHERE user_id = 'cy' AND hold_id = 1$$);
SELECT * FROM t.found_after($$UPDATE credit_transactions SET user_id = 'ghost' WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$DELETE FROM credit_grants WHERE user_id = 'cy'$$);
SELECT * FROM t.found_after($$DELETE FROM credit_holds WHERE user_id = 'cy' AND hold_id = 2$$);
SELECT * FROM t.found_after($$DELETE FROM credit_accounts WHERE user_id = 'cy'$$);
-- Some cannot even be written.
CREATE FUNCTION t.forbidden(command text) RETURNS text LANGUAGE sql AS $$
SELECT coalesce(substring(message FROM '"([a-z0-9_]+)"$'), message) FROM t.refusal(command)
$$;
SELECT t.forbidden(c) FROM unnest(ARRAY[$$UPDATE credit_accounts SET balance = -1 WHERE user_id = 'cy'$$, $$UPDATE credit_accounts SET held = 100 WHERE user_id = 'cy'$$, $$UPDATE credit_accounts SET debt = 1 WHERE user_id = 'cy'$$,
    $$UPDATE credit_grants SET remaining = 11 WHERE user_id = 'cy'$$, $$UPDATE credit_grants SET spent = spent - 1, lapsed = -1, remaining = remaining + 2 WHERE user_id = 'cy'$$, $$UPDATE credit_grants SET held = 11 WHERE user_id = 'cy'$$,
    $$UPDATE credit_grants SET amount = 0 WHERE user_id = 'cy'$$, $$UPDATE credit_grants SET reversal_target = 11 WHERE user_id = 'cy'$$, $$UPDATE credit_transactions SET amount = 3 WHERE transaction_type = 'usage'$$,
    $$UPDATE credit_transactions SET transaction_type = 'gift'$$, $$UPDATE credit_transactions SET balance_after = -1$$, $$UPDATE credit_transactions SET transaction_id = 1$$, $$UPDATE credit_burns SET amount = 0$$,
    $$UPDATE credit_holds SET status = 'lost'$$, $$UPDATE credit_holds SET closed_at = now() WHERE status = 'open'$$, $$UPDATE credit_holds SET transaction_id = NULL WHERE status = 'captured'$$]) WITH ORDINALITY c(c, n) ORDER BY n;
SELECT * FROM verify_credit_ledger();
