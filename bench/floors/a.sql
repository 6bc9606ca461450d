\set n :n + 1
\set number :n * 64 + :client_id
\set customer 1 + :number % :customers
BEGIN;
INSERT INTO inbox (event_id, payload) VALUES ('evt_' || :run || '_' || :number, :payload);
UPDATE customer_state SET status = 'active', period_end = now() + interval '30 days', updated_at = now() WHERE customer_id = :customer;
COMMIT;
