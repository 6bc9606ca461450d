\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set credits :source '/sql/include/credits.sql'
\i :credits
\set ECHO all
-- Misuse raises, says the value and what to do, and leaves nothing behind. Refusals are answers.
CREATE FUNCTION t.refusals(commands text[]) RETURNS TABLE (command text, code text, message text, hint text) LANGUAGE sql AS $$
SELECT CASE WHEN length(c) > 90 THEN left(c, 87) || '...' ELSE c END, r.code, CASE WHEN r.code = '00000' THEN 'ACCEPTED' ELSE r.message END, r.hint
  FROM unnest(commands) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n
$$;
SELECT grant_credits('ada', 100) ->> 'status' AS ada, grant_credits('bob', 100) ->> 'status' AS bob, use_credits_validated('bob', 10) ->> 'transaction_id' AS bobs_debit,
       hold_credits('bob', 5) ->> 'hold_id' AS bobs_hold;
CREATE TABLE t.before AS SELECT * FROM credit_transactions;
\x
\a
-- Amounts.
SELECT * FROM t.refusals(ARRAY['SELECT use_credits_validated(''ada'', 0)', 'SELECT use_credits_validated(''ada'', -1)', 'SELECT use_credits_validated(''ada'', NULL)',
    'SELECT hold_credits(''ada'', -9223372036854775808)', 'SELECT capture_hold(''bob'', 1, 0)', 'SELECT refund_credits(''bob'', 2, -1)', 'SELECT grant_credits(''ada'', 0)',
    'SELECT grant_credits(''ada'', NULL)', 'SELECT use_credits_validated(''ada'', 1.5)', 'SELECT use_credits_validated(''ada'', 9223372036854775808)',
    'SELECT add_subscription_credits(''cus_1'', ''in_1'', ''sub_1'', 0)']);
-- Users and others' things.
SELECT * FROM t.refusals(ARRAY['SELECT use_credits_validated(NULL, 1)', 'SELECT use_credits_validated('''', 1)', 'SELECT use_credits_validated(repeat(''u'', 256), 1)',
    'SELECT grant_credits('''', 1)', 'SELECT get_credit_balance('''')', 'SELECT get_credit_balance(NULL)', 'SELECT credit_statement('''')',
    'SELECT refund_credits(''ada'', 2)', 'SELECT refund_credits(''nobody'', 2)', 'SELECT refund_credits(''bob'', 1)', 'SELECT refund_credits(''bob'', NULL)', 'SELECT refund_credits(''bob'', -2)',
    'SELECT capture_hold(''ada'', 1)', 'SELECT capture_hold(''nobody'', 1)', 'SELECT capture_hold(''bob'', 99)', 'SELECT capture_hold(''bob'', NULL)',
    'SELECT release_hold(''ada'', 1)', 'SELECT release_hold(''nobody'', 1)', 'SELECT void_grant(''ada'', 2)', 'SELECT void_grant(''nobody'', 1)', 'SELECT void_grant(''ada'', NULL)',
    'SELECT add_subscription_credits(''cus_1'', ''in_1'', ''sub_1'', 5)', 'SELECT add_subscription_credits(NULL, ''in_1'', ''sub_1'', 5)', 'SELECT add_subscription_credits(''cus_1'', '''', ''sub_1'', 5)']);
-- Words.
SELECT * FROM t.refusals(ARRAY['SELECT use_credits_validated(''ada'', 1, mode => ''all'')', 'SELECT use_credits_validated(''ada'', 1, mode => NULL)',
    'SELECT grant_credits(''ada'', 1, ''free'')', 'SELECT grant_credits(''ada'', 1, NULL)', 'SELECT grant_credits(''ada'', 1, priority => -1)', 'SELECT grant_credits(''ada'', 1, priority => 1001)',
    'SELECT grant_credits(''ada'', 1, priority => NULL)', 'SELECT grant_credits(''ada'', 1, source => NULL)', 'SELECT grant_credits(''ada'', 1, source => '''')',
    'SELECT grant_credits(''ada'', 1, source => repeat(''é'', 33))']);
-- Times.
SELECT * FROM t.refusals(ARRAY['SELECT grant_credits(''ada'', 1, expires_at => ''2020-01-01'')', 'SELECT grant_credits(''ada'', 1, effective_at => ''2999-01-02'', expires_at => ''2999-01-02'')',
    'SELECT grant_credits(''ada'', 1, effective_at => ''2999-01-02'', expires_at => ''2999-01-01'')', 'SELECT grant_credits(''ada'', 1, expires_at => ''infinity'')',
    'SELECT grant_credits(''ada'', 1, effective_at => ''-infinity'')', 'SELECT grant_credits(''ada'', 1, effective_at => ''1969-12-31'')', 'SELECT grant_credits(''ada'', 1, expires_at => ''20000-01-01'')',
    'SELECT get_credit_balance(''ada'', ''infinity'')', 'SELECT get_credit_balance(''ada'', ''294276-12-31'')', 'SELECT get_credit_balance(''ada'', ''4714-11-24 BC'')',
    'SELECT credit_statement(''ada'', ''2026-01-02'', ''2026-01-01'')',
    'SELECT hold_credits(''ada'', 1, ''0 seconds'')', 'SELECT hold_credits(''ada'', 1, ''0.9 seconds'')', 'SELECT hold_credits(''ada'', 1, ''-1 minute'')', 'SELECT hold_credits(''ada'', 1, ''30 days 1 second'')',
    'SELECT hold_credits(''ada'', 1, ''1 month'')', 'SELECT hold_credits(''ada'', 1, ''1 day -25 hours'')', 'SELECT hold_credits(''ada'', 1, NULL)',
    'SELECT expire_credits(0)', 'SELECT expire_credits(NULL)', 'SELECT expire_credits(100001)']);
-- Texts and metadata.
SELECT * FROM t.refusals(ARRAY['SELECT use_credits_validated(''ada'', 1, repeat(''d'', 1001))', 'SELECT use_credits_validated(''ada'', 1, actor_id => repeat(''a'', 256))', 'SELECT use_credits_validated(''ada'', 1, actor_id => '''')',
    'SELECT use_credits_validated(''ada'', 1, idempotency_key => repeat(''k'', 256))', 'SELECT use_credits_validated(''ada'', 1, idempotency_key => '''')',
    'SELECT grant_credits(''ada'', 1, reason => repeat(''r'', 1001))', 'SELECT void_grant(''ada'', 1, repeat(''r'', 1001))', 'SELECT refund_credits(''bob'', 2, description => repeat(''d'', 1001))',
    'SELECT use_credits_validated(''ada'', 1, metadata => ''[]'')', 'SELECT use_credits_validated(''ada'', 1, metadata => ''"text"'')', 'SELECT use_credits_validated(''ada'', 1, metadata => ''null'')',
    'SELECT use_credits_validated(''ada'', 1, metadata => jsonb_build_object(''a'', repeat(''x'', 16384)))', 'SELECT grant_credits(''ada'', 1, metadata => jsonb_build_object(''a'', repeat(''x'', 10000000)))',
    'SELECT hold_credits(''ada'', 1, metadata => (repeat(''{"a":'', 70) || ''1'' || repeat(''}'', 70))::jsonb)', 'SELECT refund_credits(''bob'', 2, metadata => ''{"a": 1e400}'')',
    'SELECT capture_hold(''bob'', 1, options => ''{"more": true}'')', 'SELECT capture_hold(''bob'', 1, options => ''{"allow_more": "yes"}'')', 'SELECT capture_hold(''bob'', 1, options => ''{"description": 5}'')',
    'SELECT capture_hold(''bob'', 1, options => jsonb_build_object(''description'', repeat(''d'', 1001)))', 'SELECT capture_hold(''bob'', 1, options => ''[]'')']);
-- Batches: one bad request and nothing is charged; the message says which.
SELECT * FROM t.refusals(ARRAY(SELECT format('SELECT use_credits_batch(%L)', b) FROM unnest(ARRAY[NULL, 'null', '{}', '5', '[5]', '[null]', '[{}]', '[{"user_id": "ada"}]', '[{"amount": 1}]', '[{"user_id": "", "amount": 1}]',
    '[{"user_id": "ada", "amount": 1}, {"user_id": "ada", "amount": 0}]', '[{"user_id": "ada", "amount": -1}]', '[{"user_id": "ada", "amount": 1.5}]', '[{"user_id": "ada", "amount": "1"}]',
    '[{"user_id": "ada", "amount": 1e30}]', '[{"user_id": "ada", "amount": 9223372036854775808}]', '[{"user_id": 5, "amount": 1}]', '[{"user_id": "ada", "amount": 1, "modus": "x"}]',
    '[{"user_id": "ada", "amount": 1}, {"user_id": "ada", "amount": 1, "mode": "all"}]', '[{"user_id": "ada", "amount": 1, "mode": true}]', '[{"user_id": "ada", "amount": 1, "metadata": []}]',
    '[{"user_id": "ada", "amount": 1, "idempotency_key": ""}]', '[{"user_id": "ada", "amount": 1, "actor_id": 7}]']) b));
SELECT * FROM t.refusals(ARRAY['SELECT use_credits_batch((SELECT jsonb_agg(jsonb_build_object(''user_id'', ''ada'', ''amount'', 1)) FROM generate_series(1, 10001)))',
    'SELECT use_credits_batch(jsonb_build_array(jsonb_build_object(''user_id'', repeat(''u'', 256), ''amount'', 1)))',
    'SELECT use_credits_batch(jsonb_build_array(jsonb_build_object(''user_id'', ''ada'', ''amount'', 1), jsonb_build_object(''user_id'', ''ada'', ''amount'', 1, ''metadata'', jsonb_build_object(''a'', repeat(''x'', 16384)))))']);
\x
\a
-- Of all that nothing was done.
SELECT user_id, transaction_id FROM credit_transactions EXCEPT SELECT user_id, transaction_id FROM t.before;
SELECT user_id, balance, held, last_grant_id, last_hold_id FROM credit_accounts ORDER BY 1;
SELECT count(*) FROM credit_requests;

-- The largest amounts: refused where they would leave bigint, whenever that would be.
SELECT t.say(use_credits_validated('ada', 9223372036854775807));
SELECT t.say(use_credits_validated('ada', 9223372036854775807, mode => 'partial'));
SELECT t.say(capture_hold('bob', 1, 9223372036854775807, options => '{"allow_more": true}'));
SELECT t.say(grant_credits('max', 9223372036854775807));
SELECT code, message, hint FROM t.refusal($$SELECT grant_credits('max', 1)$$);
SELECT code, message, hint FROM t.refusal($$SELECT grant_credits('max', 1, effective_at => '2999-01-01')$$);
SELECT * FROM t.balance('max', '3000-01-01');
SELECT t.say(use_credits_validated('max', 10));
SELECT t.say(grant_credits('max', 10));
SELECT code, message FROM t.refusal($$SELECT refund_credits('max', 2)$$);
SELECT t.say(use_credits_validated('max', 9223372036854775807));
SELECT t.say(refund_credits('max', 2));
SELECT * FROM t.ledger('max');

-- Metadata as large as it may be, and any text, come back as they were.
SELECT use_credits_validated('many', 1) ->> 'reason' AS reason, grant_credits('many', 9, source => 'é' || repeat('x', 62), reason => 'Grüße, "''\ und 🎉') ->> 'status' AS granted;
SELECT use_credits_validated('many', 1, repeat('d', 1000), repeat('k', 255), jsonb_build_object('a', repeat('x', 16375)), actor_id => repeat('a', 255)) ->> 'status' AS status;
SELECT source, description FROM credit_grants WHERE user_id = 'many';
SELECT octet_length(metadata ->> 'a') AS metadata, length(description) AS description, length(actor_id) AS actor, length(idempotency_key) AS key FROM credit_transactions WHERE user_id = 'many' AND transaction_id = 2;
SELECT use_credits_validated('many', 1, metadata => '{"nested": {"list": [1, 2.5, null, true, "x\\u00e9y"]}, "n": 9007199254740993}') ->> 'status' AS status;
SELECT metadata FROM credit_transactions WHERE user_id = 'many' AND transaction_id = 3;

-- Where nothing can be written, it is said; reading works.
BEGIN READ ONLY;
SELECT code, message, hint FROM unnest(ARRAY['SELECT use_credits_validated(''ada'', 1)', 'SELECT use_credits_batch(''[{"user_id": "ada", "amount": 1}]'')', 'SELECT hold_credits(''ada'', 1)',
    'SELECT capture_hold(''bob'', 1)', 'SELECT release_hold(''bob'', 1)', 'SELECT refund_credits(''bob'', 2)', 'SELECT grant_credits(''ada'', 1)', 'SELECT void_grant(''ada'', 1)']) c, t.refusal(c);
SELECT * FROM t.balance('ada');
SELECT count(*) FROM credit_statement('ada');
SELECT count(*) FROM verify_credit_ledger();
COMMIT;
-- An error in a block rolls back what it did, and no more.
BEGIN;
SELECT use_credits_validated('ada', 1) ->> 'balance' AS balance;
SAVEPOINT a;
SELECT use_credits_validated('ada', 0);
ROLLBACK TO a;
SELECT use_credits_validated('ada', 1) ->> 'balance' AS balance;
COMMIT;
SELECT * FROM verify_credit_ledger();
