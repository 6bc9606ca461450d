\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Settings shape what everybody shares: one value each, written only through set_billing_setting(), audited.
SELECT name, value = default_value AS is_default, default_value, description <> '' AS described FROM get_billing_settings() ORDER BY name COLLATE "C";
SELECT set_billing_setting('past_due_grace', '10 days', 'longer holidays');
SELECT set_billing_setting('past_due_grace', '12 days', 'even longer');
SELECT set_billing_setting('retry_limit', '5', 'patience');
SELECT name, value, default_value FROM get_billing_settings() WHERE value <> default_value ORDER BY 1;
SELECT name, value, reason, generation, actor = current_user AS by_me FROM billing_settings ORDER BY name;
SELECT user_id, action, subject, reason, details, actor = current_user AS by_me FROM audit_logs ORDER BY created_at;
-- null restores the default, and is a change like any other.
SELECT set_billing_setting('past_due_grace', NULL, 'back');
SELECT name, value FROM get_billing_settings() WHERE name = 'past_due_grace';
SELECT name, value, generation FROM billing_settings ORDER BY name;
SELECT details FROM audit_logs WHERE reason = 'back';
-- A change that is rolled back never was.
BEGIN;
SELECT set_billing_setting('mode', 'live', 'oops');
SELECT value FROM get_billing_settings() WHERE name = 'mode';
ROLLBACK;
SELECT value FROM get_billing_settings() WHERE name = 'mode';
SELECT count(*) FROM audit_logs WHERE reason = 'oops';

-- What is not acceptable is refused by name and value, with what would be.
CREATE TABLE t.wrong (n serial, name text, value text);
INSERT INTO t.wrong (name, value) VALUES
    ('mode', 'LIVE'), ('mode', ''), ('mode', 'both'), ('accept_payments', 'true'), ('canceled_access', 'never'),
    ('cache_ttl', 'soon'), ('cache_ttl', '1 month'), ('cache_ttl', '-1 second'), ('cache_ttl', '1 day -25 hours'),
    ('cache_ttl', '36501 days'), ('cache_ttl', '876024 hours'), ('cache_ttl', '2562047788 hours'), ('cache_ttl', ''),
    ('past_due_grace', '2562047788 hours'), ('renewal_slack', '36500 days 1 second'), ('parked_limit', '100 years'),
    ('retry_limit', '1'), ('retry_limit', '1001'), ('retry_limit', '-3'), ('retry_limit', '3.5'), ('retry_limit', 'ten'), ('retry_limit', ''),
    ('retry_limit', '99999999999999999999'),
    ('scope', ''), ('scope', 'none'), ('scope', '[]'), ('scope', '{}'), ('scope', '{"products": []}'), ('scope', '{"products": "prod_1"}'),
    ('scope', '{"products": [1]}'), ('scope', '{"metadata": {"a": 1}}'), ('scope', '{"product": ["prod_1"]}'), ('scope', '{"products": ["prod_1"'),
    ('scope', repeat('[', 100)), ('no_such_setting', '1'), ('Mode', 'test'), ('', 'x');
SELECT w.name, left(w.value, 24) AS value, r.code, left(r.message, 72) AS message, left(r.hint, 60) AS hint
  FROM t.wrong w, t.refusal(format('SELECT set_billing_setting(%L, %L, %L)', w.name, w.value, 'test')) r ORDER BY n;
SELECT * FROM t.refusal($$SELECT set_billing_setting('no_such_setting', NULL, 'test')$$);
SELECT * FROM t.refusal($$SELECT set_billing_setting(NULL, 'x', 'test')$$);
SELECT * FROM t.refusal($$SELECT set_billing_setting('mode', 'test', NULL)$$);
SELECT * FROM t.refusal($$SELECT set_billing_setting('mode', 'test', '')$$);
SELECT count(*) FROM billing_settings;
-- The bounds themselves are good.
SELECT r.code, s.name, s.value FROM (VALUES ('cache_ttl', '0'), ('cache_ttl', '5'), ('cache_ttl', '36500 days'), ('cache_ttl', '876000 hours'), ('retry_limit', '2'), ('retry_limit', '1000'),
    ('past_due_grace', 'P7D'), ('renewal_slack', '1 day 12:30:00'), ('scope', 'all'), ('scope', '{"products": ["prod_1"], "metadata": {"app": "shop"}}')) s(name, value),
    t.refusal(format('SELECT set_billing_setting(%L, %L, %L)', s.name, s.value, 'test')) r;
-- With the longest of them everything still works.
SELECT set_billing_setting(name, '36500 days', 'test') FROM unnest(ARRAY['cache_ttl', 'parked_limit', 'past_due_grace', 'renewal_slack']) name;
SELECT t.link('user_1', 'cus_1');
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01', '{"metadata": {"app": "shop"}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'active', '2026-01-01', '9999-12-31', '{"metadata": {"app": "shop"}}')));
SELECT link_stripe_customer('user_2', 'cus_2') ->> 'status' AS status;
SELECT state, has_access, access_until FROM t.state('user_1', '2026-01-15') UNION ALL SELECT state, has_access, access_until FROM t.state('user_2', '2026-01-15');
SELECT cached_at < expires_at AS expires_later, isfinite(valid_until) AS finite FROM subscription_cache ORDER BY user_id;
-- A new session has them as well.
\c -
SELECT name, value FROM get_billing_settings() WHERE value <> default_value ORDER BY name COLLATE "C";
