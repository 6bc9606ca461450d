-- A fresh extension, and the schema t: payloads in Stripe's real shape, and short ways to look at what they do.
-- Every file begins with it. Times are given as timestamps in UTC, and become seconds.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
DROP EXTENSION IF EXISTS pg_billing CASCADE;
DROP SCHEMA IF EXISTS t CASCADE;
CREATE EXTENSION pg_billing;
CREATE SCHEMA t;

CREATE FUNCTION t.unix(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
'SELECT extract(epoch FROM instant)::bigint';

-- API versions: before and since 2025-03-31.basil.
CREATE FUNCTION t.old() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '2020-08-27'$$;
CREATE FUNCTION t.new() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '2025-10-29.clover'$$;

CREATE FUNCTION t.list(elements jsonb, url text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object('object', 'list', 'data', elements, 'has_more', false,
                          'total_count', jsonb_array_length(elements), 'url', url)
$$;

CREATE FUNCTION t.event(id text, type text, created timestamptz, object jsonb, version text DEFAULT t.new(),
                        previous jsonb DEFAULT NULL, extra jsonb DEFAULT '{}') RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT (jsonb_build_object(
            'id', id, 'object', 'event', 'api_version', version, 'created', t.unix(created), 'livemode', false,
            'data', jsonb_build_object('object', object)
                    || CASE WHEN previous IS NULL THEN '{}' ELSE jsonb_build_object('previous_attributes', previous) END,
            'pending_webhooks', 1, 'request', jsonb_build_object('id', NULL, 'idempotency_key', NULL), 'type', type)
        || extra)::text
$$;

CREATE FUNCTION t.customer(id text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'customer', 'address', NULL, 'balance', 0, 'created', t.unix('2026-01-01'),
           'currency', NULL, 'default_source', NULL, 'delinquent', false, 'description', NULL,
           'email', 'ada@example.com', 'invoice_prefix', 'A1B2C3D4',
           'invoice_settings', '{"custom_fields": null, "default_payment_method": null, "footer": null}'::jsonb,
           'livemode', false, 'metadata', '{}'::jsonb, 'name', 'Ada', 'phone', NULL, 'preferred_locales', '[]'::jsonb,
           'shipping', NULL, 'tax_exempt', 'none', 'test_clock', NULL) || extra
$$;

CREATE FUNCTION t.product(id text, name text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'product', 'active', true, 'created', t.unix('2025-12-01'), 'default_price', NULL,
           'description', NULL, 'images', '[]'::jsonb, 'livemode', false, 'marketing_features', '[]'::jsonb,
           'metadata', '{}'::jsonb, 'name', name, 'tax_code', NULL, 'type', 'service', 'updated', t.unix('2025-12-01'))
$$;

-- price_pro sells prod_pro under the lookup key pro.
CREATE FUNCTION t.price(name text, amount integer) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', 'price_' || name, 'object', 'price', 'active', true, 'billing_scheme', 'per_unit',
           'created', t.unix('2025-12-01'), 'currency', 'eur', 'livemode', false, 'lookup_key', name,
           'metadata', '{}'::jsonb, 'nickname', NULL, 'product', 'prod_' || name,
           'recurring', '{"interval": "month", "interval_count": 1, "trial_period_days": null, "usage_type": "licensed"}'::jsonb,
           'tax_behavior', 'unspecified', 'tiers_mode', NULL, 'type', 'recurring', 'unit_amount', amount,
           'unit_amount_decimal', amount::text)
$$;

CREATE FUNCTION t.item(id text, subscription text, price jsonb, quantity integer, starts timestamptz, ends timestamptz,
                       version text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'subscription_item', 'created', t.unix(starts), 'metadata', '{}'::jsonb,
           'price', price, 'quantity', quantity, 'subscription', subscription, 'tax_rates', '[]'::jsonb)
       || CASE WHEN version < '2025-03-31' THEN '{}'
               ELSE jsonb_build_object('current_period_start', t.unix(starts), 'current_period_end', t.unix(ends),
                                       'discounts', '[]'::jsonb) END
$$;

-- A subscription to price_pro for the month from `starts`; `extra` replaces members.
CREATE FUNCTION t.subscription(id text, customer text, status text, starts timestamptz, ends timestamptz,
                               extra jsonb DEFAULT '{}', version text DEFAULT t.new()) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'subscription', 'application', NULL, 'billing_cycle_anchor', t.unix(starts),
           'cancel_at', NULL, 'cancel_at_period_end', false, 'canceled_at', NULL,
           'collection_method', 'charge_automatically', 'created', t.unix('2026-01-01'), 'currency', 'eur',
           'customer', customer, 'days_until_due', NULL, 'default_payment_method', NULL, 'description', NULL,
           'ended_at', NULL,
           'items', t.list(jsonb_build_array(t.item('si_' || id, id, t.price('pro', 2900), 1, starts, ends, version)),
                           '/v1/subscription_items?subscription=' || id),
           'latest_invoice', NULL, 'livemode', false, 'metadata', '{}'::jsonb, 'pause_collection', NULL,
           'pending_update', NULL, 'schedule', NULL, 'start_date', t.unix('2026-01-01'), 'status', status,
           'trial_end', NULL, 'trial_start', NULL)
       || CASE WHEN version < '2025-03-31'
               THEN jsonb_build_object('current_period_start', t.unix(starts), 'current_period_end', t.unix(ends),
                                       'quantity', 1)
               ELSE '{"billing_mode": {"type": "flexible"}, "discounts": []}' END
       || extra
$$;

-- The invoice for one period of a subscription.
CREATE FUNCTION t.invoice(id text, subscription text, customer text, status text, starts timestamptz, ends timestamptz,
                          extra jsonb DEFAULT '{}', version text DEFAULT t.new()) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'invoice', 'amount_due', 2900, 'amount_paid', CASE status WHEN 'paid' THEN 2900 ELSE 0 END,
           'amount_remaining', CASE status WHEN 'paid' THEN 0 ELSE 2900 END, 'attempt_count', 1,
           'billing_reason', 'subscription_cycle', 'collection_method', 'charge_automatically',
           'created', t.unix(starts), 'currency', 'eur', 'customer', customer, 'due_date', NULL,
           'livemode', false, 'metadata', '{}'::jsonb, 'number', 'A1B2C3D4-0001', 'period_start', t.unix(starts),
           'period_end', t.unix(starts), 'status', status,
           'status_transitions', jsonb_build_object('finalized_at', t.unix(starts), 'paid_at',
                                                    CASE status WHEN 'paid' THEN t.unix(starts) END),
           'subtotal', 2900, 'total', 2900)
       || CASE WHEN version < '2025-03-31'
               THEN jsonb_build_object(
                        'subscription', subscription, 'paid', status = 'paid', 'charge', 'ch_' || id,
                        'payment_intent', 'pi_' || id,
                        'lines', t.list(jsonb_build_array(jsonb_build_object(
                            'id', 'il_' || id, 'object', 'line_item', 'amount', 2900, 'currency', 'eur',
                            'period', jsonb_build_object('start', t.unix(starts), 'end', t.unix(ends)),
                            'price', t.price('pro', 2900), 'proration', false, 'quantity', 1,
                            'subscription', subscription, 'type', 'subscription')), '/v1/invoices/' || id || '/lines'))
               ELSE jsonb_build_object(
                        'parent', jsonb_build_object('quote_details', NULL, 'type', 'subscription_details',
                            'subscription_details', jsonb_build_object('metadata', '{}'::jsonb, 'subscription', subscription)),
                        'lines', t.list(jsonb_build_array(jsonb_build_object(
                            'id', 'il_' || id, 'object', 'line_item', 'amount', 2900, 'currency', 'eur', 'invoice', id,
                            'parent', jsonb_build_object('invoice_item_details', NULL, 'type', 'subscription_item_details',
                                'subscription_item_details', jsonb_build_object('proration', false,
                                    'subscription', subscription, 'subscription_item', 'si_' || subscription)),
                            'period', jsonb_build_object('start', t.unix(starts), 'end', t.unix(ends)),
                            'pricing', '{"price_details": {"price": "price_pro", "product": "prod_pro"}, "type": "price_details"}'::jsonb,
                            'quantity', 1)), '/v1/invoices/' || id || '/lines')) END
       || extra
$$;

CREATE FUNCTION t.checkout(id text, customer text, subscription text, client_reference_id text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'checkout.session', 'amount_subtotal', 2900, 'amount_total', 2900,
           'cancel_url', 'https://shop.example/cancel', 'client_reference_id', client_reference_id,
           'created', t.unix('2026-01-01'), 'currency', 'eur', 'customer', customer,
           'customer_details', '{"email": "ada@example.com", "name": null, "tax_ids": []}'::jsonb,
           'customer_email', NULL, 'expires_at', t.unix('2026-01-02'), 'invoice', NULL, 'livemode', false,
           'metadata', '{}'::jsonb, 'mode', 'subscription', 'payment_intent', NULL, 'payment_status', 'paid',
           'status', 'complete', 'subscription', subscription, 'success_url', 'https://shop.example/thanks')
$$;

CREATE FUNCTION t.charge(id text, customer text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
           'id', id, 'object', 'charge', 'amount', 2900, 'amount_captured', 2900, 'amount_refunded', 0,
           'captured', true, 'created', t.unix('2026-01-01'), 'currency', 'eur', 'customer', customer,
           'disputed', false, 'failure_code', NULL, 'livemode', false, 'metadata', '{}'::jsonb, 'paid', true,
           'payment_intent', NULL, 'receipt_url', NULL, 'refunded', false, 'status', 'succeeded') || extra
$$;

-- Links a customer to a user before anything else happens.
CREATE FUNCTION t.link(user_id text, customer text) RETURNS text LANGUAGE sql AS $$
SELECT link_stripe_customer(user_id, customer) ->> 'status'
$$;

-- Processes these payloads as one batch.
CREATE FUNCTION t.process(VARIADIC payloads text[])
    RETURNS TABLE (ordinal integer, stripe_event_id text, outcome text, error text) LANGUAGE sql AS $$
SELECT p.ordinal, p.stripe_event_id, p.outcome, p.error FROM process_stripe_events(payloads) p ORDER BY p.ordinal
$$;

-- What a state says about access, at a given instant.
CREATE FUNCTION t.state(user_id text, as_of timestamptz)
    RETURNS TABLE (state text, stripe_status text, has_access text, reason text, next_step text, access_until text,
                   renews_at text, ends_at text, stale text) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'stripe_status', s ->> 'has_access', s ->> 'reason', s ->> 'next_step',
       left(s ->> 'access_until', 19), left(s ->> 'renews_at', 19), left(s ->> 'ends_at', 19), s ->> 'stale'
  FROM get_user_subscription_state(user_id, as_of) s
$$;

-- Runs a command that should be refused, and tells how.
CREATE FUNCTION t.refusal(command text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN QUERY VALUES ('00000', 'not refused', '', '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                            hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END
$$;

-- Everything that the set of events determines, times of processing apart: what must not depend on their order.
CREATE FUNCTION t.contents() RETURNS TABLE (place text, line text) LANGUAGE sql AS $$
SELECT 'event', concat_ws(' ', stripe_event_id, outcome, processed, error, waiting_for) FROM stripe_events
UNION ALL SELECT 'mirror', (to_jsonb(o) - 'updated_at')::text FROM stripe_objects o
UNION ALL SELECT 'link', (to_jsonb(l) - 'linked_at' - 'created_at')::text FROM stripe_customer_links l
UNION ALL SELECT 'user', u.user_id FROM billing_users u
UNION ALL SELECT 'subscription', (to_jsonb(s) - 'updated_at')::text FROM user_subscriptions s
UNION ALL SELECT 'trial', (to_jsonb(t) - 'created_at')::text FROM trial_usage t
UNION ALL SELECT 'audit', (to_jsonb(a) - 'created_at')::text FROM audit_logs a WHERE a.action <> 'event_replayed'
UNION ALL SELECT 'cache', concat_ws(' ', user_id, state - 'cached_at' - 'expires_at') FROM subscription_cache c
$$;

CREATE PROCEDURE t.forget() LANGUAGE sql AS $$
TRUNCATE stripe_events, stripe_event_payloads, stripe_objects, stripe_customer_links, billing_users, user_subscriptions,
         audit_logs, subscription_cache, trial_usage
$$;
