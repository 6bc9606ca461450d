\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Which user pays as which customer: existing link, then checkout, subscription, invoice, customer. A conflict never
-- rebinds silently: it is recorded and waits for a person.
SELECT link_stripe_customer('user_1', 'cus_1');
SELECT link_stripe_customer('user_1', 'cus_1');
-- Several customers of one user, never several users of one customer.
SELECT link_stripe_customer('user_1', 'cus_1b', '{"reason": "second currency"}');
SELECT * FROM t.refusal($$SELECT link_stripe_customer('user_2', 'cus_1')$$);
SELECT stripe_customer_id, user_id, source, linked_by = current_user AS by_me, linked_at IS NOT NULL AS has_time FROM stripe_customer_links ORDER BY 1;
SELECT user_id, action, subject, actor = current_user AS by_me, reason FROM audit_logs ORDER BY subject;

-- The strongest evidence of a batch binds, whatever its place in the batch.
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_2', '{"metadata": {"user_id": "by_customer"}}')),
    t.event('evt_2', 'invoice.created', '2026-01-01', t.invoice('in_2', 'sub_2', 'cus_2', 'draft', '2026-01-01', '2026-02-01',
            '{"subscription_details": {"metadata": {"user_id": "by_invoice"}}}', t.old()), t.old()),
    t.event('evt_3', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "by_subscription"}}')),
    t.event('evt_4', 'checkout.session.completed', '2026-01-01', t.checkout('cs_2', 'cus_2', 'sub_2', 'by_checkout')));
SELECT user_id, source, conflict_user_id, conflict_source, conflict_event_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_2';
-- An existing link is stronger than any evidence. The event takes effect for the user who is linked.
SELECT outcome FROM t.process(
    t.event('evt_5', 'checkout.session.completed', '2026-01-02', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_9')),
    t.event('evt_6', 'customer.subscription.created', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_8"}}')));
SELECT user_id, source, conflict_user_id, conflict_source, conflict_event_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_1';
SELECT user_id, stripe_subscription_id FROM user_subscriptions ORDER BY 1, 2;
SELECT count(*) FROM billing_users WHERE user_id IN ('user_8', 'user_9');
SELECT jsonb_pretty(explain_user('user_1') -> 'why') AS why;
-- A person decides that the link is right: the conflict is over.
SELECT link_stripe_customer('user_1', 'cus_1', '{"reason": "checked"}') ->> 'status' AS status;
SELECT user_id, conflict_user_id, conflict_source, conflict_event_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_1';
-- Two users share no subscription.
SELECT has_access FROM t.state('user_9', '2026-01-15');

-- Ids are bytes: case and trailing spaces count, any character will do.
SELECT link_stripe_customer('User_1', 'cus_3') ->> 'status' AS status;
SELECT link_stripe_customer('user_1 ', 'cus_4') ->> 'status' AS status;
SELECT link_stripe_customer('Zoë ''"\ 🙂', 'cus_5') ->> 'user_id' AS user_id;
SELECT get_user_subscription_state('Zoë ''"\ 🙂', '2026-01-01') ->> 'user_id' AS user_id;

-- get_or_create_stripe_customer(): the customer of a user, or a note that one is wanted.
SELECT get_or_create_stripe_customer('user_1', 'ada@example.com');
SELECT get_or_create_stripe_customer('user_n', 'ada@example.com') - 'request_id' AS get_or_create_stripe_customer;
SELECT get_or_create_stripe_customer('user_n', NULL) ->> 'status' AS status;
SELECT get_or_create_stripe_customer('user_n', 'grace@example.com') ->> 'status' AS status;
SELECT user_id, email, customer_requested_at IS NOT NULL AS requested FROM billing_users WHERE user_id = 'user_n';
SELECT t.link('user_n', 'cus_n');
SELECT get_or_create_stripe_customer('user_n', NULL) - 'request_id' AS get_or_create_stripe_customer;
-- A customer that was deleted at Stripe cannot pay.
SELECT outcome FROM t.process(t.event('evt_7', 'customer.deleted', '2026-01-03', t.customer('cus_n')));
SELECT get_or_create_stripe_customer('user_n', NULL) ->> 'status' AS status;
