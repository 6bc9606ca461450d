\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- Misuse raises, says the value and what to do, and leaves nothing behind.
CREATE FUNCTION t.refusals(commands text[]) RETURNS TABLE (command text, code text, message text, hint text) LANGUAGE sql AS $$
SELECT CASE WHEN length(c) > 90 THEN left(c, 87) || '...' ELSE c END, r.code, CASE WHEN r.code = '00000' THEN 'ACCEPTED' ELSE r.message END, r.hint
  FROM unnest(commands) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n
$$;
SELECT upsert_plan('{"id": "free", "default": true, "features": {"messages": {"limit": 5, "window": "month"}, "projects": {"limit": 1}}}') ->> 'id' AS plan;
SELECT use_feature('bob', 'messages') ->> 'status' AS bob;
\x
\a
-- Users, features, amounts.
SELECT * FROM t.refusals(ARRAY['SELECT check_entitlement(NULL, ''messages'')', 'SELECT check_entitlement('''', ''messages'')', 'SELECT check_entitlement(repeat(''u'', 256), ''messages'')',
    'SELECT check_entitlement(''ada'', NULL)', 'SELECT check_entitlement(''ada'', '''')', 'SELECT check_entitlement(''ada'', ''two words'')', 'SELECT check_entitlement(''ada'', repeat(''f'', 81))',
    'SELECT check_entitlement(''ada'', ''messages'', NULL)', 'SELECT check_entitlement(''ada'', ''messages'', -1)', 'SELECT require_entitlement(''ada'', ''messages'', 1000000000001)',
    'SELECT use_feature(''ada'', ''messages'', 0)', 'SELECT use_feature(''ada'', ''messages'', -1)', 'SELECT use_feature(''ada'', ''messages'', NULL)', 'SELECT use_feature(''ada'', ''messages'', 9223372036854775807)',
    'SELECT release_feature(''ada'', ''messages'', 0)', 'SELECT release_feature(''ada'', ''messages'', -5)', 'SELECT get_user_entitlements(NULL)', 'SELECT get_user_entitlements('''')']);
-- Keys, actors, options.
SELECT * FROM t.refusals(ARRAY['SELECT use_feature(''ada'', ''messages'', 1, '''')', 'SELECT use_feature(''ada'', ''messages'', 1, repeat(''k'', 256))', 'SELECT use_feature(''ada'', ''messages'', 1, NULL, repeat(''a'', 256))',
    'SELECT use_feature(''ada'', ''messages'', options => ''[]'')', 'SELECT use_feature(''ada'', ''messages'', options => ''{"record_id": 1}'')', 'SELECT use_feature(''ada'', ''messages'', options => ''{"metadata": 5}'')',
    'SELECT use_feature(''ada'', ''messages'', options => jsonb_build_object(''metadata'', jsonb_build_object(''a'', repeat(''x'', 16384))))',
    'SELECT release_feature(''ada'', ''messages'', options => ''{"record_id": "1"}'')', 'SELECT release_feature(''ada'', ''messages'', options => ''{"record_id": 1.5}'')',
    'SELECT release_feature(''ada'', ''messages'', options => ''{"record_id": 1}'')', 'SELECT release_feature(''bob'', ''projects'', options => ''{"record_id": 1}'')']);
-- Settings by hand.
SELECT * FROM t.refusals(ARRAY['SELECT set_user_entitlement(''ada'', ''messages'', NULL)', 'SELECT set_user_entitlement(''ada'', ''messages'', ''5'')', 'SELECT set_user_entitlement(''ada'', ''messages'', ''{}'')',
    'SELECT set_user_entitlement(''ada'', ''messages'', ''{"limit": -1}'')', 'SELECT set_user_entitlement(''ada'', ''messages'', ''{"limit": 1, "windw": "day"}'')', 'SELECT set_user_entitlement(''ada'', ''messages'', ''{"limit": 1, "window": "hour"}'')',
    'SELECT set_user_entitlement(''ada'', ''messages'', ''{"limit": 1, "unlimited": true}'')', 'SELECT set_user_entitlement(''ada'', '''', ''true'')', 'SELECT set_user_entitlement('''', ''messages'', ''true'')',
    'SELECT set_user_entitlement(''ada'', ''messages'', ''true'', ''2020-01-01'')', 'SELECT set_user_entitlement(''ada'', ''messages'', ''true'', ''infinity'')', 'SELECT set_user_entitlement(''ada'', ''messages'', ''true'', reason => repeat(''r'', 1001))',
    'SELECT clear_user_entitlement(''ada'', NULL)', 'SELECT clear_user_entitlement(''ada'', ''messages'', repeat(''r'', 1001))']);
-- Time zones.
SELECT * FROM t.refusals(ARRAY(SELECT format('SELECT set_billing_setting(''time_zone'', %L, ''test'')', z) FROM unnest(ARRAY['Mars/Phobos', 'Foo5', 'EST5EDT', '+02', '<+02>-2', '', 'Europe/Berlin', '../../etc/passwd', repeat('x', 300)]) z));
-- Where nothing may be written.
BEGIN READ ONLY;
SELECT check_entitlement('bob', 'messages') ->> 'used' AS used;
SELECT * FROM t.refusals(ARRAY['SELECT use_feature(''bob'', ''messages'')', 'SELECT release_feature(''bob'', ''messages'')', 'SELECT set_user_entitlement(''bob'', ''messages'', ''true'')']);
COMMIT;
\a
\x
SELECT user_id, feature, used FROM usage_windows;
SELECT count(*) FROM user_entitlements;
