CREATE FUNCTION grant_billing_role(role name, kind text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    functions text[];
    readable  text[];
    item      text;
BEGIN
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', coalesce(role::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'Create it first: CREATE ROLE ... LOGIN.';
    END IF;
    functions := CASE kind
        WHEN 'worker' THEN ARRAY['process_stripe_events', 'process_stripe_event', 'retry_stripe_events',
                                 'refresh_subscription_cache', 'ingest_metrics', 'notify_due',
                                 'claim_billing_notifications', 'finish_billing_notification',
                                 'claim_stripe_refetches', 'postpone_stripe_refetch', 'request_stale_refetches',
                                 'request_missing_refetches',
                                 'claim_stripe_requests', 'finish_stripe_request', 'postpone_stripe_request', 'stripe_request',
                                 'push_stripe_usage', 'setup_facts',
                                 'begin_api_checkout', 'finish_api_checkout', 'count_api_call', 'begin_session_fetch', 'begin_api_portal',
                                 'is_session_of', 'is_session_applied', 'api_subscription', 'api_authorize', 'api_credits', 'api_invoices',
                                 'api_payments', 'api_prices', 'api_change', 'is_api_change_applied', 'get_or_create_stripe_customer',
                                 'begin_stripe_sync', 'claim_stripe_sync_slice', 'split_stripe_sync_slice',
                                 'stripe_sync_customers', 'keep_stripe_sync_page', 'leave_stripe_sync_slice',
                                 'finish_stripe_sync', 'begin_stripe_reconciliation', 'reconcile_stripe_events',
                                 'reconcile_stripe_objects', 'stripe_reconciliation_customers',
                                 'finish_stripe_reconciliation', 'hold_stripe_requests']
        WHEN 'app' THEN ARRAY['get_user_subscription_state', 'has_active_subscription', 'require_subscription',
                              'explain_user', 'update_subscription_cache', 'clear_user_subscription_cache',
                              'get_or_create_stripe_customer', 'link_stripe_customer',
                              'use_credits_validated', 'use_credits_batch', 'hold_credits', 'capture_hold',
                              'release_hold', 'refund_credits', 'grant_credits', 'add_subscription_credits',
                              'get_credit_balance', 'credit_statement', 'get_plan', 'export_plans', 'grant_access',
                              'revoke_access', 'is_trial_eligible', 'check_entitlement', 'require_entitlement',
                              'get_user_entitlements', 'use_feature', 'release_feature', 'set_user_entitlement',
                              'clear_user_entitlement', 'has_access_to_item', 'claim_billing_notifications',
                              'finish_billing_notification', 'set_credits_low_thresholds',
                              'enqueue_stripe_request', 'stripe_request', 'cancel_subscription', 'resume_subscription',
                              'change_subscription', 'retry_invoice_payment', 'refund_payment', 'plan_price']
        WHEN 'reader' THEN ARRAY['get_user_subscription_state', 'has_active_subscription', 'explain_user',
                                 'get_subscription_cache_status', 'get_cache_cleanup_history', 'cache_counters',
                                 'get_billing_settings', 'ingest_metrics', 'get_credit_balance', 'credit_statement',
                                 'verify_credit_ledger', 'get_plan', 'export_plans', 'is_trial_eligible',
                                 'check_entitlement', 'get_user_entitlements', 'verify_usage',
                                 'has_access_to_item', 'stripe_time', 'stripe_id', 'stripe_integer', 'stripe_flag',
                                 'stripe_decimal', 'stripe_item_amount', 'periods_per_year', 'recurring_discount',
                                 'discounted_items', 'included_tax_percent', 'metrics_basis',
                                 'billing_alert_defaults', 'billing_alert_values',
                                 'compare_billing_state', 'stripe_request', 'plan_price', 'plan_of_item',
                                 'setup_facts']
        WHEN 'user' THEN ARRAY['my_user_id', 'my_subscription_state', 'my_credits', 'my_entitlements']
        WHEN 'admin' THEN (SELECT array_agg(DISTINCT p.proname::text)
                             FROM pg_proc p
                             JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                             JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                            WHERE x.extname = 'pg_billing'
                              AND p.proname NOT IN ('grant_billing_role', 'schedule_maintenance',
                                                    'unschedule_maintenance', 'import_rows', 'import_value',
                                                    'lock_imported_users', 'finish_import', 'add_payload_partition',
                                                    'redact_payments', 'audit_by_hand', 'check_people_call',
                                                    'lock_people', 'user_tables', 'hand_over_user',
                                                    'merge_conflicts', 'merge_credits', 'redact_metadata',
                                                    'redact_ledgers', 'hmac_sha256', 'rebuild_customers', 'objects_of',
                                                    'recognised_by', 'tried_before_erasure', 'remember_trial', 'tells_any',
                                                    'add_stripe_request', 'add_scheduled_phase', 'decide_stripe_request',
                                                    'request_of_subscription', 'subscription_to_change', 'repeated_request',
                                                    'stripe_request_id', 'check_request_options', 'item_to_change', 'linked_customer', 'in_live_mode', 'push_usage_of',
                                                    'api_price', 'check_api_page', 'api_page',
                                                    'apply_imported_objects', 'fix_imported_customer_links',
                                                    'lock_stripe_sync_slice', 'check_stripe_sync_owner',
                                                    'open_stripe_reconciliation', 'stripe_object_difference'))
        END;
    IF functions IS NULL THEN
        RAISE EXCEPTION 'unknown kind of role "%"', coalesce(kind, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use worker, app, reader, admin or user.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', '@extschema@', role);
    FOR item IN
        SELECT p.oid::regprocedure::text
          FROM pg_proc p
          JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
         WHERE x.extname = 'pg_billing' AND p.proname = ANY (functions)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item, role);
    END LOOP;
    -- The state functions run with the caller's rights, so that they cost nothing extra; they read these.
    readable := CASE WHEN kind = 'app' THEN ARRAY['subscription_cache', 'user_subscriptions', 'awaited_subscriptions',
                                                  'access_grants',
                                                  'subscription_plans', 'plan_prices', 'plan_features',
                                                  'credit_accounts', 'credit_grants', 'credit_holds',
                                                  'credit_transactions', 'credit_burns', 'payments',
                                                  'enrollments', 'billing_notifications'] ELSE '{}' END;
    IF kind IN ('reader', 'admin') THEN
        readable := (SELECT array_agg(c.relname::text)
                       FROM pg_class c
                       JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                       JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                      WHERE x.extname = 'pg_billing' AND c.relkind IN ('r', 'p', 'v')
                        AND c.relname NOT IN ('billing_webhook_secrets', 'billing_erasure_key') AND c.relname NOT LIKE 'my\_%'
                        -- Nor who may pay where.
                        AND (kind = 'admin' OR c.relname NOT LIKE 'stripe_event_payloads%' AND c.relname NOT LIKE 'api\_%'));
    END IF;
    FOREACH item IN ARRAY readable LOOP
        EXECUTE format('GRANT SELECT ON %s.%I TO %I', '@extschema@', item, role);
    END LOOP;
    -- The views of end users run with their rights, so that row-level security holds: of the tables behind them they
    -- may read the columns that the views have.
    IF kind = 'user' THEN
        FOR item IN
            WITH views AS (
                SELECT c.oid FROM pg_class c
                  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                  JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                 WHERE x.extname = 'pg_billing' AND c.relkind = 'v' AND c.relname LIKE 'my\_%')
            SELECT format('GRANT SELECT ON %s TO %I', v.oid::regclass, role) FROM views v
            UNION ALL
            SELECT format('GRANT SELECT (%s) ON %s TO %I', string_agg(quote_ident(a.attname), ', '),
                          d.refobjid::regclass, role)
              FROM views v
              JOIN pg_rewrite r ON r.ev_class = v.oid
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
              JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
             GROUP BY d.refobjid
        LOOP
            EXECUTE item;
        END LOOP;
    END IF;
    -- Operators mark events for a retry by hand, and archive old ones, as their runbooks say.
    IF kind = 'admin' THEN
        EXECUTE format('GRANT UPDATE (processed, retry_count, next_retry_at), DELETE ON %s.stripe_events TO %I',
                       '@extschema@', role);
    END IF;
END
$$;
COMMENT ON FUNCTION grant_billing_role(name, text) IS
    'gives a role exactly what a worker, an app, a reader, an admin or an end user needs';

-- Nothing is for anybody but the owner, whatever ALTER DEFAULT PRIVILEGES says: grant_billing_role() gives.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT member.kind, member.name, coalesce(quote_ident(pg_get_userbyid(nullif(acl.grantee, 0))), 'PUBLIC') AS role
          FROM (SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS name, p.proowner AS owner,
                       coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, p.oid, 'pg_proc'::regclass AS class
                  FROM pg_proc p
                UNION ALL
                SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner,
                       coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)),
                       c.oid, 'pg_class'::regclass
                  FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'S')) member
          JOIN pg_depend d ON d.classid = member.class AND d.objid = member.oid AND d.deptype = 'e'
                          AND d.refclassid = 'pg_extension'::regclass
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_billing'
         CROSS JOIN LATERAL (SELECT DISTINCT a.grantee FROM aclexplode(member.acl) a) acl
         WHERE acl.grantee <> member.owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', item.kind, item.name, item.role);
    END LOOP;
END
$$;
