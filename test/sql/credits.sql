\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set credits :source '/sql/include/credits.sql'
\i :credits
\set ECHO all
-- Grants are burnt by priority, then expiry (never last), then age; the answer says which.
SELECT t.say(grant_credits('ada', 100, 'paid', reason => 'pack'));
SELECT t.say(grant_credits('ada', 50, expires_at => now() + interval '2 days'));
SELECT t.say(grant_credits('ada', 30, expires_at => now() + interval '1 day', metadata => '{"campaign": 7}'));
SELECT t.say(grant_credits('ada', 10, priority => 10));
SELECT t.say(use_credits_validated('ada', 12, 'summary', metadata => '{"job": 1}', actor_id => 'bob'));
SELECT t.say(use_credits_validated(user_id => 'ada', amount => 60));
SELECT * FROM t.balance('ada');
SELECT * FROM t.grants('ada');
SELECT * FROM t.ledger('ada');
SELECT transaction_id, description, actor_id, metadata FROM credit_transactions WHERE user_id = 'ada' AND (description IS NOT NULL OR metadata <> '{}') ORDER BY 1;
SELECT category, priority, source, description, metadata, date_trunc('minute', expires_at - effective_at + interval '1 second') AS lasts FROM credit_grants WHERE user_id = 'ada' ORDER BY grant_id;
SELECT action, subject, reason, details -> 'amount' AS amount FROM audit_logs WHERE user_id = 'ada' ORDER BY subject;

-- All or nothing; or as much as there is.
SELECT t.say(use_credits_validated('ada', 119));
SELECT t.say(use_credits_validated('ada', 119, mode => 'partial'));
SELECT t.say(use_credits_validated('ada', 1, mode => 'partial'));
SELECT use_credits_validated('nobody', 1);
SELECT user_id FROM credit_accounts;

-- A job that failed gives back exactly what it took, last burnt first; never more.
SELECT t.say(refund_credits('ada', 6, 30, 'failed'));
SELECT t.say(refund_credits('ada', 6, 31));
SELECT t.say(refund_credits('ada', 6));
SELECT t.say(refund_credits('ada', 6));
SELECT t.say(refund_credits('ada', 6, 1));
SELECT * FROM t.grants('ada');
SELECT * FROM t.ledger('ada', 7);

-- Ended by hand: what is neither spent nor held is taken, and what comes back later lapses.
SELECT t.say(hold_credits('ada', 6));
SELECT t.say(void_grant('ada', 3, 'mistake'));
SELECT t.say(void_grant('ada', 3));
SELECT t.say(refund_credits('ada', 7));
SELECT t.say(release_hold('ada', 1));
SELECT * FROM t.grants('ada');
SELECT * FROM t.ledger('ada', 9);
SELECT action, subject, reason, details FROM audit_logs WHERE action = 'grant_voided';

-- Holds reserve; capturing charges all or a part, and more only when asked.
SELECT t.say(grant_credits('bob', 20, expires_at => now() + interval '1 hour')), t.say(grant_credits('bob', 80));
SELECT t.say(hold_credits('bob', 30, '10 minutes', 'render', metadata => '{"job": 2}', actor_id => 'eve'));
SELECT * FROM t.balance('bob');
SELECT t.say(use_credits_validated('bob', 71));
SELECT t.say(hold_credits('bob', 71));
SELECT t.say(hold_credits('bob', 70));
SELECT t.say(use_credits_validated('bob', 1));
SELECT t.say(capture_hold('bob', 1, 12));
SELECT t.say(capture_hold('bob', 1));
SELECT t.say(release_hold('bob', 1));
SELECT t.say(capture_hold('bob', 2, 80));
SELECT t.say(capture_hold('bob', 2, 80, options => '{"allow_more": true, "description": "longer than thought"}'));
SELECT t.say(hold_credits('bob', 5));
SELECT t.say(capture_hold('bob', 3, 9, options => '{"allow_more": true}'));
SELECT t.say(release_hold('bob', 3));
SELECT t.say(release_hold('bob', 3));
SELECT t.say(capture_hold('bob', 3));
SELECT hold_id, amount, status, captured, transaction_id, lots, actor_id, description, metadata, expires_at - created_at AS lasts FROM credit_holds WHERE user_id = 'bob' ORDER BY 1;
SELECT * FROM t.ledger('bob');
SELECT transaction_id, description, actor_id, metadata FROM credit_transactions WHERE user_id = 'bob' AND transaction_type = 'usage';
-- A capture is a charge like any other.
SELECT t.say(refund_credits('bob', 3));

-- Time alone: holds end, grants end and start, when somebody reads, and whether or not a job runs.
SELECT grant_credits('cy', 10, expires_at => now() + interval '1 hour') ->> 'status' AS a, grant_credits('cy', 20) ->> 'status' AS b,
       t.say(grant_credits('cy', 40, effective_at => now() + interval '2 hours', expires_at => now() + interval '3 hours')) AS c,
       hold_credits('cy', 4, '90 minutes') ->> 'status' AS d, hold_credits('cy', 8, '100 minutes') ->> 'status' AS e;
SELECT minutes, b.* FROM unnest(ARRAY[0, 59, 61, 89, 91, 101, 119, 121, 179, 181]) minutes, t.balance('cy', now() + minutes * interval '1 minute') b ORDER BY 1;
CALL t.pass('91 minutes');
SELECT * FROM t.balance('cy');
SELECT s -> 'credits' AS credits, s -> 'can_use_credits' AS can_use_credits FROM get_user_subscription_state('cy') s;
SELECT balance, held, next_due_at < now() AS due FROM credit_accounts WHERE user_id = 'cy';
SELECT expire_credits() > 0 AS tidied;
SELECT expire_credits() > 0 AS tidied;
SELECT balance, held, next_due_at > now() AS due_later FROM credit_accounts WHERE user_id = 'cy';
SELECT * FROM t.balance('cy');
SELECT * FROM t.ledger('cy');
SELECT hold_id, status, closed_at = expires_at AS at_its_end FROM credit_holds WHERE user_id = 'cy' ORDER BY 1;
CALL t.pass('30 minutes');
SELECT t.say(use_credits_validated('cy', 50));
CALL t.pass('1 hour');
SELECT t.say(capture_hold('cy', 2));
SELECT t.say(release_hold('cy', 1));
SELECT * FROM t.ledger('cy', 3);
-- What was, at any instant: as it was read then.
SELECT minutes, b.* FROM unnest(ARRAY[-182, -180, -130, -121, -119, -92, -90, -81, -62, -59, -30, -2, 0]) minutes, t.balance('cy', now() + minutes * interval '1 minute') b ORDER BY 1;
SELECT * FROM t.balance('cy', '1970-01-01');
SELECT * FROM t.balance('cy', '9999-12-31');
SELECT * FROM t.balance('nobody'), t.balance('nobody', '2020-01-01') x;

-- A grant that is over stays over: what is given back to it lapses at once, and the answer says so.
SELECT grant_credits('dan', 10, expires_at => now() + interval '1 hour') ->> 'status' AS a, grant_credits('dan', 10) ->> 'status' AS b,
       t.say(use_credits_validated('dan', 14)) AS c;
CALL t.pass('2 hours');
SELECT t.say(refund_credits('dan', 3, 6));
SELECT t.say(refund_credits('dan', 3));
SELECT * FROM t.ledger('dan', 3);

-- Credits that need a subscription are there, but only a subscription in order makes them available.
SELECT t.say(grant_credits('eve', 10, 'paid', requires_subscription => true)), t.say(grant_credits('eve', 5));
SELECT t.say(use_credits_validated('eve', 6));
SELECT t.say(use_credits_validated('eve', 16));
SELECT t.say(use_credits_validated('eve', 6, mode => 'partial'));
SELECT s -> 'credits' AS credits, s -> 'can_use_credits' AS can_use_credits FROM get_user_subscription_state('eve') s;
SELECT t.link('eve', 'cus_eve');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_eve', 'cus_eve', 'active', '2026-01-01', '2999-01-01')));
SELECT t.say(use_credits_validated('eve', 6));
SELECT s -> 'credits' AS credits, s -> 'can_use_credits' AS can_use_credits FROM get_user_subscription_state('eve') s;
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.deleted', '2026-01-02', t.subscription('sub_eve', 'cus_eve', 'canceled', '2026-01-01', '2999-01-01', jsonb_build_object('ended_at', t.unix('2026-01-02')))));
SELECT t.say(use_credits_validated('eve', 1));
SELECT * FROM t.balance('eve');

-- Many in one call: an answer each, in order; each sees what those before it did.
SELECT grant_credits('fay', 10) ->> 'status' AS a, grant_credits('gus', 10) ->> 'status' AS b;
SELECT ordinal, t.say(result) FROM use_credits_batch('[
    {"user_id": "fay", "amount": 4, "description": "one", "actor_id": "zoe", "metadata": {"n": 1}},
    {"user_id": "gus", "amount": 10, "idempotency_key": "k"},
    {"user_id": "fay", "amount": 7},
    {"user_id": "fay", "amount": 7, "mode": "partial"},
    {"user_id": "nobody", "amount": 1},
    {"user_id": "gus", "amount": 10, "idempotency_key": "k"},
    {"user_id": "gus", "amount": 9, "idempotency_key": "k"},
    {"user_id": "fay", "amount": 1, "idempotency_key": "k", "mode": null}]');
SELECT count(*) FROM use_credits_batch('[]');
SELECT * FROM t.ledger('fay');
SELECT * FROM t.ledger('gus');
SELECT transaction_id, description, actor_id, metadata FROM credit_transactions WHERE user_id = 'fay' AND description IS NOT NULL;
-- Ten thousand, for three users.
SELECT count(*) FROM generate_series(1, 3) n, grant_credits('many' || n, 2000);
SELECT result ->> 'status' AS status, count(*) FROM use_credits_batch((SELECT jsonb_agg(jsonb_build_object('user_id', 'many' || n % 3 + 1, 'amount', 1)) FROM generate_series(1, 10000) n)) GROUP BY 1;
SELECT user_id, balance, last_transaction_id FROM credit_accounts WHERE user_id LIKE 'many%' ORDER BY 1;

-- Several calls in one statement see each other.
SELECT grant_credits('hal', 20) ->> 'status' AS status;
SELECT string_agg(u ->> 'status', ' ') FROM generate_series(1, 4) n, use_credits_validated('hal', 3 + n % 1) u;
SELECT (use_credits_validated('hal', 1) ->> 'balance', refund_credits('hal', 5) ->> 'balance', use_credits_validated('hal', 1) ->> 'balance');
-- What a transaction takes is taken if it commits; savepoints count.
BEGIN;
SELECT use_credits_validated('hal', 1) ->> 'balance' AS balance;
SAVEPOINT a;
SELECT hold_credits('hal', 1, idempotency_key => 'in a savepoint') ->> 'hold_id' AS hold_id;
ROLLBACK TO a;
SELECT hold_credits('hal', 1, idempotency_key => 'in a savepoint') ->> 'hold_id' AS hold_id;
ROLLBACK;
SELECT * FROM t.balance('hal');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT use_credits_validated('hal', 1) ->> 'balance' AS balance;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT grant_credits('ivy', 1) ->> 'balance' AS balance;
SELECT use_credits_validated('ivy', 1) ->> 'balance' AS balance;
COMMIT;
SELECT * FROM t.ledger('ivy');
DO $$
BEGIN
    PERFORM use_credits_validated('hal', 1);
    RAISE EXCEPTION 'the job fails';
EXCEPTION WHEN raise_exception THEN
    NULL;
END
$$;
SELECT * FROM t.ledger('hal');

SELECT * FROM verify_credit_ledger();
