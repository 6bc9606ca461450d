-- What the HTTP API shows a user of himself, and everybody of the prices. docs/http-api.md
CREATE FUNCTION api_subscription(user_id text)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT @extschema@.get_user_subscription_state(user_id) $$;
COMMENT ON FUNCTION api_subscription(text) IS 'get_user_subscription_state() for a role that may read no table';

CREATE FUNCTION api_authorize(user_id text, feature text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    answer jsonb;
BEGIN
    IF feature IS NULL THEN
        IF @extschema@.has_active_subscription(user_id) THEN
            RETURN '{"allowed": true}';
        END IF;
        answer := @extschema@.get_user_subscription_state(user_id);
        RETURN jsonb_build_object('allowed', false, 'reason', answer -> 'reason', 'next_step', answer -> 'next_step');
    END IF;
    answer := @extschema@.check_entitlement(user_id, feature);
    RETURN jsonb_build_object('allowed', answer -> 'allowed', 'reason', answer -> 'reason', 'next_step', answer -> 'next_step');
END
$$;
COMMENT ON FUNCTION api_authorize(text, text) IS
    'whether the user has access, or may use a feature, and why not: allowed, reason, next_step';

CREATE FUNCTION check_api_page(max_rows integer)
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'max_rows must be between 1 and 100, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Ask for the next page behind its last row.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_api_page(integer) IS 'raises unless a page can be this long';

-- Each page begins behind `after`, the id of a row, and is read with one row more, which says whether there are more.
CREATE FUNCTION api_page(name text, rows_read jsonb, max_rows integer)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object(
        name, CASE WHEN jsonb_array_length(rows_read) > max_rows THEN rows_read - max_rows ELSE rows_read END,
        'has_more', jsonb_array_length(rows_read) > max_rows)
$$;
COMMENT ON FUNCTION api_page(text, jsonb, integer) IS 'a step of api_credits() and its like: the rows to show, and has_more';

CREATE FUNCTION api_credits(user_id text, max_rows integer DEFAULT 20, after text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    AS $$
#variable_conflict use_column
DECLARE
    page jsonb;
BEGIN
    PERFORM @extschema@.check_api_page(max_rows);
    IF after !~ '^[0-9]{1,18}$' THEN
        RETURN '{"status": "refused", "reason": "unknown_row"}';
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.id DESC), '[]') INTO page
      FROM (SELECT t.transaction_id AS id, t.transaction_type AS type, t.amount, t.balance_after, t.description,
                   t.created_at
              FROM @extschema@.credit_transactions t
             WHERE t.user_id = api_credits.user_id AND (after IS NULL OR t.transaction_id < after::bigint)
             ORDER BY t.transaction_id DESC LIMIT max_rows + 1) t;
    RETURN @extschema@.get_credit_balance(api_credits.user_id) || @extschema@.api_page('transactions', page, max_rows);
END
$$;
COMMENT ON FUNCTION api_credits(text, integer, text) IS 'get_credit_balance(), and the ledger''s latest entries, a page at a time';

CREATE FUNCTION api_invoices(user_id text, max_rows integer DEFAULT 20, after text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    AS $$
#variable_conflict use_column
DECLARE
    live  boolean := @extschema@.in_live_mode();
    page  jsonb;
    place timestamptz;
BEGIN
    PERFORM @extschema@.check_user_id(api_invoices.user_id);
    PERFORM @extschema@.check_api_page(max_rows);
    IF after IS NOT NULL THEN
        SELECT i.created INTO place
          FROM @extschema@.stripe_invoices i
          JOIN @extschema@.stripe_customer_links l ON l.stripe_customer_id = i.customer_id
         WHERE l.user_id = api_invoices.user_id AND i.livemode = live AND i.id = after;
        IF NOT FOUND THEN
            RETURN '{"status": "refused", "reason": "unknown_row"}';
        END IF;
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(i) ORDER BY i.created DESC, i.id DESC), '[]') INTO page
      FROM (SELECT i.id, i.number, i.status, i.billing_reason, i.currency, i.total, i.amount_due, i.amount_paid,
                   i.amount_remaining, i.created, i.period_start, i.period_end, i.due_date, i.paid_at,
                   i.hosted_invoice_url, i.object ->> 'invoice_pdf' AS invoice_pdf, i.subscription_id
              FROM @extschema@.stripe_invoices i
              JOIN @extschema@.stripe_customer_links l ON l.stripe_customer_id = i.customer_id
             WHERE l.user_id = api_invoices.user_id AND i.livemode = live AND NOT i.deleted
               AND i.id ~ '^in_' AND i.status IS DISTINCT FROM 'draft'
               AND (after IS NULL OR (i.created, i.id COLLATE "C") < (place, after COLLATE "C"))
             ORDER BY i.created DESC, i.id DESC LIMIT max_rows + 1) i;
    RETURN @extschema@.api_page('data', page, max_rows);
END
$$;
COMMENT ON FUNCTION api_invoices(text, integer, text) IS 'the invoices of a user, the newest first, a page at a time; drafts are left out';

CREATE FUNCTION api_payments(user_id text, max_rows integer DEFAULT 20, after text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    AS $$
#variable_conflict use_column
DECLARE
    live  boolean := @extschema@.in_live_mode();
    page  jsonb;
    place timestamptz;
BEGIN
    PERFORM @extschema@.check_user_id(api_payments.user_id);
    PERFORM @extschema@.check_api_page(max_rows);
    IF after IS NOT NULL THEN
        SELECT coalesce(p.payment_created, '-infinity') INTO place FROM @extschema@.payments p
         WHERE p.user_id = api_payments.user_id AND p.payment_id = after AND p.livemode = live;
        IF NOT FOUND THEN
            RETURN '{"status": "refused", "reason": "unknown_row"}';
        END IF;
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY coalesce(p.created, '-infinity') DESC, p.id DESC), '[]') INTO page
      FROM (SELECT p.payment_id AS id, p.status, p.amount, p.currency, p.amount_refunded, p.refunded_at, p.description,
                   p.stripe_invoice_id AS invoice_id, p.payment_created AS created, p.paid_at
              FROM @extschema@.payments p
             WHERE p.user_id = api_payments.user_id AND p.livemode = live
               AND (after IS NULL OR (coalesce(p.payment_created, '-infinity'), p.payment_id) < (place, after))
             ORDER BY coalesce(p.payment_created, '-infinity') DESC, p.payment_id DESC LIMIT max_rows + 1) p;
    RETURN @extschema@.api_page('data', page, max_rows);
END
$$;
COMMENT ON FUNCTION api_payments(text, integer, text) IS 'the payments of a user, the newest first, a page at a time';

-- Of the prices only those of plans that are offered; while there are no plans, every recurring one that is active.
CREATE FUNCTION api_prices()
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH price AS (
        SELECT p.id, p.product_id, p.lookup_key, p.nickname, p.currency, p.unit_amount, p.interval, p.interval_count,
               CASE WHEN p.interval_count = 1 THEN CASE p.interval WHEN 'month' THEN 'monthly' WHEN 'year' THEN 'yearly' END END AS cycle,
               m.plan_id, m.cycle AS plan_cycle
          FROM @extschema@.stripe_prices p
          LEFT JOIN @extschema@.stripe_products d ON d.id = p.product_id AND d.stripe_account = p.stripe_account AND d.livemode = p.livemode
          LEFT JOIN LATERAL (
               SELECT k.plan_id, k.cycle FROM (
                   SELECT r.plan_id, r.cycle, CASE r.kind WHEN 'price' THEN 1 WHEN 'lookup_key' THEN 2 ELSE 3 END AS rank
                     FROM @extschema@.plan_prices r
                    WHERE (r.kind, r.reference) IN (('price', p.id), ('lookup_key', p.lookup_key), ('product', p.product_id))
                   UNION ALL SELECT p.metadata ->> 'plan', NULL, 4
                   UNION ALL SELECT d.metadata ->> 'plan', NULL, 5) k
                 JOIN @extschema@.subscription_plans s ON s.id = k.plan_id
                ORDER BY k.rank LIMIT 1) m ON true
         WHERE p.stripe_account = '' AND NOT p.deleted AND coalesce(p.active, true) AND p.object ->> 'object' = 'price'
           AND p.livemode = @extschema@.in_live_mode()
           AND CASE WHEN EXISTS (SELECT FROM @extschema@.subscription_plans) THEN m.plan_id IS NOT NULL
                    ELSE p.interval IS NOT NULL END)
    SELECT jsonb_build_object(
        'plans', coalesce((SELECT jsonb_agg(jsonb_build_object(
                'id', s.id, 'name', s.display_name, 'description', s.description, 'rank', s.rank, 'is_default', s.is_default,
                'is_addon', s.is_addon, 'trial_days', s.trial_days, 'currency', s.currency,
                'price_monthly', s.price_monthly_minor, 'price_yearly', s.price_yearly_minor,
                'features', coalesce((SELECT jsonb_object_agg(f.feature, jsonb_strip_nulls(jsonb_build_object(
                        'kind', f.kind, 'enabled', f.enabled, 'unlimited', nullif(f.unlimited, false), 'limit', f.limit_value,
                        'window', f.usage_window, 'value', f.value)))
                    FROM @extschema@.plan_features f WHERE f.plan_id = s.id), '{}'))
                ORDER BY s.is_addon, s.rank, s.id)
            FROM @extschema@.subscription_plans s WHERE s.is_active), '[]'),
        'prices', coalesce((SELECT jsonb_agg(jsonb_build_object(
                'id', p.id, 'plan', p.plan_id, 'cycle', coalesce(p.plan_cycle, p.cycle), 'currency', p.currency,
                'unit_amount', p.unit_amount, 'interval', p.interval, 'interval_count', p.interval_count,
                'lookup_key', p.lookup_key, 'nickname', p.nickname)
                ORDER BY s.rank, p.plan_id, p.unit_amount, p.id)
            FROM price p LEFT JOIN @extschema@.subscription_plans s ON s.id = p.plan_id
           WHERE coalesce(s.is_active, true)), '[]'))
$$;
COMMENT ON FUNCTION api_prices() IS 'the plans that are offered, and their prices, for everybody: amounts in minor units';
