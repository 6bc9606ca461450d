\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- Who it was goes, also from what comes later; what it amounted to stays, and that a trial was used.
SELECT set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'test');
CREATE FUNCTION t.charge_of(id text, customer text, fingerprint text, email text) RETURNS jsonb LANGUAGE sql AS $$
SELECT t.charge(id, customer, jsonb_build_object('billing_details', jsonb_build_object('email', email, 'name', 'Ada'), 'receipt_url', 'https://pay.example/Ada',
    'payment_method_details', jsonb_build_object('type', 'card', 'card', jsonb_build_object('brand', 'visa', 'fingerprint', fingerprint, 'last4', '4242'))))
$$;
-- Every line of every table that tells who she was.
CREATE FUNCTION t.traces(pattern text DEFAULT 'ada@example.com|Ada|\y4242\y|card_of_ada|Countess') RETURNS TABLE (place text, line text) LANGUAGE plpgsql AS $$
BEGIN
    FOR place IN SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' WHERE c.relkind = 'r' AND d.classid = 'pg_class'::regclass ORDER BY 1 LOOP
        RETURN QUERY EXECUTE format('SELECT %L::text, x::text FROM %I x WHERE x::text ~ $1', place, place) USING pattern;
    END LOOP;
END
$$;
CREATE FUNCTION t.sound() RETURNS TABLE (what text, detail text) LANGUAGE sql AS $$
SELECT 'ledger', v::text FROM verify_credit_ledger() v UNION ALL SELECT 'usage', u::text FROM verify_usage() u
UNION ALL SELECT 'rebuild', concat_ws(' ', r.table_name, r.row_key, r.difference, r.stored, r.rebuilt) FROM rebuild_billing_state() r
$$;
SELECT outcome FROM t.process(
    t.event('evt_p', 'price.created', '2025-12-01', t.price('pro', 2900) || '{"metadata": {"credits": "30"}}'),
    t.event('evt_1', 'customer.created', '2026-11-01', t.customer('cus_1', '{"metadata": {"user_id": "ada@example.com", "name": "Ada L."}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-11-01', t.subscription('sub_1', 'cus_1', 'trialing', '2026-11-01', '2026-11-15', jsonb_build_object('metadata', '{"user_id": "ada@example.com", "title": "Countess"}'::jsonb, 'trial_start', t.unix('2026-11-01'), 'trial_end', t.unix('2026-11-15')))),
    t.event('evt_3', 'invoice.paid', '2026-11-15', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-11-15', '2026-12-15', '{"customer_email": "ada@example.com", "customer_name": "Ada", "description": "Dear Ada"}')),
    t.event('evt_4', 'charge.succeeded', '2026-11-15', t.charge_of('ch_1', 'cus_1', 'card_of_ada', 'ada@example.com')),
    t.event('evt_5', 'invoice.upcoming', '2026-11-15', t.invoice('in_x', 'sub_1', 'cus_1', 'draft', '2026-12-15', '2027-01-15', '{"customer_email": "ada@example.com"}') - 'id'),
    t.event('evt_6', 'payment_method.detached', '2026-11-15', '{"id": "pm_1", "object": "payment_method", "customer": null, "type": "card", "billing_details": {"name": "Ada"}, "card": {"last4": "4242", "fingerprint": "card_of_ada"}}', previous => '{"customer": "cus_1"}'),
    -- Without customer: a checkout that she left, a payment as a guest with its refund, and what the bank asked for.
    t.event('evt_7', 'checkout.session.expired', '2026-11-15', '{"id": "cs_1", "object": "checkout.session", "mode": "subscription", "customer": null, "client_reference_id": "ada@example.com", "customer_email": "ada@example.com", "status": "expired"}'),
    t.event('evt_8', 'payment_intent.succeeded', '2026-11-15', '{"id": "pi_g", "object": "payment_intent", "customer": null, "amount": 500, "amount_received": 500, "currency": "eur", "status": "succeeded", "description": "for Ada", "receipt_email": "ada@example.com", "created": 1795000000, "metadata": {"user_id": "ada@example.com", "item_id": "book", "dedication": "to Ada"}}'),
    t.event('evt_9', 'charge.succeeded', '2026-11-15', t.charge_of('ch_g', NULL, 'card_of_ada', 'ada@example.com') || '{"payment_intent": "pi_g", "amount": 500, "payment_method_details": {"type": "sepa_debit", "sepa_debit": {"mandate": "mandate_1", "last4": "4242"}}}'),
    t.event('evt_10', 'mandate.updated', '2026-11-15', '{"id": "mandate_1", "object": "mandate", "status": "active", "customer_acceptance": {"online": {"ip_address": "4242::1"}}}'),
    t.event('evt_11', 'refund.created', '2026-11-15', '{"id": "re_g", "object": "refund", "payment_intent": "pi_g", "charge": "ch_g", "amount": 100, "status": "succeeded", "created": 1795000000, "destination_details": {"card": {"reference": "Ada4242"}, "type": "card"}}'),
    t.event('evt_12', 'customer.created', '2026-11-01', t.customer('cus_eve', '{"email": "eve@example.com", "name": "Eve", "metadata": {"user_id": "eve"}}')));
SELECT grant_credits('ada@example.com', 10, reason => 'Ada complained') ->> 'status' AS status, use_credits_validated('ada@example.com', 4, 'a story about Ada', metadata => '{"email": "ada@example.com", "job": 1}', actor_id => 'ada@example.com') ->> 'status' AS used;
SELECT count(DISTINCT place) > 8 AS everywhere FROM t.traces();
CREATE TABLE t.others AS SELECT c.place, c.line FROM t.contents() c WHERE c.line ~ '"eve"|_eve"';

-- Not while the id itself tells it, nor while something is paid for; misuse.
SELECT erase_user('ada@example.com', 'article 17');
SELECT rename_user('ada@example.com', 'u1', 'article 17') ->> 'status' AS status;
SELECT erase_user('u1', 'article 17');
SELECT erase_user('nobody', 'typo');
SELECT code, message FROM t.refusal($$SELECT erase_user('u1', '')$$);
SELECT code, message FROM t.refusal($$SELECT erase_user(NULL, 'x')$$);
SELECT outcome FROM t.process(t.event('evt_13', 'customer.subscription.deleted', '2026-11-16', t.subscription('sub_1', 'cus_1', 'canceled', '2026-11-01', '2026-11-15', jsonb_build_object('metadata', '{"user_id": "ada@example.com", "title": "Countess"}'::jsonb, 'ended_at', t.unix('2026-11-16'), 'trial_start', t.unix('2026-11-01'), 'trial_end', t.unix('2026-11-15')))));
SELECT erase_user('u1', 'article 17');

-- Nothing tells who it was, and nobody else has changed.
SELECT * FROM t.traces();
SELECT * FROM t.others EXCEPT SELECT * FROM t.contents();
SELECT payment_id, status, amount, amount_refunded, customer_email, description, metadata FROM payments ORDER BY 1;
SELECT user_id, item_id, status FROM enrollments;
SELECT transaction_type, amount, description, actor_id, metadata FROM credit_transactions ORDER BY transaction_id;
SELECT stripe_subscription_id, status, metadata FROM user_subscriptions;
SELECT stripe_customer_id, user_id, source, erased_at IS NOT NULL AS erased FROM stripe_customer_links ORDER BY 1;
SELECT name, email, metadata FROM stripe_customers WHERE id = 'cus_1';
SELECT card_brand, card_last4, receipt_url FROM stripe_charges c CROSS JOIN LATERAL (SELECT c.object #>> '{payment_method_details,card,brand}' AS card_brand, c.object #>> '{payment_method_details,card,last4}' AS card_last4) d WHERE id = 'ch_1';
SELECT kind, length(hash) AS length FROM erased_trials ORDER BY 1;
SELECT count(*) AS aliases FROM user_aliases;
SELECT action, subject, reason, details FROM audit_logs WHERE user_id = 'u1' AND actor <> 'stripe' ORDER BY created_at, action COLLATE "C";
SELECT * FROM t.sound();
-- Again is harmless.
SELECT erase_user('u1', 'again') ->> 'status' AS status;
SELECT * FROM t.traces();
SELECT * FROM t.sound();

-- What comes later brings nothing back, nor does it name somebody else; nor does what was sent before.
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.created', '2026-11-01', t.customer('cus_1', '{"metadata": {"user_id": "ada@example.com"}}')),
    t.event('evt_20', 'customer.updated', '2026-11-17', t.customer('cus_1', '{"email": "ada@example.com", "metadata": {"user_id": "ada@example.com"}}'), previous => '{"email": null}'),
    t.event('evt_21', 'charge.refunded', '2026-11-18', t.charge_of('ch_1', 'cus_1', 'card_of_ada', 'ada@example.com') || '{"amount_refunded": 2900, "refunded": true}'),
    t.event('evt_22', 'customer.subscription.updated', '2026-11-18', t.subscription('sub_1', 'cus_1', 'canceled', '2026-11-01', '2026-11-15', '{"metadata": {"user_id": "ada@example.com", "title": "Countess"}}')),
    t.event('evt_23', 'charge.updated', '2026-11-18', t.charge_of('ch_g', NULL, 'card_of_ada', 'ada@example.com') || '{"payment_intent": "pi_g", "amount": 500, "metadata": {"user_id": "ada@example.com", "item_id": "book"}}'),
    t.event('evt_24', 'review.opened', '2026-11-18', '{"id": "prv_1", "object": "review", "charge": "ch_1", "ip_address": "4242::1"}'),
    t.event('evt_25', 'checkout.session.expired', '2026-11-18', '{"id": "cs_2", "object": "checkout.session", "mode": "subscription", "customer": null, "client_reference_id": "u1", "customer_email": "ada@example.com", "status": "expired"}'),
    t.event('evt_26', 'invoice.upcoming', '2026-11-18', t.invoice('in_x', 'sub_1', 'cus_1', 'draft', '2026-12-15', '2027-01-15', '{"customer_email": "ada@example.com"}') - 'id'),
    t.event('evt_27', 'customer.updated', '2026-11-18', t.customer('cus_1', '{"name": "Ada"}'), extra => '{"livemode": true}'),
    t.event('evt_28', 'customer.deleted', '2026-11-19', t.customer('cus_1')));
SELECT * FROM t.traces();
SELECT stripe_customer_id, user_id, conflict_user_id FROM stripe_customer_links ORDER BY 1;
SELECT user_id, payment_id, status FROM payments ORDER BY 2;
SELECT * FROM t.sound();

-- Whoever comes back with the same id, address or card has had the trial; others have not.
SELECT upsert_plan('{"id": "pro", "trial_days": 14, "prices": [{"price_id": "price_pro"}]}') ->> 'id' AS plan;
SELECT get_or_create_stripe_customer('u1', 'ada@home.example') ->> 'status' AS status, get_or_create_stripe_customer('u2', 'Ada@Example.com') ->> 'status' AS status;
SELECT outcome FROM t.process(
    t.event('evt_30', 'customer.created', '2026-11-20', t.customer('cus_2', '{"email": " ADA@example.com", "metadata": {"user_id": "ada2"}}')),
    t.event('evt_31', 'customer.created', '2026-11-20', t.customer('cus_3', '{"email": "new@example.com", "metadata": {"user_id": "ada3"}}')),
    t.event('evt_32', 'charge.succeeded', '2026-11-20', t.charge_of('ch_3', 'cus_3', 'card_of_ada', 'new@example.com')),
    t.event('evt_33', 'customer.created', '2026-11-20', t.customer('cus_4', '{"email": "bob@example.com", "metadata": {"user_id": "bob"}}')));
SELECT u AS user_id, is_trial_eligible(u) ->> 'reason' AS reason FROM unnest('{u1,u2,ada@example.com,ada2,ada3,bob,eve}'::text[]) u;

-- Moving on: an erased user can be renamed and merged, and what comes of the customer stays redacted.
SELECT rename_user('u1', 'u9', 'numbers') ->> 'status' AS status;
SELECT outcome FROM t.process(t.event('evt_40', 'invoice.voided', '2026-11-20', t.invoice('in_2', 'sub_1', 'cus_1', 'void', '2026-11-15', '2026-12-15', '{"customer_email": "ada@example.com", "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {"user_id": "ada@example.com"}}}}')));
SELECT merge_users('u9', 'bob', 'one person') ->> 'status' AS status;
SELECT outcome FROM t.process(t.event('evt_41', 'invoice.updated', '2026-11-20', t.invoice('in_2', 'sub_1', 'cus_1', 'void', '2026-11-15', '2026-12-15', '{"customer_email": "ada@example.com"}')));
SELECT place, line FROM t.traces() WHERE line ~ 'in_2|cus_1"';
SELECT stripe_customer_id, user_id, conflict_user_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_1';
SELECT * FROM t.sound();

-- The hash is an HMAC (RFC 4231, test case 2); its key is nobody's but the owner's.
SELECT hmac_sha256('Jefe', 'what do ya want for nothing?') AS hmac;
SELECT redact_personal_data('{"email": "ada@example.com", "amount": 5}') AS redacted, redact_personal_data('not JSON') AS unreadable;
CREATE ROLE regress_admin; SELECT grant_billing_role('regress_admin', 'admin');
SELECT has_table_privilege('regress_admin', 'billing_erasure_key', 'SELECT') AS key, has_function_privilege('regress_admin', 'erase_user(text, text)', 'EXECUTE') AS may_erase, has_function_privilege('regress_admin', 'hmac_sha256(text, text)', 'EXECUTE') AS may_hash;
DROP OWNED BY regress_admin; DROP ROLE regress_admin;
