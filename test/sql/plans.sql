\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Plans are rows that upsert_plan() writes from JSON, and export_plans() gives back.
SELECT jsonb_pretty(upsert_plan('{"id": "pro", "display_name": "Pro", "rank": 20, "trial_days": 14, "currency": "usd", "price_monthly": "19.99", "price_yearly": 199,
    "prices": [{"product_id": "prod_pro"}, {"price_id": "price_pro", "cycle": "monthly"}, {"lookup_key": "pro_yearly", "cycle": "yearly"}],
    "features": {"messages": {"limit": 5000, "window": "month"}, "seats": {"limit": 3, "per": "account"}, "export": true, "api": {"unlimited": true, "window": "day"},
                 "render": {"credit_cost": 5}, "models": {"value": ["small", "large"]}, "sso": false,
                 "tokens": {"limit": 10, "mode": "overage", "overage_limit": 5, "per": "seat"}},
    "credits": {"credits": "300"}, "metadata": {"color": "blue"}}'));
SELECT upsert_plan('{"id": "free", "default": true}', 'everybody begins somewhere');
SELECT upsert_plan('{"id": "seats", "addon": true, "currency": "jpy", "price_monthly": 500}') ->> 'price_monthly' AS price;
SELECT id, name, display_name, rank, is_active AS active, is_default, is_addon, trial_days, currency, price_monthly, price_yearly, price_monthly_minor AS monthly, price_yearly_minor AS yearly, credits, metadata
  FROM subscription_plans ORDER BY id;
SELECT * FROM plan_prices ORDER BY kind, reference;
SELECT id, kind, enabled, unlimited, limit_value, per_seat, usage_window, mode, overage_limit, credit_cost, value FROM plan_features ORDER BY id;
SELECT get_plan('free'), get_plan('nothing') IS NULL AS nothing;
SELECT jsonb_path_query_array(export_plans(), '$.id') AS all;

-- Each change is told once, and makes every cached state obsolete; the same again is none.
SELECT name, value, generation, reason, actor = current_user AS by_me FROM billing_settings ORDER BY name;
SELECT upsert_plan('{"id": "free", "default": true, "rank": null, "features": {}}') = get_plan('free') AS same;
SELECT upsert_plan(p) = p AS same FROM jsonb_array_elements(export_plans()) p;
SELECT count(*) AS changes, max(s.generation) AS generation FROM audit_logs a, billing_settings s WHERE a.action = 'plan_changed';
SELECT upsert_plan('{"id": "free", "default": true, "features": {"messages": {"limit": 20, "window": "month"}}}', 'a taste') IS NOT NULL AS stored;
SELECT subject, reason, details, actor = current_user AS by_me FROM audit_logs WHERE action = 'plan_changed' AND subject = 'free' ORDER BY created_at;
SELECT generation FROM billing_settings;
SELECT name FROM get_billing_settings() WHERE name = 'plans';

-- What is exported here is the same elsewhere.
CREATE TABLE t.exported AS SELECT export_plans() AS plans;
DELETE FROM plan_prices; DELETE FROM plan_features; DELETE FROM subscription_plans;
SELECT export_plans();
SELECT count(upsert_plan(p)) FROM t.exported, jsonb_array_elements(plans) p;
SELECT export_plans() = plans AS same FROM t.exported;

-- A plan that is offered no more keeps what it gives.
SELECT retire_plan('pro', 'replaced by plus') -> 'active' AS active;
SELECT retire_plan('pro', 'again') -> 'active' AS active;
SELECT get_plan('pro') - 'active' = p AS otherwise_same FROM t.exported, jsonb_array_elements(plans) p WHERE p ->> 'id' = 'pro';
SELECT action, subject, reason FROM audit_logs WHERE action = 'plan_retired';
SELECT (upsert_plan(get_plan('pro') - 'active') -> 'active') IS NULL AS offered_again;

-- Between plans: one default, and each price once.
\x
\a
CREATE TABLE t.wrong (n serial, command text);
INSERT INTO t.wrong (command) VALUES ('{"id": "plus", "default": true}'), ('{"id": "plus", "prices": [{"price_id": "price_pro"}]}'), ('{"id": "plus", "prices": [{"product_id": "prod_pro"}]}'),
    ('{"id": "plus", "prices": [{"lookup_key": "price_pro"}]}');
SELECT command, r.* FROM t.wrong, t.refusal(format('SELECT upsert_plan(%L)', command)) r ORDER BY n;
-- Within one.
TRUNCATE t.wrong RESTART IDENTITY;
INSERT INTO t.wrong (command) VALUES ('null'), ('[]'), ('"pro"'), ('{}'), ('{"id": 5}'), ('{"id": ""}'), ('{"id": "Pro"}'), ('{"id": "a plan"}'),
    (format('{"id": "%s"}', repeat('x', 64))), ('{"id": "x", "ranks": 1}'), ('{"id": "x", "rank": 2147483648}'), ('{"id": "x", "rank": 1e99}'), ('{"id": "x", "trial_days": -1}'),
    ('{"id": "x", "price_monthly": 5}'), ('{"id": "x", "currency": "usd", "price_monthly": 19.999}'), ('{"id": "x", "currency": "usd", "price_monthly": -1}'),
    ('{"id": "x", "currency": "dollar"}'), ('{"id": "x", "default": true, "addon": true}'), ('{"id": "x", "prices": [1]}'), ('{"id": "x", "prices": [{"price": "price_1"}]}'),
    ('{"id": "x", "features": {"": true}}'), ('{"id": "x", "features": {"a": {"limit": "5"}}}'), ('{"id": "x", "features": {"a": {"limit": 1000000000001}}}'),
    ('{"id": "x", "features": {"a": {"limit": 5, "unlimited": true}}}'), ('{"id": "x", "features": {"a": {"window": "month"}}}'), ('{"id": "x", "features": {"a": {"limit": 5, "credits": 1}}}'),
    ('{"id": "x", "display_name": ""}'), (format('{"id": "x", "description": "%s"}', repeat('d', 1001))), (format('{"id": "x", "metadata": {"a": %s1%s}}', repeat('[', 64), repeat(']', 64)));
SELECT left(command, 80) AS command, r.code, r.message, r.hint FROM t.wrong, t.refusal(format('SELECT upsert_plan(%L)', command)) r ORDER BY n;
SELECT * FROM t.refusal('SELECT upsert_plan(NULL)');
SELECT code, message, hint FROM t.refusal(format('SELECT upsert_plan(%L, %L)', '{"id": "x"}', repeat('r', 1001)));
SELECT * FROM t.refusal('SELECT retire_plan(''nothing'', ''test'')');
SELECT * FROM t.refusal('SELECT retire_plan(NULL, ''test'')');
SELECT * FROM t.refusal('SELECT retire_plan(''pro'', '''')');
SELECT * FROM t.refusal('SELECT get_plan(NULL)');
\a
\x
SELECT (SELECT jsonb_agg(p) FROM jsonb_array_elements(export_plans()) p WHERE p ->> 'id' <> 'plus') = plans AS same FROM t.exported;
