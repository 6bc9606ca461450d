-- pg_dump carries the rows of every table but the one with secrets.
SELECT pg_extension_config_dump('billing_settings', '');
SELECT pg_extension_config_dump('stripe_events', '');
SELECT pg_extension_config_dump('stripe_event_payloads', '');
SELECT pg_extension_config_dump('stripe_event_payloads_default', '');
SELECT pg_extension_config_dump('stripe_objects', '');
SELECT pg_extension_config_dump('stripe_customer_links', '');
SELECT pg_extension_config_dump('billing_users', '');
SELECT pg_extension_config_dump('user_subscriptions', '');
SELECT pg_extension_config_dump('audit_logs', '');
SELECT pg_extension_config_dump('subscription_cache', '');
SELECT pg_extension_config_dump('subscription_cache_cleanups', '');
