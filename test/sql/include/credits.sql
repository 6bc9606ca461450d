-- Short ways to look at credits, and a clock that can be moved. Read after payloads.sql.

-- An answer without its times, and without what is 0 in most.
CREATE FUNCTION t.say(answer jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_object_agg(key, value) FROM jsonb_each(answer)
 WHERE key NOT IN ('effective_at', 'expires_at') AND (key, value) NOT IN (('debt', '0'), ('held', '0'), ('debt_paid', '0'))
$$;

CREATE FUNCTION t.balance(user_id text, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (balance bigint, held bigint, available bigint, debt bigint) LANGUAGE sql AS $$
SELECT (b ->> 'balance')::bigint, (b ->> 'held')::bigint, (b ->> 'available')::bigint, (b ->> 'debt')::bigint
  FROM get_credit_balance(user_id, as_of) b
$$;

CREATE FUNCTION t.grants(of_user text)
    RETURNS TABLE (id bigint, amount bigint, remaining bigint, held bigint, spent bigint, lapsed bigint, reversed bigint,
                   started boolean, live boolean) LANGUAGE sql AS $$
SELECT grant_id, amount, remaining, held, spent, lapsed, reversed, started, live FROM credit_grants
 WHERE user_id = of_user ORDER BY grant_id
$$;

CREATE FUNCTION t.ledger(of_user text, after bigint DEFAULT 0)
    RETURNS TABLE (id bigint, type text, amount bigint, balance_after bigint, lot bigint, refers bigint, hold bigint,
                   burns text, was_due boolean) LANGUAGE sql AS $$
SELECT transaction_id, transaction_type, amount, balance_after, grant_id, refers_to, hold_id,
       (SELECT string_agg(format('%s of %s', b.amount, b.grant_id), ', ' ORDER BY b.position) FROM credit_burns b
         WHERE b.user_id = x.user_id AND b.transaction_id = x.transaction_id),
       effective_at < created_at
  FROM credit_transactions x WHERE user_id = of_user AND transaction_id > after ORDER BY transaction_id
$$;

CREATE TABLE t.moments (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION t.moment(name text) RETURNS timestamptz LANGUAGE sql AS $$
SELECT at FROM t.moments m WHERE m.name = moment.name
$$;

-- Time passes: everything that is known about credits becomes that much older.
CREATE PROCEDURE t.pass(elapsed interval) LANGUAGE sql AS $$
UPDATE credit_accounts SET next_due_at = next_due_at - elapsed, last_entry_at = last_entry_at - elapsed, created_at = created_at - elapsed;
UPDATE credit_grants SET effective_at = effective_at - elapsed, expires_at = expires_at - elapsed, cycle_start = cycle_start - elapsed,
                         created_at = created_at - elapsed;
UPDATE credit_holds SET created_at = created_at - elapsed, expires_at = expires_at - elapsed, closed_at = closed_at - elapsed;
UPDATE credit_transactions SET effective_at = effective_at - elapsed, created_at = created_at - elapsed;
UPDATE t.moments SET at = at - elapsed;
$$;
