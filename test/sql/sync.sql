\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
CREATE FUNCTION t.page(run integer, slice integer, objects jsonb, done boolean, owner text DEFAULT 'one') RETURNS jsonb LANGUAGE sql AS
    $$ SELECT keep_stripe_sync_page(run, slice, owner, objects::text, t.unix(now())::bigint, objects -> -1 ->> 'id',
                                    (objects -> -1 ->> 'created')::bigint, done, t.new()) $$;
CREATE FUNCTION t.begin(owner text, options jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
    $$ SELECT begin_stripe_sync(false, owner, options) - 'began_at' $$;
-- An invoice for credits that was paid an hour ago, whose period is this month.
CREATE FUNCTION t.paid(id text, customer text) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_set(t.invoice(id, 'sub_' || customer, customer, 'paid', now() - interval '1 hour', now() + interval '30 days'),
                        '{billing_reason}', '"subscription_create"') $$;
CREATE FUNCTION t.credits() RETURNS TABLE (who text, invoice text, amount bigint) LANGUAGE sql AS
    $$ SELECT user_id, stripe_invoice_id, amount FROM credit_grants ORDER BY 1, 2 $$;
CREATE FUNCTION t.claim(run integer, owner text DEFAULT 'one') RETURNS SETOF integer LANGUAGE plpgsql AS
    $$ DECLARE id integer; BEGIN LOOP SELECT slice_id INTO id FROM claim_stripe_sync_slice(run, owner); EXIT WHEN id IS NULL; RETURN NEXT id; END LOOP; END $$;
SELECT set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'test') \gset
\set ECHO all
-- It begins once; who begins again takes it over, with the same grants.
SELECT t.begin('one');
SELECT object_type, per_customer, parameters FROM stripe_sync_slices ORDER BY slice_id;
SELECT t.begin('two', '{"grants": "current-period"}');
SELECT t.begin('two');
SELECT t.begin('one', '{"grants": "none"}');
SELECT begin_stripe_sync(true, 'one');
-- Parts are claimed in order, each once; those that read customer by customer wait for all customers.
SELECT array_agg(c) FROM t.claim(1) c;
-- A page takes effect with the move of its cursor.
SELECT t.page(1, 2, jsonb_build_array(t.price('pro', 2900) || '{"metadata": {"credits": "100"}}'), true);
SELECT t.page(1, 1, jsonb_build_array(t.product('prod_pro', 'Pro')), true);
SELECT t.page(1, 4, jsonb_build_array(t.customer('cus_ada', '{"metadata": {"user_id": "ada"}}'), t.customer('cus_nobody')), false);
SELECT t.page(1, 5, jsonb_build_array(t.subscription('sub_cus_ada', 'cus_ada', 'active', now() - interval '1 hour', now() + interval '30 days'),
                                      t.subscription('sub_cus_nobody', 'cus_nobody', 'active', now() - interval '1 hour', now() + interval '30 days')), true);
SELECT object_type, last_object, last_created, objects, parked, failed, done_at IS NOT NULL AS done FROM stripe_sync_slices WHERE objects > 0 ORDER BY slice_id;
SELECT count(*) AS claimed_while_customers_are_read FROM claim_stripe_sync_slice(1, 'one');
SELECT s ->> 'has_access' AS has_access FROM get_user_subscription_state('ada') s;
-- What was paid before grants nothing: not when its webhook comes at last, nor when its customer is linked. What a webhook
-- told of first, or is paid while the import runs, grants as ever.
SELECT outcome FROM t.process(t.event('evt_1', 'customer.created', now(), t.customer('cus_bea', '{"metadata": {"user_id": "bea"}}')),
                              t.event('evt_0', 'price.created', now(), t.price('pro', 2900) || '{"metadata": {"credits": "100"}}'),
                              t.event('evt_2', 'invoice.paid', now(), t.paid('in_told', 'cus_bea')));
SELECT t.page(1, 7, jsonb_build_array(t.paid('in_old', 'cus_ada'), t.paid('in_told', 'cus_bea'), t.paid('in_nobody', 'cus_nobody'),
    jsonb_set(t.paid('in_new', 'cus_ada'), '{status_transitions,paid_at}', to_jsonb(t.unix(now() + interval '1 minute')))), true);
SELECT * FROM t.credits();
SELECT outcome FROM t.process(t.event('evt_3', 'invoice.paid', now() - interval '1 hour', t.paid('in_old', 'cus_ada')));
SELECT link_stripe_customer('nobody', 'cus_nobody') ->> 'events_applied' AS applied;
SELECT * FROM t.credits();
SELECT object_id, current_since IS NOT NULL AS current FROM credit_imported_sources ORDER BY 1;
SELECT table_name, row_key, difference FROM rebuild_billing_state();
-- Nobody is told of what comes this way; of what webhooks tell, as ever.
SELECT user_id, kind, event_id FROM billing_notifications ORDER BY 1, 2;
-- Whoever has more to read than others shares it.
SELECT split_stripe_sync_slice(1, 8, 'one', ARRAY[t.unix('2026-01-01'), t.unix('2026-02-01'), t.unix('2026-01-01')]);
SELECT slice_id, created_from, created_until FROM stripe_sync_slices WHERE object_type = 'payment_intent' ORDER BY 1;
SELECT slice_id, created_from, created_until FROM claim_stripe_sync_slice(1, 'one');
-- What cannot be read is said, and tried again by the next.
SELECT leave_stripe_sync_slice(1, 9, 'one', 'permission denied');
SELECT t.page(1, 4, '[]', true);
SELECT array_agg(c) FROM t.claim(1) c;
SELECT sum((t.page(1, slice_id, '[]', true) IS NOT NULL)::integer) AS done FROM stripe_sync_slices WHERE done_at IS NULL AND error IS NULL;
SELECT r - 'types' AS report, r #> '{types,customer}' AS customers FROM finish_stripe_sync(1, 'one') r;
SELECT t.begin('one') - 'share' - 'objects';
SELECT slice_id, object_type FROM claim_stripe_sync_slice(1, 'one');
SELECT t.page(1, 9, '[]', true);
SELECT r ->> 'status' AS status, r ->> 'unread' AS unread FROM finish_stripe_sync(1, 'one') r;
-- Another one changes nothing; with grants for the current period it grants what is left of it, once.
CREATE TABLE t.before AS SELECT user_id, state FROM subscription_cache;
SELECT t.begin('one', '{"grants": "current-period"}');
SELECT count(*) FROM t.claim(2);
SELECT t.page(2, 8, jsonb_build_array(jsonb_build_object('id', 'pi_1', 'object', 'payment_intent', 'customer', 'cus_ada', 'status', 'succeeded', 'amount', 500,
    'amount_received', 500, 'currency', 'eur', 'created', t.unix('2026-03-01'), 'metadata', '{}'::jsonb)), false);
SELECT payment_id, status, paid_at FROM payments;
SELECT t.page(2, 7, jsonb_build_array(t.paid('in_old', 'cus_ada')), false), t.page(2, 7, jsonb_build_array(t.paid('in_old', 'cus_ada')), false);
SELECT * FROM t.credits();
SELECT table_name, row_key, difference FROM rebuild_billing_state();
SELECT count(*) AS told FROM billing_notifications;
SELECT t.begin('three', '{"restart": true}') ->> 'run_id' AS run_id;
SELECT run_id, grants, outcome FROM stripe_sync_runs ORDER BY 1;
-- Misuse.
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(NULL, $$x$$)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(false, $$$$)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(false, $$x$$, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(false, $$x$$, $${"grants": "all"}$$)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(false, $$x$$, $${"grant": "all"}$$)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_sync(false, $$x$$, $${"restart": 1}$$)');
SELECT code, message, hint FROM t.refusal('SELECT claim_stripe_sync_slice(99, $$x$$)');
SELECT code, message, hint FROM t.refusal('SELECT claim_stripe_sync_slice(3, $$x$$)');
SELECT code, message, hint FROM t.refusal('SELECT claim_stripe_sync_slice(1, $$one$$)');
SELECT code, message, hint FROM t.refusal('SELECT t.page(3, 1, $$[]$$, true, $$three$$)');
SELECT slice_id FROM claim_stripe_sync_slice(3, 'three');
SELECT code, message, hint FROM t.refusal('SELECT t.page(3, 1, $${}$$, true, $$three$$)');
SELECT code, message, hint FROM t.refusal('SELECT t.page(3, 1, $$[1]$$, true, $$three$$)');
SELECT code, message, hint FROM t.refusal('SELECT t.page(3, 1, $$[]$$, NULL, $$three$$)');
SELECT code, message, hint FROM t.refusal('SELECT keep_stripe_sync_page(3, 1, $$three$$, $$nonsense$$, 1, NULL, NULL, false, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT keep_stripe_sync_page(3, 1, $$three$$, NULL, 1, NULL, NULL, false, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT leave_stripe_sync_slice(3, 1, $$three$$, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT stripe_sync_customers(3, 1, $$three$$, 0)');
-- A worker may do all of it, and cannot reach what is behind.
SELECT t.begin('three') ->> 'status' AS status;
\set ECHO none
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'regress_sync_worker') THEN CREATE ROLE regress_sync_worker; END IF; END $$;
GRANT USAGE ON SCHEMA t TO regress_sync_worker;
\set ECHO all
SELECT grant_billing_role('regress_sync_worker', 'worker');
SET ROLE regress_sync_worker;
SELECT begin_stripe_sync(false, 'four') ->> 'status' AS status;
SELECT slice_id FROM claim_stripe_sync_slice(3, 'four');
SELECT keep_stripe_sync_page(3, 1, 'four', '[]', 1, NULL, NULL, true, NULL);
SELECT apply_imported_objects('[]', now());
SELECT fix_imported_customer_links();
SELECT lock_stripe_sync_slice(3, 1, 'four');
SELECT * FROM stripe_sync_runs;
SELECT * FROM credit_imported_sources;
RESET ROLE;
\set ECHO none
DROP OWNED BY regress_sync_worker; DROP ROLE regress_sync_worker;
