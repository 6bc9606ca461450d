-- What subscriptions are worth by the month: docs/metrics.md says by which rules. Amounts are in minor units.

-- What all metrics are about: objects of the mode in force, and calendar days and months of billing.time_zone.
CREATE FUNCTION metrics_basis(OUT livemode boolean, OUT time_zone text)
    RETURNS record
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT max(s.value) FILTER (WHERE s.name = 'mode') = 'live', max(s.value) FILTER (WHERE s.name = 'time_zone')
      FROM @extschema@.get_billing_settings() s
$$;
COMMENT ON FUNCTION metrics_basis() IS 'the mode and the time zone that the metrics_ views go by';

-- Stripe sends fractions of a minor unit as text.
CREATE FUNCTION stripe_decimal(value jsonb)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN value OPERATOR(pg_catalog.#>>) '{}' OPERATOR(pg_catalog.~) '^-?[0-9]{1,18}([.][0-9]{1,18})?$'
                THEN (value OPERATOR(pg_catalog.#>>) '{}')::pg_catalog.numeric END
$$;
COMMENT ON FUNCTION stripe_decimal(jsonb) IS 'a decimal number, as number or as text; null unless it is one';

-- Low costs here keep the planner from compiling (JIT) for seconds what runs for less.

-- What an item costs for one of its periods before discounts: null when its price alone does not tell (tiers).
CREATE FUNCTION stripe_item_amount(item jsonb)
    RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1 SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    price     jsonb := coalesce(nullif(item -> 'price', 'null'), item -> 'plan');
    packed    jsonb := coalesce(nullif(price -> 'transform_quantity', 'null'), price -> 'transform_usage');
    divide_by numeric := @extschema@.stripe_decimal(packed -> 'divide_by');
    quantity  numeric := coalesce(@extschema@.stripe_decimal(item -> 'quantity'), 1);
    amount    numeric;
BEGIN
    IF divide_by > 0 THEN
        quantity := CASE packed ->> 'round' WHEN 'up' THEN ceil(quantity / divide_by) ELSE floor(quantity / divide_by) END;
    END IF;
    amount := quantity * coalesce(@extschema@.stripe_decimal(price -> 'unit_amount'),
                                  @extschema@.stripe_decimal(price -> 'unit_amount_decimal'),
                                  @extschema@.stripe_decimal(price -> 'amount'),
                                  @extschema@.stripe_decimal(price -> 'amount_decimal'));
    -- What no price can be must not break the sum of all.
    RETURN CASE WHEN abs(amount) < 1e14 THEN amount END;
END
$$;
COMMENT ON FUNCTION stripe_item_amount(jsonb) IS
    'what a subscription item costs for one period, in minor units, discounts and taxes as they come';

-- Payments a year. A year has 12 months and 365 days.
CREATE FUNCTION periods_per_year(period text, every bigint)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE period WHEN 'month' THEN 12.0 WHEN 'year' THEN 1.0 WHEN 'week' THEN 365.0 / 7 WHEN 'day' THEN 365.0 END
           / nullif(greatest(coalesce(every, 1), 0), 0)
$$;
COMMENT ON FUNCTION periods_per_year(text, bigint) IS 'how often `every` months, years, weeks or days fit into a year';

-- One discount as it recurs: {"percent": p} or {"amount": minor units}, with "products" when it is for these only;
-- {"unknown": true} when nothing tells; null when it does not recur or is over.
-- Before basil a discount is embedded, since then often an id alone; since clover its coupon too. What is not embedded
-- is looked up in the mirror; where that has nothing, what the latest invoice took off for it counts.
CREATE FUNCTION recurring_discount(discount jsonb, account text, live boolean, currency text, invoice_id text,
                                   at timestamptz)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    told    jsonb := discount;
    coupon  jsonb;
    amount  numeric;
    applies jsonb;
BEGIN
    IF jsonb_typeof(told) = 'string' THEN
        SELECT o.object INTO told FROM @extschema@.stripe_objects o
         WHERE o.stripe_account = account AND o.livemode = live AND o.object_type = 'discount'
           AND o.object_id = discount #>> '{}';
    END IF;
    IF @extschema@.stripe_time(told -> 'end') <= at THEN
        RETURN NULL;
    END IF;
    coupon := coalesce(nullif(told -> 'coupon', 'null'), nullif(told #> '{source,coupon}', 'null'));
    IF jsonb_typeof(coupon) = 'string' THEN
        SELECT o.object INTO coupon FROM @extschema@.stripe_objects o
         WHERE o.stripe_account = account AND o.livemode = live AND o.object_type = 'coupon'
           AND o.object_id = coupon #>> '{}';
    END IF;
    IF jsonb_typeof(coupon) = 'object' THEN
        IF coupon ->> 'duration' = 'once' THEN
            RETURN NULL;
        END IF;
        applies := CASE WHEN jsonb_array_length(CASE jsonb_typeof(coupon #> '{applies_to,products}') WHEN 'array'
                                                THEN coupon #> '{applies_to,products}' ELSE '[]' END) > 0
                        THEN jsonb_build_object('products', coupon #> '{applies_to,products}') ELSE '{}' END;
        amount := @extschema@.stripe_decimal(coupon -> 'percent_off');
        IF amount IS NOT NULL THEN
            RETURN jsonb_build_object('percent', amount) || applies;
        END IF;
        amount := CASE WHEN coupon ->> 'currency' = recurring_discount.currency
                       THEN @extschema@.stripe_decimal(coupon -> 'amount_off')
                       ELSE @extschema@.stripe_decimal(
                                coupon -> 'currency_options' -> recurring_discount.currency -> 'amount_off') END;
        -- An amount in another currency takes nothing off.
        RETURN jsonb_build_object('amount', coalesce(amount, 0)) || applies;
    END IF;
    SELECT sum(@extschema@.stripe_decimal(d.element -> 'amount')) INTO amount
      FROM @extschema@.stripe_objects o,
           jsonb_array_elements(CASE jsonb_typeof(o.object #> '{lines,data}') WHEN 'array'
                                THEN o.object #> '{lines,data}' ELSE '[]' END) l(line),
           jsonb_array_elements(CASE jsonb_typeof(l.line -> 'discount_amounts') WHEN 'array'
                                THEN l.line -> 'discount_amounts' ELSE '[]' END) d(element)
     WHERE o.stripe_account = account AND o.livemode = live AND o.object_type = 'invoice' AND o.object_id = invoice_id
       AND @extschema@.stripe_id(d.element -> 'discount') = @extschema@.stripe_id(discount);
    RETURN coalesce(jsonb_build_object('amount', amount) || CASE WHEN amount IS NULL THEN NULL ELSE '{}'::jsonb END,
                    '{"unknown": true}');
END
$$;
COMMENT ON FUNCTION recurring_discount(jsonb, text, boolean, text, text, timestamptz) IS
    'what a discount takes off each period: {"percent"} or {"amount"}; null when it does not recur';

-- What is left of each item: its own discounts first, then the subscription's (or, when that has none, its
-- customer's), each from what the ones before it left. An amount is spread over the items in proportion.
CREATE FUNCTION discounted_items(subscription jsonb, customer_discount jsonb, account text, live boolean, at timestamptz,
                                 OUT "position" bigint, OUT amount numeric, OUT unknown boolean)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 ROWS 1 SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    items    jsonb := subscription #> '{items,data}';
    money    text := coalesce(subscription ->> 'currency', items #>> '{0,price,currency}', items #>> '{0,plan,currency}');
    invoice  text := @extschema@.stripe_id(subscription -> 'latest_invoice');
    shared   jsonb := CASE WHEN jsonb_array_length(CASE jsonb_typeof(subscription -> 'discounts') WHEN 'array'
                                                   THEN subscription -> 'discounts' ELSE '[]' END) > 0
                           THEN subscription -> 'discounts'
                           WHEN jsonb_typeof(subscription -> 'discount') = 'object'
                           THEN jsonb_build_array(subscription -> 'discount')
                           WHEN jsonb_typeof(customer_discount) = 'object'
                           THEN jsonb_build_array(customer_discount) ELSE '[]' END;
    amounts  numeric[];
    products text[];
    hit      boolean[];
    total    numeric;
    off      jsonb;
    vague    boolean := false;
    i        integer;
    step     record;
BEGIN
    IF jsonb_typeof(items) IS DISTINCT FROM 'array' THEN
        RETURN;
    END IF;
    SELECT array_agg(@extschema@.stripe_item_amount(e.item) ORDER BY e.n),
           array_agg(@extschema@.stripe_id(coalesce(e.item #> '{price,product}', e.item #> '{plan,product}')) ORDER BY e.n)
      INTO amounts, products
      FROM jsonb_array_elements(items) WITH ORDINALITY e(item, n);
    FOR step IN
        SELECT e.n::integer AS only_item, d.discount
          FROM jsonb_array_elements(items) WITH ORDINALITY e(item, n),
               jsonb_array_elements(CASE jsonb_typeof(e.item -> 'discounts') WHEN 'array'
                                    THEN e.item -> 'discounts' ELSE '[]' END) WITH ORDINALITY d(discount, k)
        UNION ALL
        SELECT NULL, d.discount FROM jsonb_array_elements(shared) d(discount)
    LOOP
        off := @extschema@.recurring_discount(step.discount, account, live, money, invoice, at);
        IF off IS NULL THEN
            CONTINUE;
        END IF;
        vague := vague OR off ? 'unknown';
        SELECT array_agg((step.only_item IS NULL OR k = step.only_item)
                         AND (NOT off ? 'products' OR off -> 'products' ? products[k]) ORDER BY k),
               sum(amounts[k]) FILTER (WHERE (step.only_item IS NULL OR k = step.only_item)
                                         AND (NOT off ? 'products' OR off -> 'products' ? products[k]))
          INTO hit, total
          FROM generate_subscripts(amounts, 1) k;
        FOR i IN 1 .. cardinality(amounts) LOOP
            IF hit[i] AND off ? 'percent' THEN
                amounts[i] := amounts[i] * greatest(1 - (off ->> 'percent')::numeric / 100, 0);
            ELSIF hit[i] AND off ? 'amount' AND total > 0 THEN
                amounts[i] := amounts[i] - amounts[i] * least((off ->> 'amount')::numeric, total) / total;
            END IF;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT k::bigint, amounts[k], vague FROM generate_subscripts(amounts, 1) k;
END
$$;
COMMENT ON FUNCTION discounted_items(jsonb, jsonb, text, boolean, timestamptz) IS
    'what each item of a subscription costs for one period after the discounts that recur';

-- How many percent of tax an amount contains: by the item's own tax rates, or else the subscription's; with automatic
-- tax by what the latest invoice says of this item. Taxes that are added to the price do not count here.
CREATE FUNCTION included_tax_percent(subscription jsonb, item jsonb, account text, live boolean)
    RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    rates   jsonb := coalesce(nullif(nullif(item -> 'tax_rates', '[]'), 'null'), subscription -> 'default_tax_rates');
    percent numeric;
BEGIN
    IF jsonb_typeof(rates) = 'array' AND rates <> '[]' THEN
        RETURN greatest((SELECT sum(@extschema@.stripe_decimal(r.rate -> 'percentage'))
                           FROM jsonb_array_elements(rates) r(rate)
                          WHERE @extschema@.stripe_flag(r.rate -> 'inclusive')), 0);
    END IF;
    IF item #>> '{price,tax_behavior}' IS DISTINCT FROM 'inclusive' THEN
        RETURN 0;
    END IF;
    SELECT sum(100 * @extschema@.stripe_decimal(x.tax -> 'amount')
               / nullif(@extschema@.stripe_decimal(x.tax -> 'taxable_amount'), 0))
      INTO percent
      FROM @extschema@.stripe_objects o,
           jsonb_array_elements(CASE jsonb_typeof(o.object #> '{lines,data}') WHEN 'array'
                                THEN o.object #> '{lines,data}' ELSE '[]' END) l(line),
           jsonb_array_elements(CASE WHEN jsonb_typeof(l.line -> 'taxes') = 'array' THEN l.line -> 'taxes'
                                     WHEN jsonb_typeof(l.line -> 'tax_amounts') = 'array' THEN l.line -> 'tax_amounts'
                                     ELSE '[]' END) x(tax)
     WHERE o.stripe_account = account AND o.livemode = live AND o.object_type = 'invoice'
       AND o.object_id = @extschema@.stripe_id(subscription -> 'latest_invoice')
       AND item ->> 'id' IN (l.line ->> 'subscription_item',
                             l.line #>> '{parent,subscription_item_details,subscription_item}')
       AND NOT coalesce(@extschema@.stripe_flag(coalesce(l.line -> 'proration',
               l.line #> '{parent,subscription_item_details,proration}')), false)
       AND (x.tax ->> 'tax_behavior' = 'inclusive' OR @extschema@.stripe_flag(x.tax -> 'inclusive'));
    RETURN greatest(percent, 0);
END
$$;
COMMENT ON FUNCTION included_tax_percent(jsonb, jsonb, text, boolean) IS
    'the percentage of tax that a subscription item''s price includes; 0 when taxes are added to it';

-- Which plan each price is: the same order as everywhere else.
CREATE VIEW price_plans AS
SELECT DISTINCT ON (p.stripe_account, p.livemode, p.id)
       p.stripe_account, p.livemode, p.id AS price_id, p.product_id, p.lookup_key,
       coalesce(by_price.plan_id, by_key.plan_id, by_product.plan_id, told.id, told_by_product.id) AS plan_id
  FROM stripe_prices p
  LEFT JOIN plan_prices by_price ON by_price.kind = 'price' AND by_price.reference = p.id
  LEFT JOIN plan_prices by_key ON by_key.kind = 'lookup_key' AND by_key.reference = p.lookup_key
  LEFT JOIN plan_prices by_product ON by_product.kind = 'product' AND by_product.reference = p.product_id
  LEFT JOIN subscription_plans told ON told.id = p.metadata ->> 'plan'
  LEFT JOIN stripe_objects product ON product.stripe_account = p.stripe_account AND product.livemode = p.livemode
        AND product.object_type = 'product' AND product.object_id = p.product_id
  LEFT JOIN subscription_plans told_by_product ON told_by_product.id = product.object #>> '{metadata,plan}'
 ORDER BY p.stripe_account, p.livemode, p.id, p.object ->> 'object' DESC;
COMMENT ON VIEW price_plans IS 'which plan each price of the mirror is; plan_id is null when it is mapped to none';

-- OFFSET 0 keeps each step computed once: the planner would copy its expressions into every column that uses it.
CREATE VIEW subscription_revenue AS
SELECT o.stripe_account, o.object_id AS stripe_subscription_id, i.id AS item_id, o.stripe_customer_id, link.user_id,
       coalesce(link.user_id, o.stripe_customer_id) AS payer,
       pp.plan_id, i.price_id, i.product_id, s.status, p.currency, p.period, p.period_count, i.quantity,
       p.list_amount, p.list_amount - d.amount AS discount_amount, d.amount - t.amount AS included_tax,
       t.amount AS net_amount, coalesce(off.unknown, false) AS discount_unknown,
       m.yearly / 12 AS monthly_value,
       CASE WHEN w.reason = 'counted' THEN m.yearly / 12 ELSE 0 END AS mrr,
       CASE WHEN w.reason = 'counted' THEN m.yearly ELSE 0 END AS arr,
       w.reason, s.decided_end, s.created, s.trial_start, s.trial_end, s.ended_at,
       CASE WHEN c.deleted THEN c.event_created END AS customer_deleted_at, o.event_created
  FROM metrics_basis() b
  JOIN stripe_objects o ON o.object_type = 'subscription' AND o.object IS NOT NULL AND o.livemode = b.livemode
  LEFT JOIN stripe_customer_links link ON link.stripe_customer_id = o.stripe_customer_id
  LEFT JOIN stripe_objects c ON c.stripe_account = o.stripe_account AND c.livemode = o.livemode
        AND c.object_type = 'customer' AND c.object_id = o.stripe_customer_id
 CROSS JOIN LATERAL (
           SELECT o.object ->> 'status' AS status, stripe_time(o.object -> 'created') AS created,
                  stripe_time(o.object -> 'trial_start') AS trial_start, stripe_time(o.object -> 'trial_end') AS trial_end,
                  CASE WHEN o.object ->> 'status' = 'canceled'
                       THEN coalesce(stripe_time(o.object -> 'ended_at'), stripe_time(o.object -> 'canceled_at'),
                                     o.event_created) END AS ended_at,
                  coalesce(stripe_time(o.object -> 'cancel_at'),
                           CASE WHEN stripe_flag(o.object -> 'cancel_at_period_end')
                                THEN coalesce(stripe_time(o.object -> 'current_period_end'),
                                              stripe_time(o.object #> '{items,data,0,current_period_end}')) END) AS decided_end,
                  coalesce(o.object #>> '{pause_collection,behavior}' IN ('void', 'mark_uncollectible')
                           AND stripe_time(o.object #> '{pause_collection,resumes_at}') <= now() IS NOT TRUE,
                           false) AS paused
           OFFSET 0) s
  JOIN stripe_subscription_items i ON i.subscription_id = o.object_id AND i.stripe_account = o.stripe_account
        AND i.livemode = o.livemode
 CROSS JOIN LATERAL (
           SELECT x.price ->> 'currency' AS currency, coalesce(x.price #>> '{recurring,usage_type}', x.price ->> 'usage_type') AS usage_type,
                  coalesce(x.price #>> '{recurring,interval}', x.price ->> 'interval') AS period,
                  coalesce(stripe_integer(x.price #> '{recurring,interval_count}'),
                           stripe_integer(x.price -> 'interval_count'), 1) AS period_count,
                  stripe_item_amount(i.object) AS list_amount
             FROM (SELECT coalesce(nullif(i.object -> 'price', 'null'), i.object -> 'plan') AS price OFFSET 0) x
           OFFSET 0) p
  LEFT JOIN price_plans pp ON pp.stripe_account = o.stripe_account AND pp.livemode = o.livemode AND pp.price_id = i.price_id
  -- Most have no discount, and are not asked for.
  LEFT JOIN LATERAL (
           SELECT x.position, x.amount, x.unknown
             FROM discounted_items(o.object, c.object -> 'discount', o.stripe_account, o.livemode, coalesce(s.ended_at, now())) x
            WHERE coalesce(o.object -> 'discounts', '[]') <> '[]' OR jsonb_typeof(o.object -> 'discount') = 'object'
               OR jsonb_typeof(c.object -> 'discount') = 'object'
               OR jsonb_path_exists(o.object, '$.items.data[*].discounts[*]')
           OFFSET 0) off ON off.position = i.position
 CROSS JOIN LATERAL (SELECT coalesce(off.amount, p.list_amount) AS amount) d
 CROSS JOIN LATERAL (
           SELECT d.amount / (1 + included_tax_percent(o.object, i.object, o.stripe_account, o.livemode) / 100) AS amount
           OFFSET 0) t
 CROSS JOIN LATERAL (
           SELECT CASE WHEN p.usage_type = 'metered' THEN 0
                       ELSE coalesce(t.amount * periods_per_year(p.period, p.period_count), 0) END AS yearly
           OFFSET 0) m
 CROSS JOIN LATERAL (
           SELECT CASE WHEN c.deleted THEN 'customer_deleted'
                       WHEN s.status = 'trialing' THEN 'trialing'
                       WHEN s.status NOT IN ('active', 'past_due') OR s.status IS NULL THEN 'not_active'
                       WHEN s.decided_end <= now() THEN 'ended'
                       WHEN s.paused THEN 'collection_paused'
                       WHEN p.usage_type = 'metered' THEN 'metered'
                       WHEN periods_per_year(p.period, p.period_count) IS NULL THEN 'not_recurring'
                       WHEN p.list_amount IS NULL THEN 'amount_unknown'
                       WHEN m.yearly = 0 THEN 'free'
                       ELSE 'counted' END AS reason
           OFFSET 0) w;
COMMENT ON VIEW subscription_revenue IS
    'what each subscription item is worth, step by step, in minor units; reason says why it counts in MRR, or why not';
COMMENT ON COLUMN subscription_revenue.payer IS 'the user, or the Stripe customer when nobody is linked to it';
COMMENT ON COLUMN subscription_revenue.list_amount IS 'price times quantity, for one period; null when the price has tiers';
COMMENT ON COLUMN subscription_revenue.monthly_value IS 'net_amount by the month, whatever the subscription''s status';
COMMENT ON COLUMN subscription_revenue.mrr IS 'monthly_value where it counts, else 0; not rounded';

CREATE VIEW metrics_mrr AS
SELECT r.stripe_account, r.currency, round(sum(r.mrr))::bigint AS mrr, round(sum(r.arr))::bigint AS arr,
       count(DISTINCT r.stripe_subscription_id) FILTER (WHERE r.reason = 'counted') AS subscriptions,
       count(DISTINCT r.payer) FILTER (WHERE r.reason = 'counted') AS payers,
       round(sum(r.mrr) / nullif(count(DISTINCT r.payer) FILTER (WHERE r.reason = 'counted'), 0))::bigint AS mrr_per_payer,
       round(coalesce(sum(r.mrr) FILTER (WHERE r.decided_end IS NOT NULL), 0))::bigint AS mrr_ending,
       round(coalesce(sum(r.mrr) FILTER (WHERE r.status = 'past_due'), 0))::bigint AS mrr_past_due,
       round(coalesce(sum(r.monthly_value) FILTER (WHERE r.reason = 'trialing'), 0))::bigint AS mrr_in_trial,
       count(DISTINCT r.stripe_subscription_id) FILTER (WHERE r.reason = 'trialing') AS trials,
       count(*) FILTER (WHERE r.reason = 'amount_unknown') AS amounts_unknown,
       count(*) FILTER (WHERE r.reason = 'counted' AND r.discount_unknown) AS discounts_unknown
  FROM subscription_revenue r
 WHERE r.status IN ('active', 'past_due', 'trialing')
 GROUP BY r.stripe_account, r.currency;
COMMENT ON VIEW metrics_mrr IS 'recurring revenue now, per currency, in minor units: taxes excluded, discounts taken off, trials 0';

CREATE VIEW metrics_mrr_by_plan AS
SELECT r.stripe_account, r.currency, coalesce(r.plan_id, r.price_id) AS plan, r.period, r.period_count,
       count(DISTINCT r.stripe_subscription_id) AS subscriptions, sum(r.quantity)::bigint AS quantity,
       round(sum(r.mrr))::bigint AS mrr, round(sum(r.arr))::bigint AS arr
  FROM subscription_revenue r
 WHERE r.status IN ('active', 'past_due', 'trialing') AND r.reason = 'counted'
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW metrics_mrr_by_plan IS 'metrics_mrr by plan (the price where it is mapped to none) and billing period';
