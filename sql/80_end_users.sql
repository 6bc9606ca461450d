-- What end users may see: their own rows, and nothing else. Who they are is the claim "sub" of request.jwt.claims, as
-- PostgREST sets it: only as safe as the gateway that sets it. docs/end-users.md
CREATE FUNCTION my_user_id()
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    claims text := nullif(current_setting('request.jwt.claims', true), '');
    me     text;
BEGIN
    BEGIN
        me := claims::jsonb ->> 'sub';
    EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
        RAISE EXCEPTION 'request.jwt.claims is not JSON'
            USING ERRCODE = 'invalid_authorization_specification',
                  HINT = 'The gateway in front of the database sets it, as PostgREST does.';
    END;
    IF me IS NULL OR me = '' THEN
        RAISE EXCEPTION 'no user is signed in: request.jwt.claims has no "sub"'
            USING ERRCODE = 'invalid_authorization_specification',
                  HINT = 'The gateway in front of the database sets it, as PostgREST does.';
    END IF;
    RETURN me;
END
$$;
COMMENT ON FUNCTION my_user_id() IS
    'the signed-in user: claim "sub" of request.jwt.claims; only as safe as the gateway that sets the claims';

CREATE FUNCTION my_subscription_state()
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT @extschema@.get_user_subscription_state(@extschema@.my_user_id()) $$;
COMMENT ON FUNCTION my_subscription_state() IS 'the state of the signed-in user; see get_user_subscription_state()';

CREATE FUNCTION my_credits()
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT @extschema@.get_credit_balance(@extschema@.my_user_id()) $$;
COMMENT ON FUNCTION my_credits() IS 'the credits of the signed-in user; see get_credit_balance()';

CREATE FUNCTION my_entitlements()
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT @extschema@.get_user_entitlements(@extschema@.my_user_id()) $$;
COMMENT ON FUNCTION my_entitlements() IS 'every feature of the signed-in user; see get_user_entitlements()';

-- They run with the rights of whoever reads them: the policies below hold for them. The condition of each finds the
-- rows by their key, which a policy that also lets others through cannot.
CREATE VIEW my_subscriptions WITH (security_invoker = true) AS
SELECT user_id, stripe_subscription_id, status, price_id, product_id, quantity, current_period_start, current_period_end,
       trial_start, trial_end, cancel_at_period_end, cancel_at, canceled_at, ended_at, scheduled_change
  FROM user_subscriptions WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_subscriptions IS 'subscriptions of the signed-in user';
CREATE VIEW my_access_grants WITH (security_invoker = true) AS
SELECT user_id, plan_id, until, created_at, revoked_at FROM access_grants WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_access_grants IS 'access given to the signed-in user without a subscription';
CREATE VIEW my_payments WITH (security_invoker = true) AS
SELECT user_id, payment_id, status, amount, currency, amount_refunded, refunded_at, description, stripe_invoice_id,
       payment_created, paid_at
  FROM payments WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_payments IS 'payments of the signed-in user; amounts in minor units';
CREATE VIEW my_enrollments WITH (security_invoker = true) AS
SELECT user_id, item_id, payment_id, status, enrolled_at, ended_at FROM enrollments WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_enrollments IS 'what the signed-in user has bought';
CREATE VIEW my_credit_grants WITH (security_invoker = true) AS
SELECT user_id, grant_id, amount, remaining, category, effective_at, expires_at, source, description, created_at
  FROM credit_grants WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_credit_grants IS 'credits granted to the signed-in user; what of them is left as of the last entry in the ledger';
CREATE VIEW my_credit_transactions WITH (security_invoker = true) AS
SELECT user_id, transaction_id, transaction_type, amount, balance_after, description, actor_id, effective_at, created_at
  FROM credit_transactions WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_credit_transactions IS 'the ledger of the signed-in user''s credits';
CREATE VIEW my_usage WITH (security_invoker = true) AS
SELECT user_id, feature, window_start, window_end, kind, used FROM usage_windows WHERE user_id = (SELECT my_user_id());
COMMENT ON VIEW my_usage IS 'what the signed-in user has used, by feature and window';

-- Whoever may read everybody's state may read everybody's rows; whoever else is let in sees his own.
DO $$
DECLARE
    item regclass;
BEGIN
    FOREACH item IN ARRAY ARRAY['user_subscriptions', 'access_grants', 'payments', 'enrollments', 'credit_grants',
                                'credit_transactions', 'usage_windows']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', item);
        EXECUTE format($policy$
            CREATE POLICY own_rows ON %s FOR SELECT
             USING ((SELECT pg_catalog.has_table_privilege(%s::pg_catalog.oid, 'SELECT'))
                    OR user_id OPERATOR(pg_catalog.=)
                       (SELECT nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb
                               OPERATOR(pg_catalog.->>) 'sub'))
            $policy$, item, 'subscription_cache'::regclass::oid);
    END LOOP;
END
$$;
