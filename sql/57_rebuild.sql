CREATE FUNCTION rebuild_billing_state(apply boolean DEFAULT false,
                                      OUT table_name text, OUT row_key jsonb, OUT difference text,
                                      OUT stored jsonb, OUT rebuilt jsonb, OUT repaired boolean)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'rebuild_billing_state';
COMMENT ON FUNCTION rebuild_billing_state(boolean) IS
    'recomputes mirror, subscriptions, links and audit entries from the stored events and reports what differs; with apply repairs it';
