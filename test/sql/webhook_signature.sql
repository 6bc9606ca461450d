\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- receive_stripe_webhook(): nothing is read of a payload before its signature is verified.
CREATE FUNCTION t.hmac(message bytea, key bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    padded bytea := key || decode(repeat('00', 64 - length(key)), 'hex');
    inner_key bytea := padded;
    outer_key bytea := padded;
BEGIN
    FOR i IN 0 .. 63 LOOP
        inner_key := set_byte(inner_key, i, get_byte(padded, i) # 54);
        outer_key := set_byte(outer_key, i, get_byte(padded, i) # 92);
    END LOOP;
    RETURN encode(sha256(outer_key || sha256(inner_key || message)), 'hex');
END
$$;
CREATE FUNCTION t.sign(payload text, secret text, age interval DEFAULT '0') RETURNS text LANGUAGE sql AS $$
SELECT format('t=%s,v1=%s', s.at, t.hmac(convert_to(s.at || '.' || payload, 'UTF8'), convert_to(secret, 'UTF8')))
  FROM (SELECT extract(epoch FROM clock_timestamp() - age)::bigint AS at) s
$$;
CREATE FUNCTION t.payload(n integer) RETURNS text LANGUAGE sql AS $$
SELECT t.event('evt_' || n, 'product.updated', '2026-01-01', t.product('prod_' || n, 'Café 🙂'))
$$;
-- An unset secret accepts nothing.
SELECT * FROM t.refusal(format('SELECT receive_stripe_webhook(%L, %L)', t.payload(1), t.sign(t.payload(1), '')));

COPY billing_webhook_secrets (name, secret) FROM STDIN;
dashboard	whsec_regress_dashboard
cli	whsec_regress_cli
\.
-- Any of the secrets will do.
SELECT receive_stripe_webhook(t.payload(1), t.sign(t.payload(1), 'whsec_regress_cli'));
SELECT receive_stripe_webhook(t.payload(2), t.sign(t.payload(2), 'whsec_regress_dashboard'), '{"endpoint": "rpc"}');
SELECT receive_stripe_webhook(t.payload(2), t.sign(t.payload(2), 'whsec_regress_dashboard')) ->> 'outcome' AS outcome;
SELECT stripe_event_id, endpoint, duplicates FROM stripe_events ORDER BY 1;
-- While a secret is rolled there are several signatures; v0 is a scheme for tests, and counts for nothing.
SELECT receive_stripe_webhook(t.payload(3), t.sign(t.payload(3), 'whsec_regress_old') || ',v1=' || split_part(t.sign(t.payload(3), 'whsec_regress_cli'), 'v1=', 2)
                                            || ',v0=' || repeat('0', 64)) ->> 'outcome' AS outcome;
-- A verified payload that cannot be read is kept and acknowledged.
SELECT r ->> 'outcome' AS outcome, r ->> 'error' AS error FROM receive_stripe_webhook('no json', t.sign('no json', 'whsec_regress_cli')) r;

-- Whatever is wrong is named, with what usually causes it; nothing is stored, and no secret or payload told.
CREATE TABLE t.forged (n serial, what text, payload text, signature text);
INSERT INTO t.forged (what, payload, signature) VALUES
    ('another secret', t.payload(9), t.sign(t.payload(9), 'whsec_regress_other')),
    ('another payload', t.payload(9), t.sign(t.payload(1), 'whsec_regress_cli')),
    ('one byte more', t.payload(9) || ' ', t.sign(t.payload(9), 'whsec_regress_cli')),
    ('too old', t.payload(9), t.sign(t.payload(9), 'whsec_regress_cli', '10 minutes')),
    ('from the future', t.payload(9), t.sign(t.payload(9), 'whsec_regress_cli', '-10 minutes')),
    ('only v0', t.payload(9), replace(t.sign(t.payload(9), 'whsec_regress_cli'), 'v1=', 'v0=')),
    ('empty', t.payload(9), ''), ('nonsense', t.payload(9), 'nonsense'), ('no time', t.payload(9), 'v1=' || repeat('a', 64)),
    ('two times', t.payload(9), 't=1,' || t.sign(t.payload(9), 'whsec_regress_cli')), ('time with a sign', t.payload(9), replace(t.sign(t.payload(9), 'whsec_regress_cli'), 't=', 't=+')),
    ('17 signatures', t.payload(9), t.sign(t.payload(9), 'whsec_regress_cli') || repeat(',v1=' || repeat('a', 64), 16)),
    ('too long', t.payload(9), t.sign(t.payload(9), 'whsec_regress_cli') || ',x=' || repeat('a', 4096)),
    ('empty payload', '', t.sign('', 'whsec_regress_cli'));
SELECT f.what, r.code, r.message, r.hint FROM t.forged f, t.refusal(format('SELECT receive_stripe_webhook(%L, %L)', f.payload, f.signature)) r ORDER BY n;
SELECT count(*) FROM stripe_events WHERE stripe_event_id = 'evt_9';
SELECT count(*) FROM t.forged f, t.refusal(format('SELECT receive_stripe_webhook(%L, %L)', f.payload, f.signature)) r WHERE r::text ~ 'whsec_regress|prod_9';

-- A secret with white space in it is refused, and so is an empty one; no message shows it.
SELECT r.code, r.message, r.hint, r::text LIKE '%whsec%' AS shown FROM unnest(ARRAY['', ' ', 'whsec_a b', E'whsec_a\n', NULL]) s, t.refusal(format('INSERT INTO billing_webhook_secrets VALUES (%L, %L); SELECT receive_stripe_webhook(''{}'', ''t=1'')', 'x', s)) r;
