-- Refuses databases that cannot hold what Stripe sends, before anything is created.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'pg_billing needs a database with encoding UTF8, this one has %',
                pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;

-- When this was installed, as its last_value in seconds since 1970: what billing.grants_since means by 'installation'.
-- A sequence, because pg_dump carries its value and an install script that inserts no rows leaves nothing to collide.
DO $$
BEGIN
    EXECUTE pg_catalog.format('CREATE SEQUENCE %s.billing_installation START %s', '@extschema@',
                              pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now())));
END
$$;

-- One value a row; no row, or a null value, means the default in code. Written only by set_billing_setting(),
-- which also tells every backend to forget its copy. The greatest generation marks what cached rows were
-- computed with.
CREATE TABLE billing_settings (
    name       text COLLATE "C" PRIMARY KEY,
    value      text,
    generation bigint NOT NULL,
    reason     text,
    actor      text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE billing_settings IS 'settings that shape shared state; change them with set_billing_setting()';

-- For receive_stripe_webhook() alone. Only its owner may read it; it is left out of dumps. Without constraints, whose
-- violation would put the secret into the server's log; receive_stripe_webhook() checks what it reads.
CREATE TABLE billing_webhook_secrets (
    name   text COLLATE "C",
    secret text
);
COMMENT ON TABLE billing_webhook_secrets IS
    'webhook signing secrets (whsec_...) for receive_stripe_webhook(); fill it with COPY, never with a literal in SQL text';

CREATE FUNCTION set_billing_setting(name text, value text, reason text)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_billing_setting';
COMMENT ON FUNCTION set_billing_setting(text, text, text) IS
    'sets one billing setting for everybody; a null value restores the default';

CREATE FUNCTION get_billing_settings(OUT name text, OUT value text, OUT default_value text, OUT description text)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'get_billing_settings';
COMMENT ON FUNCTION get_billing_settings() IS 'every billing setting with its value in force, its default and its meaning';

CREATE FUNCTION in_live_mode()
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.value = 'live' FROM @extschema@.get_billing_settings() s WHERE s.name = 'mode'
$$;
COMMENT ON FUNCTION in_live_mode() IS 'whether the setting mode is live';
