\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- What plans have to do with access. Before there are any, every price gives it.
CREATE FUNCTION t.plan(user_id text, as_of timestamptz DEFAULT '2026-01-15') RETURNS TABLE (state text, has_access text, reason text, next_step text, plan text, until text, purchase text, plans text) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'has_access', s ->> 'reason', s ->> 'next_step', s ->> 'plan', left(s ->> 'access_until', 19), s ->> 'can_purchase',
       (SELECT string_agg(coalesce(e ->> 'plan', '-'), ' ') FROM jsonb_array_elements(s -> 'subscriptions') e)
  FROM get_user_subscription_state(user_id, as_of) s
$$;
CREATE FUNCTION t.sold(id text, customer text, price text, amount integer DEFAULT 2900, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_set(t.subscription(id, customer, 'active', '2026-01-01', '2026-02-01'), '{items,data,0,price}', t.price(price, amount) || extra)
$$;
SELECT t.link('user_1', 'cus_1'), t.link('user_2', 'cus_2'), t.link('user_3', 'cus_3');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.sold('sub_1', 'cus_1', 'pro')));
SELECT * FROM t.plan('user_1');
SELECT state ->> 'plan' AS cached FROM subscription_cache WHERE user_id = 'user_1';

-- From the first plan on a price that is mapped to none gives none, and says so; a setting may forgive that.
SELECT upsert_plan('{"id": "free", "default": true, "prices": [{"price_id": "price_free"}]}') ->> 'id' AS plan;
SELECT * FROM t.plan('user_1');
SELECT has_active_subscription('user_1') AS now, code, message, hint FROM t.refusal('SELECT require_subscription(''user_1'')');
SELECT set_billing_setting('unmapped_price_access', 'on', 'while the catalogue grows');
SELECT * FROM t.plan('user_1');
SELECT set_billing_setting('unmapped_price_access', NULL, 'it has grown');
SELECT upsert_plan('{"id": "pro", "rank": 20, "prices": [{"price_id": "price_pro"}]}') ->> 'id' AS plan;
SELECT * FROM t.plan('user_1');

-- By the price, its lookup key, its product, or the metadata of either, as the mirror has it.
SELECT upsert_plan('{"id": "keyed", "rank": 1, "prices": [{"lookup_key": "by_key"}]}') ->> 'id' AS a, upsert_plan('{"id": "product", "rank": 2, "prices": [{"product_id": "prod_by_product"}]}') ->> 'id' AS b,
       upsert_plan('{"id": "told", "rank": 3}') ->> 'id' AS c;
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.sold('sub_2', 'cus_2', 'by_key')));
SELECT plan, has_access FROM t.plan('user_2');
SELECT outcome FROM t.process(t.event('evt_3', 'customer.subscription.created', '2026-01-02', t.sold('sub_3', 'cus_2', 'by_product')));
SELECT plan, has_access, plans FROM t.plan('user_2');
SELECT outcome FROM t.process(t.event('evt_4', 'customer.subscription.created', '2026-01-03', t.sold('sub_4', 'cus_3', 'by_metadata')));
SELECT plan, has_access, reason FROM t.plan('user_3');
SELECT outcome FROM t.process(t.event('evt_4b', 'customer.subscription.created', now() - interval '1 day', t.subscription('sub_now', 'cus_3', 'active', now() - interval '1 day', now() + interval '29 days') || jsonb_build_object('items', t.list(jsonb_build_array(
    t.item('si_now', 'sub_now', t.price('unheard', 100), 1, now() - interval '1 day', now() + interval '29 days', t.new())), '/'))));
SELECT e ->> 'reason' AS reason, e ->> 'next_step' AS next_step, e -> 'why' ->> 1 AS why FROM explain_user('user_3') e;
SELECT outcome FROM t.process(t.event('evt_4c', 'customer.subscription.deleted', now(), t.subscription('sub_now', 'cus_3', 'incomplete_expired', now() - interval '1 day', now() + interval '29 days')));
-- A price or product that says it later makes what was cached obsolete.
SELECT generation AS before FROM billing_settings WHERE name = 'plans' \gset
SELECT outcome FROM t.process(t.event('evt_5', 'product.updated', '2026-01-04', t.product('prod_by_metadata', 'Told') || '{"metadata": {"plan": "told"}}'));
SELECT generation > :before AS newer, reason FROM billing_settings WHERE name = 'plans';
SELECT plan, has_access, reason FROM t.plan('user_3');
SELECT generation AS before FROM billing_settings WHERE name = 'plans' \gset
SELECT outcome FROM t.process(t.event('evt_6', 'product.updated', '2026-01-05', t.product('prod_by_metadata', 'New name') || '{"metadata": {"plan": "told"}}'),
                              t.event('evt_7', 'product.updated', '2026-01-05', t.product('prod_other', 'Other')));
SELECT generation = :before AS same FROM billing_settings WHERE name = 'plans';
-- What the price says counts before what its product says.
SELECT outcome FROM t.process(t.event('evt_8', 'price.updated', '2026-01-06', t.price('by_metadata', 2900) || '{"metadata": {"plan": "keyed"}}'));
SELECT plan FROM t.plan('user_3');

-- Of several with access the one with the higher rank counts, then the newest; one without access never.
SELECT plan, plans FROM t.plan('user_2');
SELECT upsert_plan('{"id": "keyed", "rank": 30, "prices": [{"lookup_key": "by_key"}]}') ->> 'rank' AS rank;
SELECT plan, plans FROM t.plan('user_2');
SELECT outcome FROM t.process(t.event('evt_9', 'customer.subscription.deleted', '2026-01-10', t.sold('sub_2', 'cus_2', 'by_key') || jsonb_build_object('status', 'canceled', 'ended_at', t.unix('2026-01-10'))));
SELECT plan, plans FROM t.plan('user_2');

-- A subscription to the default plan at no cost is that plan: it does not block a purchase. At a price it does.
SELECT t.link('user_4', 'cus_4');
SELECT outcome FROM t.process(t.event('evt_10', 'customer.subscription.created', '2026-01-01', t.sold('sub_5', 'cus_4', 'free', 0)));
SELECT state, has_access, plan, purchase FROM t.plan('user_4');
SELECT outcome FROM t.process(t.event('evt_11', 'customer.subscription.updated', '2026-01-02', t.sold('sub_5', 'cus_4', 'free', 100)));
SELECT state, has_access, plan, purchase FROM t.plan('user_4');

-- A batch changes prices and subscriptions at once: the states follow, whatever order it came in.
SELECT t.link('user_5', 'cus_5');
SELECT outcome FROM t.process(t.event('evt_12', 'customer.subscription.created', '2026-01-01', t.sold('sub_6', 'cus_5', 'late', 2900, '{"metadata": {"plan": "told"}}')),
                              t.event('evt_13', 'price.created', '2026-01-01', t.price('late', 2900) || '{"metadata": {"plan": "told"}}'));
SELECT plan, has_access FROM t.plan('user_5');
SELECT generation < (SELECT max(generation) FROM billing_settings) AS obsolete FROM subscription_cache WHERE user_id = 'user_5';
SELECT get_user_subscription_state('user_5') ->> 'plan' AS plan;

-- What neither a price nor its product says about credits its plan may.
SELECT set_billing_setting('grants_since', '2025-01-01T00:00:00Z', 'test');
SELECT upsert_plan('{"id": "pro", "rank": 20, "prices": [{"price_id": "price_pro"}], "credits": {"credits": 300, "credit_rollover": "all"}}') -> 'credits' AS credits;
SELECT t.link('user_6', 'cus_6');
SELECT outcome FROM t.process(t.event('evt_14', 'customer.subscription.created', '2026-01-01', t.sold('sub_7', 'cus_6', 'pro')),
                              t.event('evt_15', 'price.created', '2026-01-01', t.price('pro', 2900)), t.event('evt_16', 'product.created', '2026-01-01', t.product('prod_pro', 'Pro')),
                              t.event('evt_17', 'invoice.paid', '2026-01-01', t.invoice('in_1', 'sub_7', 'cus_6', 'paid', '2026-01-01', '2026-02-01')));
SELECT amount, source, stripe_invoice_id FROM credit_grants WHERE user_id = 'user_6';
SELECT r.code, r.message FROM t.refusal('SELECT upsert_plan(''{"id": "pro", "credits": {"credit": 300}}'')') r;
