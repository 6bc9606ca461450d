\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Recurring revenue, case by case, with the arithmetic. Amounts in minor units.
CREATE FUNCTION t.costs(name text, amount integer, every text DEFAULT 'month', extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT t.price(name, amount) || jsonb_build_object('recurring', jsonb_build_object('interval', every, 'interval_count', 1, 'usage_type', 'licensed')) || extra
$$;
CREATE FUNCTION t.many(price jsonb, quantity integer, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('price', price, 'quantity', quantity) || extra
$$;
CREATE FUNCTION t.off(coupon jsonb, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', 'di_' || md5(coupon::text), 'object', 'discount', 'end', NULL, 'coupon', '{"id": "c", "object": "coupon", "duration": "forever", "amount_off": null, "percent_off": null}' || coupon) || extra
$$;
CREATE TABLE t.cases (n serial, name text, items jsonb, extra jsonb, status text);
CREATE FUNCTION t.payload(c t.cases) RETURNS text LANGUAGE sql AS $$
SELECT t.event('evt_' || c.name, 'customer.subscription.created', '2026-01-01',
               t.subscription('sub_' || c.name, 'cus_' || c.name, c.status, '2026-01-01', '2026-02-01', coalesce(c.extra, '{}')
                   || jsonb_build_object('items', t.list((SELECT jsonb_agg(t.item('si_' || c.name || n, 'sub_' || c.name, '{}', 1, '2026-01-01', '2026-02-01', t.new()) || e.item ORDER BY n)
                                                            FROM jsonb_array_elements(c.items) WITH ORDINALITY e(item, n)), '/v1/x'))))
$$;
CREATE FUNCTION t.add(name text, items jsonb, extra jsonb DEFAULT '{}', status text DEFAULT 'active') RETURNS void LANGUAGE sql AS $$
INSERT INTO t.cases (name, items, extra, status) VALUES (name, items, extra, status)
$$;
CREATE PROCEDURE t.play() LANGUAGE sql AS $$
SELECT t.link('user_' || name, 'cus_' || name) FROM t.cases WHERE name <> 'nobody' ORDER BY n;
SELECT process_stripe_events(array_agg(t.payload(c) ORDER BY n)) FROM t.cases c;
$$;
CREATE FUNCTION t.worth(names text[]) RETURNS TABLE (subscription text, list numeric, discount numeric, tax numeric, net numeric, monthly numeric, mrr numeric, reason text) LANGUAGE sql AS $$
SELECT substr(r.stripe_subscription_id, 5), round(r.list_amount, 2), round(r.discount_amount, 2), round(r.included_tax, 2), round(r.net_amount, 2), round(r.monthly_value, 2), round(r.mrr, 2), r.reason
  FROM subscription_revenue r JOIN unnest(names) WITH ORDINALITY u(name, n) ON r.stripe_subscription_id = 'sub_' || u.name ORDER BY u.n, r.item_id
$$;

-- Periods and quantities. monthly 2900; yearly 24000 / 12 = 2000; seven of 1000 = 7000; quarterly 9000 / 3 = 3000;
-- weekly 700 x 365 / 7 / 12 = 3041.67; daily 100 x 365 / 12 = 3041.67; a month at 2900 and a year at 12000 = 2900 + 1000;
-- 25 in packs of ten, rounded up, at 500: 3 x 500 = 1500; half a cent (0.5) 1000 times = 500.
SELECT t.add('monthly', jsonb_build_array(t.many(t.costs('a', 2900), 1))), t.add('yearly', jsonb_build_array(t.many(t.costs('b', 24000, 'year'), 1))),
       t.add('seats', jsonb_build_array(t.many(t.costs('c', 1000), 7))),
       t.add('quarterly', jsonb_build_array(t.many(t.costs('d', 9000, 'month', '{"recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"}}'), 1))),
       t.add('weekly', jsonb_build_array(t.many(t.costs('e', 700, 'week'), 1))), t.add('daily', jsonb_build_array(t.many(t.costs('f', 100, 'day'), 1))),
       t.add('two_items', jsonb_build_array(t.many(t.costs('a', 2900), 1), t.many(t.costs('g', 12000, 'year'), 1))),
       t.add('packs', jsonb_build_array(t.many(t.costs('h', 500, 'month', '{"transform_quantity": {"divide_by": 10, "round": "up"}}'), 25))),
       t.add('fractions', jsonb_build_array(t.many(t.costs('i', NULL, 'month', '{"unit_amount_decimal": "0.5"}'), 1000)));
CALL t.play();
SELECT * FROM t.worth(ARRAY['monthly', 'yearly', 'seats', 'quarterly', 'weekly', 'daily', 'two_items', 'packs', 'fractions']);
-- 2900 + 2000 + 7000 + 3000 + 3041.6667 + 3041.6667 + 3900 + 1500 + 500 = 26883.33; a year of it = 322600.
SELECT currency, mrr, arr, subscriptions, payers, mrr_per_payer FROM metrics_mrr;
-- A subscription from before prices existed has plans.
TRUNCATE t.cases;
SELECT t.link('user_plan', 'cus_plan'), t.link('user_none', 'cus_none');
SELECT outcome FROM t.process(t.event('evt_plan', 'customer.subscription.created', '2026-01-01',
    t.subscription('sub_plan', 'cus_plan', 'active', '2026-01-01', '2026-02-01', '{"items": {"data": [{"id": "si_plan", "quantity": 2, "plan": {"id": "gold", "object": "plan", "amount": 4800, "currency": "chf",
        "interval": "year", "interval_count": 2, "product": "prod_gold", "usage_type": "licensed"}}]}}', t.old())));
SELECT * FROM t.worth(ARRAY['plan']); -- 2 x 4800 = 9600 every other year: 9600 / 24 = 400

-- Discounts that recur, each from what the ones before it left: 25 % of 2900 leaves 2175; 500 off a year at 24000: 23500 / 12 = 1958.33;
-- 20 % then 500: 2900 x 0.8 - 500 = 1820; 500 then 20 %: 2400 x 0.8 = 1920. What is taken off once does not recur; what is over is over;
-- 50 % until 2099 leaves 1450. More than it costs: 0. An amount in another currency takes nothing off; one that the coupon has for ours does: 2900 - 300.
SELECT t.add('percent', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"percent_off": 25}'))),
       t.add('amount', jsonb_build_array(t.many(t.costs('b', 24000, 'year'), 1)), jsonb_build_object('discounts', jsonb_build_array(t.off('{"amount_off": 500, "currency": "eur"}')))),
       t.add('both', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discounts', jsonb_build_array(t.off('{"percent_off": 20}'), t.off('{"amount_off": 500, "currency": "eur"}')))),
       t.add('turned', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discounts', jsonb_build_array(t.off('{"amount_off": 500, "currency": "eur"}'), t.off('{"percent_off": 20}')))),
       t.add('once', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"percent_off": 100, "duration": "once"}'))),
       t.add('over', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"percent_off": 50, "duration": "repeating", "duration_in_months": 1}', jsonb_build_object('end', t.unix('2026-02-01'))))),
       t.add('running', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"percent_off": 50, "duration": "repeating", "duration_in_months": 900}', jsonb_build_object('end', t.unix('2099-02-01'))))),
       t.add('too_much', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"amount_off": 5000, "currency": "eur"}'))),
       t.add('dollars_off', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"amount_off": 500, "currency": "usd"}'))),
       t.add('euros_too', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discount', t.off('{"amount_off": 500, "currency": "usd", "currency_options": {"eur": {"amount_off": 300}}}'))),
-- 400 off 1000 + 3000: 100 and 300 of it. 10 % off one item of two, then 50 % off both: 900 / 2 and 3000 / 2. 50 % of prod_c alone.
       t.add('spread', jsonb_build_array(t.many(t.costs('c', 1000), 1), t.many(t.costs('j', 3000), 1)), jsonb_build_object('discount', t.off('{"amount_off": 400, "currency": "eur"}'))),
       t.add('own', jsonb_build_array(t.many(t.costs('c', 1000), 1, jsonb_build_object('discounts', jsonb_build_array(t.off('{"percent_off": 10}')))), t.many(t.costs('j', 3000), 1)),
             jsonb_build_object('discounts', jsonb_build_array(t.off('{"percent_off": 50}')))),
       t.add('product', jsonb_build_array(t.many(t.costs('c', 1000), 1), t.many(t.costs('j', 3000), 1)), jsonb_build_object('discount', t.off('{"percent_off": 50, "applies_to": {"products": ["prod_c"]}}')));
CALL t.play();
SELECT * FROM t.worth(ARRAY['percent', 'amount', 'both', 'turned', 'once', 'over', 'running', 'too_much', 'dollars_off', 'euros_too', 'spread', 'own', 'product']);

-- Since basil events carry ids: the mirror tells the rest (10 % of 2900 leaves 2610); where it does not, the latest invoice (400 off: 2500);
-- where nothing does, nothing is taken off, and that is told. A customer's discount (10 %) counts where the subscription has none of its own (50 %).
TRUNCATE t.cases;
SELECT t.add('by_id', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{"discounts": ["di_1"]}'),
       t.add('by_invoice', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{"discounts": ["di_2"], "latest_invoice": "in_2"}'),
       t.add('untold', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{"discounts": ["di_3"]}'),
       t.add('customers', jsonb_build_array(t.many(t.costs('a', 2900), 1))), t.add('not_customers', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('discounts', jsonb_build_array(t.off('{"percent_off": 50}'))));
CALL t.play();
SELECT outcome FROM t.process(t.event('evt_c1', 'coupon.created', '2026-01-01', '{"id": "TEN", "object": "coupon", "percent_off": 10, "amount_off": null, "duration": "forever", "metadata": {}}'),
    t.event('evt_d1', 'customer.discount.created', '2026-01-01', '{"id": "di_1", "object": "discount", "customer": "cus_by_id", "subscription": "sub_by_id", "end": null, "source": {"type": "coupon", "coupon": "TEN"}}'),
    t.event('evt_i2', 'invoice.paid', '2026-01-01', jsonb_set(t.invoice('in_2', 'sub_by_invoice', 'cus_by_invoice', 'paid', '2026-01-01', '2026-02-01'), '{lines,data,0,discount_amounts}', '[{"amount": 400, "discount": "di_2"}]')),
    t.event('evt_cu1', 'customer.updated', '2026-01-01', t.customer('cus_customers', jsonb_build_object('discount', t.off('{"percent_off": 10}')))),
    t.event('evt_cu2', 'customer.updated', '2026-01-01', t.customer('cus_not_customers', jsonb_build_object('discount', t.off('{"percent_off": 10}')))));
SELECT w.*, r.discount_unknown AS unknown FROM t.worth(ARRAY['by_id', 'by_invoice', 'untold', 'customers', 'not_customers']) w JOIN subscription_revenue r ON r.stripe_subscription_id = 'sub_' || w.subscription ORDER BY 1;

-- Taxes are not revenue. Added to the price they are not in it: 10000 stays. Included: 11900 / 1.19 = 10000; of half the price 5950 / 1.19 = 5000;
-- 5 % included beside 10 % added: 10500 / 1.05 = 10000. The item's own rates replace the subscription's: 10700 / 1.07 = 10000.
-- Automatic tax: the latest invoice had 463 of tax on 2437: 2900 / (1 + 463 / 2437) = 2437, whatever version it came in.
TRUNCATE t.cases;
SELECT t.add('added', jsonb_build_array(t.many(t.costs('k', 10000), 1)), '{"default_tax_rates": [{"id": "txr_1", "percentage": 19, "inclusive": false}]}'),
       t.add('included', jsonb_build_array(t.many(t.costs('l', 11900), 1)), '{"default_tax_rates": [{"id": "txr_2", "percentage": 19.0, "inclusive": true}]}'),
       t.add('included_half', jsonb_build_array(t.many(t.costs('l', 11900), 1)), jsonb_build_object('discount', t.off('{"percent_off": 50}'), 'default_tax_rates', '[{"id": "txr_2", "percentage": 19, "inclusive": true}]'::jsonb)),
       t.add('two_rates', jsonb_build_array(t.many(t.costs('m', 10500), 1)), '{"default_tax_rates": [{"id": "txr_3", "percentage": 5, "inclusive": true}, {"id": "txr_4", "percentage": 10, "inclusive": false}]}'),
       t.add('own_rate', jsonb_build_array(t.many(t.costs('n', 10700), 1, '{"tax_rates": [{"id": "txr_5", "percentage": 7, "inclusive": true}]}')), '{"default_tax_rates": [{"id": "txr_2", "percentage": 19, "inclusive": true}]}'),
       t.add('automatic', jsonb_build_array(t.many(t.costs('o', 2900, 'month', '{"tax_behavior": "inclusive"}'), 1)), '{"latest_invoice": "in_3"}'),
       t.add('automatic_old', jsonb_build_array(t.many(t.costs('o', 2900, 'month', '{"tax_behavior": "inclusive"}'), 1)), '{"latest_invoice": "in_4"}'),
       t.add('automatic_untold', jsonb_build_array(t.many(t.costs('o', 2900, 'month', '{"tax_behavior": "inclusive"}'), 1)));
CALL t.play();
SELECT outcome FROM t.process(
    t.event('evt_i3', 'invoice.paid', '2026-01-01', jsonb_set(jsonb_set(t.invoice('in_3', 'sub_automatic', 'cus_automatic', 'paid', '2026-01-01', '2026-02-01'),
        '{lines,data,0,parent,subscription_item_details,subscription_item}', '"si_automatic1"'), '{lines,data,0,taxes}', '[{"amount": 463, "tax_behavior": "inclusive", "taxable_amount": 2437}]')),
    t.event('evt_i4', 'invoice.paid', '2026-01-01', jsonb_set(jsonb_set(t.invoice('in_4', 'sub_automatic_old', 'cus_automatic_old', 'paid', '2026-01-01', '2026-02-01', '{}', t.old()),
        '{lines,data,0,subscription_item}', '"si_automatic_old1"'), '{lines,data,0,tax_amounts}', '[{"amount": 463, "inclusive": true, "taxable_amount": 2437}, {"amount": 99, "inclusive": false, "taxable_amount": 2437}]'), t.old()));
SELECT * FROM t.worth(ARRAY['added', 'included', 'included_half', 'two_rates', 'own_rate', 'automatic', 'automatic_old', 'automatic_untold']);

-- What counts. A trial not yet; past_due until Stripe gives up; an end that is decided counts until it comes; paused collection not, unless the money is to come later.
-- What is measured or has tiers has no fixed amount.
TRUNCATE t.cases;
SELECT t.add('trial', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), jsonb_build_object('trial_start', t.unix('2026-01-01'), 'trial_end', t.unix('2099-01-15')), 'trialing'),
       t.add('past_due', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), '{}', 'past_due'), t.add('unpaid', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{}', 'unpaid'),
       t.add('incomplete', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{}', 'incomplete'), t.add('paused', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{}', 'paused'),
       t.add('canceled', jsonb_build_array(t.many(t.costs('a', 2900), 1)), jsonb_build_object('ended_at', t.unix('2026-01-15')), 'canceled'),
       t.add('ending', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), jsonb_build_object('cancel_at', t.unix('2099-01-15'))),
       t.add('ended', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), jsonb_build_object('cancel_at_period_end', true)),
       t.add('voided', jsonb_build_array(t.many(t.costs('a', 2900), 1)), '{"pause_collection": {"behavior": "void", "resumes_at": null}}'),
       t.add('resumed', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), '{"pause_collection": {"behavior": "void", "resumes_at": 1767312000}}'),
       t.add('drafts', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)), '{"pause_collection": {"behavior": "keep_as_draft", "resumes_at": null}}'),
       t.add('metered', jsonb_build_array(t.many(t.costs('p', 5, 'month', '{"recurring": {"interval": "month", "interval_count": 1, "usage_type": "metered"}}'), 1, '{"quantity": null}'))),
       t.add('tiers', jsonb_build_array(t.many(t.costs('q', NULL, 'month', '{"currency": "usd", "billing_scheme": "tiered", "unit_amount_decimal": null}'), 1))),
       t.add('gratis', jsonb_build_array(t.many(t.costs('r', 0), 1))), t.add('odd', '[{"price": 5, "quantity": "many", "tax_rates": 7}]', '{"discounts": 5, "default_tax_rates": "none"}'),
       t.add('nobody', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1))), t.add('gone', jsonb_build_array(t.many(t.costs('a', 2900, 'month', '{"currency": "usd"}'), 1)));
CALL t.play();
SELECT outcome FROM t.process(t.event('evt_gone2', 'customer.deleted', '2026-01-20', t.customer('cus_gone', '{"deleted": true}')));
SELECT * FROM t.worth(ARRAY['trial', 'past_due', 'unpaid', 'incomplete', 'paused', 'canceled', 'ending', 'ended', 'voided', 'resumed', 'drafts', 'metered', 'tiers', 'gratis', 'odd', 'nobody', 'gone']);
-- Dollars: past_due, ending, resumed, drafts and nobody's: 5 x 2900 = 14500. Who is linked to nobody is a payer too.
SELECT * FROM metrics_mrr WHERE currency = 'usd';
SELECT plan, period, subscriptions, quantity, mrr, arr FROM metrics_mrr_by_plan WHERE currency = 'usd';
-- The sum over all plans is the whole.
SELECT m.currency, m.mrr - sum(p.mrr) AS rounding FROM metrics_mrr m JOIN metrics_mrr_by_plan p USING (stripe_account, currency) GROUP BY 1, m.mrr HAVING abs(m.mrr - sum(p.mrr)) > 2;
-- One odd object breaks no view.
TRUNCATE t.cases;
SELECT t.add('odd_' || n, items, extra) IS NULL AS odd FROM (VALUES
    (1, '[{"price": {"unit_amount": 999999999999999999, "currency": "usd", "recurring": {"interval": "day", "interval_count": 0}}, "quantity": 999999999999999999}]'::jsonb, '{}'::jsonb),
    (2, '[{"price": {"unit_amount": 100, "currency": "usd", "recurring": {"interval": "fortnight", "interval_count": -5}}, "quantity": {}}]', '{"discounts": [5, null, {}, {"coupon": 5}, {"coupon": {"percent_off": "much"}}, [[]]], "default_tax_rates": [5, null, {"inclusive": true}]}'),
    (3, '[{"price": {"unit_amount": 100, "currency": "usd", "recurring": "monthly"}, "tax_rates": [{"inclusive": true, "percentage": -100}], "discounts": "di"}]', '{"discount": {"coupon": {"percent_off": 900, "applies_to": {"products": 5}}, "end": "soon"}}'),
    (4, '[5, null, "x", [], {}]', '{"created": "yesterday", "trial_end": -1, "cancel_at": {}, "ended_at": 1e300, "pause_collection": "void", "latest_invoice": {}, "discounts": {"a": 1}}'),
    (5, '[{"price": {"id": 7, "unit_amount": 100, "currency": {"a": 1}, "tax_behavior": "inclusive", "transform_quantity": {"divide_by": 0}, "recurring": {"interval": "month"}}, "discounts": ["di_9"]}]', '{"latest_invoice": "in_odd", "currency": 9}')) v(n, items, extra);
CALL t.play();
SELECT p.outcome FROM t.process(t.event('evt_in_odd', 'invoice.updated', '2026-01-01', '{"id": "in_odd", "object": "invoice", "customer": "cus_odd_5", "status": "draft", "lines": {"data": [5, {"subscription_item": "si_odd_51", "taxes": 5, "tax_amounts": [7, {"inclusive": true, "amount": 1, "taxable_amount": 0}], "discount_amounts": [3, {"discount": "di_9", "amount": "x"}]}]}}'),
    t.event('evt_cu_odd', 'customer.updated', '2026-01-01', '{"id": "cus_odd_1", "object": "customer", "discount": {"coupon": [], "source": 5}, "metadata": {}}')) p;
SELECT * FROM t.worth(ARRAY['odd_1', 'odd_2', 'odd_3', 'odd_4', 'odd_5']);
SELECT count(*) > 0 AS read FROM (SELECT v::text FROM metrics_mrr v UNION ALL SELECT v::text FROM metrics_mrr_by_plan v UNION ALL SELECT v::text FROM metrics_churn v UNION ALL SELECT v::text FROM metrics_churned_mrr v
    UNION ALL SELECT v::text FROM metrics_trials v UNION ALL SELECT v::text FROM metrics_conversion v UNION ALL SELECT v::text FROM metrics_subscription_activity v) q;

-- The other mode's subscriptions do not count.
SELECT set_billing_setting('mode', 'live', 'a test');
SELECT count(*) FROM metrics_mrr;
SELECT set_billing_setting('mode', NULL, 'a test');
