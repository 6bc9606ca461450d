-- What the ledger says, and whether all tables agree with it.
CREATE FUNCTION credit_statement(user_id text, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL,
                                 OUT transaction_id bigint, OUT created_at timestamptz, OUT transaction_type text,
                                 OUT amount bigint, OUT balance_after bigint, OUT debt_after bigint,
                                 OUT description text, OUT actor_id text, OUT grants jsonb, OUT metadata jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF from_time > to_time THEN
        RAISE EXCEPTION 'from_time % is after to_time %', from_time, to_time
            USING ERRCODE = 'invalid_parameter_value', HINT = 'to_time is exclusive; null leaves an end open.';
    END IF;
    RETURN QUERY
        SELECT t.transaction_id, t.created_at, t.transaction_type::text, t.amount, t.balance_after, t.debt_after,
               t.description, t.actor_id,
               coalesce((SELECT jsonb_agg(jsonb_build_object('grant_id', b.grant_id, 'amount', -b.amount)
                                          ORDER BY b.position)
                           FROM @extschema@.credit_burns b
                          WHERE b.user_id = t.user_id AND b.transaction_id = t.transaction_id),
                        jsonb_build_array(jsonb_build_object('grant_id', t.grant_id, 'amount', t.amount))),
               t.metadata
          FROM @extschema@.credit_transactions t
         WHERE t.user_id = credit_statement.user_id
           AND t.created_at >= coalesce(from_time, '-infinity')
           AND t.created_at < coalesce(to_time, 'infinity')
         ORDER BY t.transaction_id;
END
$$;
COMMENT ON FUNCTION credit_statement(text, timestamptz, timestamptz) IS
    'a user''s ledger from from_time until before to_time, with what each entry did to which grant';

CREATE FUNCTION verify_credit_ledger(user_id text DEFAULT NULL, OUT account text, OUT invariant text, OUT detail jsonb)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH accounts AS (
        SELECT * FROM @extschema@.credit_accounts a
         WHERE verify_credit_ledger.user_id IS NULL OR a.user_id = verify_credit_ledger.user_id),
    entries AS (
        SELECT t.*, row_number() OVER account AS place,
               coalesce(lag(t.balance_after) OVER account, 0) AS balance_before,
               coalesce(lag(t.debt_after) OVER account, 0) AS debt_before,
               lag(t.created_at) OVER account AS previous_at
          FROM @extschema@.credit_transactions t
         WHERE verify_credit_ledger.user_id IS NULL OR t.user_id = verify_credit_ledger.user_id
        WINDOW account AS (PARTITION BY t.user_id ORDER BY t.transaction_id)),
    totals AS (
        SELECT e.user_id, count(*) AS entries, sum(e.amount) AS balance, sum(e.debt_change) AS debt,
               max(e.transaction_id) AS last_id
          FROM entries e GROUP BY e.user_id),
    lots AS (
        SELECT * FROM @extschema@.credit_grants g
         WHERE verify_credit_ledger.user_id IS NULL OR g.user_id = verify_credit_ledger.user_id),
    burns AS (
        SELECT * FROM @extschema@.credit_burns b
         WHERE verify_credit_ledger.user_id IS NULL OR b.user_id = verify_credit_ledger.user_id),
    holds AS (
        SELECT * FROM @extschema@.credit_holds h
         WHERE verify_credit_ledger.user_id IS NULL OR h.user_id = verify_credit_ledger.user_id),
    held AS (
        SELECT h.user_id, (line.value ->> 0)::bigint AS grant_id, sum((line.value ->> 1)::bigint) AS amount
          FROM holds h CROSS JOIN LATERAL jsonb_array_elements(h.lots) line
         WHERE h.status = 'open' GROUP BY 1, 2),
    moves AS (
        SELECT e.user_id, e.grant_id, e.amount FROM entries e WHERE e.grant_id IS NOT NULL
        UNION ALL
        SELECT b.user_id, b.grant_id, -b.amount FROM burns b),
    moved AS (SELECT m.user_id, m.grant_id, sum(m.amount) AS amount FROM moves m GROUP BY 1, 2)
    SELECT e.user_id, 'transactions are numbered without gaps',
           jsonb_build_object('transaction_id', e.transaction_id, 'expected', e.place)
      FROM entries e WHERE e.transaction_id <> e.place
    UNION ALL
    SELECT e.user_id, 'balance_after is the balance before plus the amount',
           jsonb_build_object('transaction_id', e.transaction_id, 'before', e.balance_before, 'amount', e.amount,
                              'after', e.balance_after)
      FROM entries e WHERE e.balance_after <> e.balance_before + e.amount
    UNION ALL
    SELECT e.user_id, 'debt_after is the debt before plus the change',
           jsonb_build_object('transaction_id', e.transaction_id, 'before', e.debt_before, 'change', e.debt_change,
                              'after', e.debt_after)
      FROM entries e WHERE e.debt_after <> e.debt_before + e.debt_change
    UNION ALL
    SELECT e.user_id, 'entries are in order of time',
           jsonb_build_object('transaction_id', e.transaction_id, 'created_at', e.created_at, 'previous', e.previous_at)
      FROM entries e WHERE e.created_at < e.previous_at OR e.effective_at > e.created_at
    UNION ALL
    SELECT a.user_id, 'the account is the sum of its ledger',
           jsonb_build_object('balance', a.balance, 'ledger_balance', coalesce(t.balance, 0), 'debt', a.debt,
                              'ledger_debt', coalesce(t.debt, 0), 'last_transaction_id', a.last_transaction_id,
                              'entries', coalesce(t.entries, 0))
      FROM accounts a LEFT JOIN totals t USING (user_id)
     WHERE (a.balance, a.debt, a.last_transaction_id)
           IS DISTINCT FROM (coalesce(t.balance, 0), coalesce(t.debt, 0), coalesce(t.last_id, 0))
    UNION ALL
    SELECT a.user_id, 'the account is the sum of its grants',
           jsonb_build_object('balance', a.balance, 'remaining', coalesce(g.remaining, 0), 'held', a.held,
                              'grants_held', coalesce(g.held, 0), 'subscription_credits', a.subscription_credits,
                              'grants_subscription_credits', coalesce(g.bound, 0),
                              'subscription_credits_of', a.subscription_credits_of)
      FROM accounts a
      LEFT JOIN (SELECT l.user_id, sum(l.remaining) AS remaining, sum(l.held) AS held,
                        sum(l.remaining - l.held) FILTER (WHERE l.requires_subscription) AS bound,
                        array_agg(DISTINCT coalesce(l.stripe_subscription_id, ''))
                            FILTER (WHERE l.requires_subscription AND l.remaining > l.held) AS bound_to
                   FROM lots l GROUP BY 1) g USING (user_id)
     WHERE (a.balance, a.held, a.subscription_credits)
           IS DISTINCT FROM (coalesce(g.remaining, 0), coalesce(g.held, 0), coalesce(g.bound, 0))
        OR (a.subscription_credits_of IS NOT NULL AND g.bound_to IS DISTINCT FROM ARRAY[a.subscription_credits_of])
    UNION ALL
    SELECT l.user_id, 'a grant is what the ledger and the burns leave of it',
           jsonb_build_object('grant_id', l.grant_id, 'remaining', l.remaining, 'ledger', coalesce(m.amount, 0))
      FROM lots l LEFT JOIN moved m USING (user_id, grant_id)
     WHERE l.remaining <> coalesce(m.amount, 0)
    UNION ALL
    SELECT l.user_id, 'a grant is held by its open holds',
           jsonb_build_object('grant_id', l.grant_id, 'held', l.held, 'holds', coalesce(h.amount, 0))
      FROM lots l LEFT JOIN held h USING (user_id, grant_id)
     WHERE l.held <> coalesce(h.amount, 0)
    UNION ALL
    SELECT l.user_id, 'live says whether a grant can still change', jsonb_build_object('grant_id', l.grant_id)
      FROM lots l
     WHERE l.live <> CASE WHEN l.started THEN l.remaining > 0
                          ELSE NOT l.voided AND l.reversal_target < l.amount END
    UNION ALL
    SELECT e.user_id, 'a debit or refund is the sum of its burns',
           jsonb_build_object('transaction_id', e.transaction_id, 'amount', e.amount, 'burns', coalesce(b.amount, 0))
      FROM entries e
      LEFT JOIN (SELECT b.user_id, b.transaction_id, sum(b.amount) AS amount FROM burns b GROUP BY 1, 2) b
           USING (user_id, transaction_id)
     WHERE CASE WHEN e.transaction_type IN ('usage', 'refund') THEN -e.amount ELSE 0 END <> coalesce(b.amount, 0)
    UNION ALL
    SELECT b.user_id, 'burns belong to an entry and a grant',
           jsonb_build_object('transaction_id', b.transaction_id, 'grant_id', b.grant_id)
      FROM burns b
     WHERE NOT EXISTS (SELECT FROM entries e WHERE e.user_id = b.user_id AND e.transaction_id = b.transaction_id)
        OR NOT EXISTS (SELECT FROM lots l WHERE l.user_id = b.user_id AND l.grant_id = b.grant_id)
    UNION ALL
    SELECT d.user_id, 'no more is refunded than was charged',
           jsonb_build_object('transaction_id', d.transaction_id, 'grant_id', d.grant_id, 'charged', d.amount,
                              'refunded', r.amount)
      FROM burns d
      JOIN (SELECT e.user_id, e.refers_to, b.grant_id, sum(-b.amount) AS amount
              FROM entries e JOIN burns b ON b.user_id = e.user_id AND b.transaction_id = e.transaction_id
             WHERE e.transaction_type = 'refund' GROUP BY 1, 2, 3) r
        ON r.user_id = d.user_id AND r.refers_to = d.transaction_id AND r.grant_id = d.grant_id
     WHERE r.amount > d.amount
    UNION ALL
    SELECT h.user_id, 'a captured hold is a charge',
           jsonb_build_object('hold_id', h.hold_id, 'transaction_id', h.transaction_id, 'captured', h.captured)
      FROM holds h LEFT JOIN entries e ON e.user_id = h.user_id AND e.transaction_id = h.transaction_id
     WHERE h.status = 'captured' AND (e.hold_id IS DISTINCT FROM h.hold_id OR e.amount IS DISTINCT FROM -h.captured)
    UNION ALL
    SELECT a.user_id, 'next_due_at is not too late', jsonb_build_object('next_due_at', a.next_due_at, 'due', d.at)
      FROM accounts a
      JOIN (SELECT x.user_id, min(x.at) AS at
              FROM (SELECT l.user_id, l.expires_at FROM lots l WHERE l.started AND l.remaining > l.held
                    UNION ALL
                    SELECT l.user_id, l.effective_at FROM lots l WHERE NOT l.started AND l.live
                    UNION ALL
                    SELECT h.user_id, h.expires_at FROM holds h WHERE h.status = 'open') x(user_id, at)
             GROUP BY 1) d USING (user_id)
     WHERE a.next_due_at > d.at
    UNION ALL
    SELECT x.user_id, 'every row belongs to an account', jsonb_build_object('table', x.name)
      FROM (SELECT DISTINCT e.user_id, 'credit_transactions' AS name FROM entries e
            UNION SELECT DISTINCT b.user_id, 'credit_burns' FROM burns b
            UNION SELECT DISTINCT l.user_id, 'credit_grants' FROM lots l
            UNION SELECT DISTINCT h.user_id, 'credit_holds' FROM holds h) x
     WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = x.user_id)
$$;
COMMENT ON FUNCTION verify_credit_ledger(text) IS
    'every invariant that does not hold, as a row; empty when accounts, grants, ledger, burns and holds agree';
