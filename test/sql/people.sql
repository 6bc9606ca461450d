\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- People change their names and turn out to be the same: everything of theirs moves, and what Stripe goes on telling finds them.
CREATE FUNCTION t.mine(user_id text) RETURNS TABLE (state text, customer text, available text, audits bigint) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'stripe_customer_id', s #>> '{credits,available}', (SELECT count(*) FROM audit_logs a WHERE a.user_id = mine.user_id)
  FROM get_user_subscription_state(user_id) s
$$;
CREATE FUNCTION t.sound() RETURNS TABLE (what text, detail text) LANGUAGE sql AS $$
SELECT 'ledger', v::text FROM verify_credit_ledger() v UNION ALL SELECT 'usage', u::text FROM verify_usage() u
UNION ALL SELECT 'rebuild', concat_ws(' ', r.table_name, r.row_key, r.difference, r.stored, r.rebuilt) FROM rebuild_billing_state() r
$$;
SELECT set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'test');
SELECT outcome FROM t.process(t.event('evt_p', 'price.created', '2025-12-01', t.price('pro', 2900) || '{"metadata": {"credits": "30"}}'));
CREATE FUNCTION t.pays(name text, user_id text) RETURNS SETOF text LANGUAGE sql AS $$
SELECT p.outcome FROM t.process(
    t.event('evt_' || name || '1', 'customer.created', '2026-11-01', t.customer('cus_' || name, jsonb_build_object('metadata', jsonb_build_object('user_id', user_id)))),
    t.event('evt_' || name || '2', 'customer.subscription.created', '2026-11-01', t.subscription('sub_' || name, 'cus_' || name, 'active', '2026-11-01', '2031-12-01', jsonb_build_object('metadata', jsonb_build_object('user_id', user_id)))),
    t.event('evt_' || name || '3', 'invoice.paid', '2026-11-01', t.invoice('in_' || name, 'sub_' || name, 'cus_' || name, 'paid', '2026-11-01', '2031-12-01', '{"billing_reason": "subscription_create"}'))) p
$$;
SELECT t.pays('ada', 'ada');
SELECT use_credits_validated('ada', 5, 'story', 'key_1') ->> 'available' AS available;
SELECT * FROM t.mine('ada');

-- A new name.
SELECT rename_user('ada', 'ada@new', 'she married') - 'moved' AS renamed;
SELECT * FROM t.mine('ada');
SELECT * FROM t.mine('ada@new');
SELECT user_id, now_user_id, kind FROM user_aliases;
SELECT action, subject, reason, actor = session_user AS by_us FROM audit_logs WHERE user_id = 'ada@new' AND action = 'user_renamed';
-- What comes late and names the old one reaches the new one, without a conflict; so does a new customer.
SELECT outcome FROM t.process(t.event('evt_ada4', 'customer.subscription.updated', '2026-11-02', t.subscription('sub_ada', 'cus_ada', 'past_due', '2026-11-20', '2031-12-01', '{"metadata": {"user_id": "ada"}}')));
SELECT t.pays('ada2', 'ada');
SELECT stripe_customer_id, user_id, conflict_user_id FROM stripe_customer_links ORDER BY 1;
SELECT link_stripe_customer('ada', 'cus_ada3') ->> 'user_id' AS linked_to;
SELECT use_credits_validated('ada@new', 5, 'story', 'key_1') ->> 'available' AS answered_again;
SELECT * FROM t.sound();
-- Again, taken, unknown, and back.
SELECT rename_user('ada', 'ada@new', 'again');
SELECT outcome FROM t.process(t.event('evt_bob1', 'customer.created', '2026-11-01', t.customer('cus_bob', '{"metadata": {"user_id": "bob"}}')));
SELECT rename_user('ada@new', 'bob', 'typo');
SELECT rename_user('nobody', 'somebody', 'typo');
SELECT rename_user('ada@new', 'ada', 'divorced') ->> 'status' AS status;
SELECT user_id, now_user_id FROM user_aliases;
SELECT * FROM t.sound();

-- Two are one. What needs a decision is reported before anything moves.
SELECT upsert_plan('{"id": "pro", "prices": [{"lookup_key": "pro"}], "features": {"runs": {"limit": 10, "window": "month"}}}') ->> 'id' AS plan;
SELECT t.pays('eve', 'eve');
SELECT use_feature('ada', 'runs', 2) ->> 'used' AS ada, use_feature('eve', 'runs', 3) ->> 'used' AS eve;
SELECT grant_access('ada', 'pro', reason => 'a gift') ->> 'status' AS ada, grant_access('eve', 'pro', now() + interval '1 year', 'a prize') ->> 'status' AS eve;
SELECT use_credits_validated('eve', 7, 'poem', 'key_1') ->> 'transaction_id' AS transaction, hold_credits('eve', 3) ->> 'hold_id' AS hold;
SELECT c ->> 'kind' AS kind, c ->> 'subject' AS subject, c ->> 'next_step' AS next_step FROM jsonb_array_elements(merge_users('eve', 'ada', 'one person') -> 'conflicts') c;
SELECT * FROM t.mine('eve');
SELECT m ->> 'status' AS status, m -> 'conflicts' AS conflicts FROM merge_users('eve', 'ada', 'one person', '{"subscriptions": "both", "access_grants": "into", "idempotency_keys": "into", "dry_run": true}') m;
SELECT m ->> 'status' AS status FROM merge_users('eve', 'ada', 'one person', '{"subscriptions": "both", "access_grants": "into", "idempotency_keys": "into"}') m;
SELECT * FROM t.mine('eve');
SELECT * FROM t.mine('ada');
SELECT transaction_id, transaction_type, amount, balance_after, grant_id, hold_id FROM credit_transactions WHERE user_id = 'ada' ORDER BY 1;
SELECT grant_id, remaining, held, spent, stripe_invoice_id FROM credit_grants WHERE user_id = 'ada' ORDER BY 1;
SELECT feature, used FROM usage_windows WHERE user_id = 'ada';
SELECT plan_id, until, reason FROM access_grants;
SELECT * FROM t.sound();
-- The hold of old is captured, a debit of old is refunded, by their new numbers; late events reach the one that is left.
SELECT c ->> 'status' AS status FROM capture_hold('ada', (SELECT hold_id FROM credit_holds WHERE user_id = 'ada'), 2) c;
SELECT r ->> 'status' AS status FROM refund_credits('ada', (SELECT transaction_id FROM credit_transactions WHERE user_id = 'ada' AND amount = -7)) r;
SELECT outcome FROM t.process(t.event('evt_eve4', 'customer.subscription.deleted', '2026-11-03', t.subscription('sub_eve', 'cus_eve', 'canceled', '2026-11-01', '2031-12-01', jsonb_build_object('metadata', '{"user_id": "eve"}'::jsonb, 'ended_at', t.unix('2026-11-03')))));
SELECT stripe_subscription_id, user_id, status FROM user_subscriptions ORDER BY 1;
SELECT merge_users('eve', 'ada', 'again') ->> 'status' AS again;
SELECT * FROM t.sound();

-- Stripe's data names two users: a person decides.
SELECT t.pays('fay', 'fay');
SELECT outcome FROM t.process(t.event('evt_fay4', 'checkout.session.completed', '2026-11-01', t.checkout('cs_1', 'cus_fay', 'sub_fay', 'gus')));
SELECT user_id, conflict_user_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_fay';
SELECT resolve_link_conflict('cus_fay', 'fay', 'gus was signed in on her phone') ->> 'status' AS status;
SELECT resolve_link_conflict('cus_fay', 'fay', 'again') ->> 'status' AS status;
SELECT resolve_link_conflict('cus_fay', 'gus', 'no, he pays') - 'user_id' AS moved;
SELECT * FROM t.mine('fay');
SELECT * FROM t.mine('gus');
SELECT count(*) FROM verify_credit_ledger();
SELECT resolve_link_conflict('cus_nobody', 'gus', 'typo') ->> 'status' AS status;

-- Misuse.
SELECT * FROM t.refusal($$SELECT rename_user('ada', 'ada', 'same')$$);
SELECT * FROM t.refusal($$SELECT rename_user('ada', 'zoe', '')$$);
SELECT * FROM t.refusal($$SELECT rename_user('ada', NULL, 'null')$$);
SELECT * FROM t.refusal($$SELECT merge_users('bob', 'ada', 'why', '{"subscriptions": "none"}')$$);
SELECT * FROM t.refusal($$SELECT merge_users('bob', 'ada', 'why', '[]')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM t.refusal($$SELECT rename_user('ada', 'zoe', 'snapshot')$$);
COMMIT;
