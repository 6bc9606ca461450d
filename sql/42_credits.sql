-- Credits: accounts, lots (grants), holds, the ledger and its burns. Every row belongs to one user, and every change
-- of an account's rows updates its row in credit_accounts, whose lock serialises them. docs/credits.md is the model.
CREATE TABLE credit_accounts (
    user_id               text COLLATE "C" PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    balance               bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
    held                  bigint NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND balance),
    debt                  bigint NOT NULL DEFAULT 0 CHECK (debt >= 0),
    subscription_credits  bigint NOT NULL DEFAULT 0 CHECK (subscription_credits BETWEEN 0 AND balance - held),
    next_due_at           timestamptz NOT NULL DEFAULT 'infinity',
    last_transaction_id   bigint NOT NULL DEFAULT 0 CHECK (last_transaction_id >= 0),
    last_grant_id         bigint NOT NULL DEFAULT 0 CHECK (last_grant_id >= 0),
    last_hold_id          bigint NOT NULL DEFAULT 0 CHECK (last_hold_id >= 0),
    last_entry_at         timestamptz NOT NULL DEFAULT '-infinity',
    low_thresholds        bigint[],
    low_told              bigint,
    created_at            timestamptz NOT NULL DEFAULT now(),
    subscription_credits_of text COLLATE "C",
    CONSTRAINT credit_accounts_debt_first_check CHECK (debt = 0 OR balance = held)
) WITH (fillfactor = 70);
CREATE INDEX credit_accounts_due_idx ON credit_accounts (next_due_at) WHERE next_due_at < 'infinity';
COMMENT ON TABLE credit_accounts IS 'one row per user with credits: what the ledger amounts to; locked by whoever changes anything of it';
COMMENT ON COLUMN credit_accounts.balance IS 'credits that started and were not used, reversed or lapsed, as of last_entry_at';
COMMENT ON COLUMN credit_accounts.held IS 'of balance, what open holds reserve';
COMMENT ON COLUMN credit_accounts.debt IS 'clawed back after it was spent; later grants pay it first';
COMMENT ON COLUMN credit_accounts.subscription_credits IS 'of balance - held, what can be used only while its subscription gives access';
COMMENT ON COLUMN credit_accounts.subscription_credits_of IS 'the one subscription that they need, empty = any; null = several, or not known: the grants tell';
COMMENT ON COLUMN credit_accounts.next_due_at IS 'no later than the next instant at which time alone changes this row; from then on readers compute';
COMMENT ON COLUMN credit_accounts.last_transaction_id IS 'of the newest entry in credit_transactions: how many there are';
COMMENT ON COLUMN credit_accounts.low_thresholds IS 'balances that credits_low tells of; null = those of the setting credits_low_thresholds';
COMMENT ON COLUMN credit_accounts.low_told IS 'thresholds from here on have been told of since a grant lifted the balance above them';

CREATE TABLE credit_grants (
    user_id                text COLLATE "C" NOT NULL,
    grant_id               bigint NOT NULL CHECK (grant_id > 0),
    amount                 bigint NOT NULL CHECK (amount > 0),
    remaining              bigint NOT NULL DEFAULT 0 CHECK (remaining >= 0),
    held                   bigint NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND remaining),
    spent                  bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    lapsed                 bigint NOT NULL DEFAULT 0 CHECK (lapsed >= 0),
    reversed               bigint NOT NULL DEFAULT 0 CHECK (reversed >= 0),
    reversal_target        bigint NOT NULL DEFAULT 0 CHECK (reversal_target BETWEEN 0 AND amount),
    reversal_debt          bigint NOT NULL DEFAULT 0 CHECK (reversal_debt BETWEEN 0 AND amount),
    started                boolean NOT NULL,
    voided                 boolean NOT NULL DEFAULT false,
    live                   boolean NOT NULL,
    category               text NOT NULL CHECK (category IN ('paid', 'promotional')),
    priority               integer NOT NULL,
    effective_at           timestamptz NOT NULL,
    expires_at             timestamptz,
    requires_subscription  boolean NOT NULL DEFAULT false,
    stripe_subscription_id text COLLATE "C",
    source                 text NOT NULL,
    grant_key              text COLLATE "C",
    stripe_invoice_id      text COLLATE "C",
    series                 text COLLATE "C",
    cycle_start            timestamptz,
    rollover               bigint,
    rule                   jsonb,
    description            text,
    metadata               jsonb NOT NULL DEFAULT '{}',
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (user_id, grant_id),
    UNIQUE (user_id, grant_key),
    CONSTRAINT credit_grants_sum_check CHECK (CASE WHEN started THEN amount = remaining + spent + lapsed + reversed
                                                   ELSE remaining + spent + lapsed + reversed = 0 END)
) WITH (fillfactor = 70);
CREATE INDEX credit_grants_live_idx ON credit_grants (user_id) WHERE live;
CREATE INDEX credit_grants_series_idx ON credit_grants (user_id, series) WHERE series IS NOT NULL;
CREATE INDEX credit_grants_invoice_idx ON credit_grants (user_id, stripe_invoice_id) WHERE stripe_invoice_id IS NOT NULL;
COMMENT ON TABLE credit_grants IS 'lots of credits: burnt by priority, expires_at, created_at, grant_id';
COMMENT ON COLUMN credit_grants.started IS 'effective, and counted in the balance; false until effective_at';
COMMENT ON COLUMN credit_grants.live IS 'whether time or a debit can still change it';
COMMENT ON COLUMN credit_grants.priority IS 'lower is burnt first; default 50';
COMMENT ON COLUMN credit_grants.expires_at IS 'exclusive; null = never';
COMMENT ON COLUMN credit_grants.reversal_target IS 'what refunds and disputes of what paid for it take back in all';
COMMENT ON COLUMN credit_grants.reversal_debt IS 'of that, what had been spent already and became debt';
COMMENT ON COLUMN credit_grants.grant_key IS 'natural key: what was granted for, so that it happens once';
COMMENT ON COLUMN credit_grants.series IS 'grants that follow each other: the next one ends what is left of the former';
COMMENT ON COLUMN credit_grants.rollover IS 'how much of the former grants this one lets stay; null = all';
COMMENT ON COLUMN credit_grants.rule IS 'the rule that was applied';

CREATE TABLE credit_transactions (
    user_id          text COLLATE "C" NOT NULL,
    transaction_id   bigint NOT NULL CHECK (transaction_id > 0),
    transaction_type text COLLATE "C" NOT NULL,
    amount           bigint NOT NULL,
    balance_after    bigint NOT NULL CHECK (balance_after >= 0),
    debt_change      bigint NOT NULL DEFAULT 0,
    debt_after       bigint NOT NULL DEFAULT 0 CHECK (debt_after >= 0),
    grant_id         bigint,
    refers_to        bigint,
    hold_id          bigint,
    actor_id         text,
    idempotency_key  text,
    description      text,
    metadata         jsonb NOT NULL DEFAULT '{}',
    effective_at     timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (user_id, transaction_id),
    CONSTRAINT credit_transactions_sign_check CHECK (
        CASE transaction_type
            WHEN 'allocation' THEN amount > 0
            WHEN 'usage' THEN amount < 0
            WHEN 'refund' THEN amount > 0
            WHEN 'expiry' THEN amount < 0
            WHEN 'clawback' THEN amount <> 0 OR debt_change <> 0
            WHEN 'adjustment' THEN amount <> 0
            ELSE false
        END),
    CONSTRAINT credit_transactions_debt_type_check CHECK (debt_change = 0 OR transaction_type = 'clawback')
);
CREATE INDEX credit_transactions_refers_to_idx ON credit_transactions (user_id, refers_to) WHERE refers_to IS NOT NULL;
COMMENT ON TABLE credit_transactions IS 'the ledger: append-only, one account''s entries numbered 1, 2, 3... without gaps';
COMMENT ON COLUMN credit_transactions.amount IS 'signed credits; the balance is the sum';
COMMENT ON COLUMN credit_transactions.grant_id IS 'the one grant that it is about; usage and refund have credit_burns';
COMMENT ON COLUMN credit_transactions.refers_to IS 'refund: the transaction_id of the debit';
COMMENT ON COLUMN credit_transactions.actor_id IS 'who used it, where user_id is who pays';
COMMENT ON COLUMN credit_transactions.effective_at IS 'since when it counts: earlier than created_at when something had lapsed before it was written';

CREATE TABLE credit_burns (
    user_id        text COLLATE "C" NOT NULL,
    transaction_id bigint NOT NULL,
    grant_id       bigint NOT NULL,
    amount         bigint NOT NULL CHECK (amount <> 0),
    position       integer NOT NULL,
    PRIMARY KEY (user_id, transaction_id, grant_id)
);
COMMENT ON TABLE credit_burns IS 'which debit burnt which grant';
COMMENT ON COLUMN credit_burns.amount IS 'positive: burnt by a usage; negative: given back by a refund';
COMMENT ON COLUMN credit_burns.position IS 'order in which they were burnt';

CREATE TABLE credit_holds (
    user_id        text COLLATE "C" NOT NULL,
    hold_id        bigint NOT NULL CHECK (hold_id > 0),
    amount         bigint NOT NULL CHECK (amount > 0),
    status         text NOT NULL CHECK (status IN ('open', 'captured', 'released', 'expired')),
    captured       bigint NOT NULL DEFAULT 0 CHECK (captured >= 0),
    transaction_id bigint,
    lots           jsonb NOT NULL,
    actor_id       text,
    description    text,
    metadata       jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    closed_at      timestamptz,
    PRIMARY KEY (user_id, hold_id),
    CHECK ((status = 'open') = (closed_at IS NULL)),
    CHECK ((status = 'captured') = (transaction_id IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX credit_holds_open_idx ON credit_holds (user_id) WHERE status = 'open';
COMMENT ON TABLE credit_holds IS 'credits reserved for work in progress; one that is past expires_at no longer holds anything, whatever its status says';
COMMENT ON COLUMN credit_holds.lots IS 'what is reserved of which grant, in burn order: [[grant_id, amount], ...]';
COMMENT ON COLUMN credit_holds.transaction_id IS 'of the capture';

CREATE TABLE credit_requests (
    user_id         text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
    operation       text COLLATE "C" NOT NULL,
    request_hash    text COLLATE "C" NOT NULL,
    answer          jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, idempotency_key)
);
COMMENT ON TABLE credit_requests IS 'answers of requests that had an effect, by idempotency key: the same request again gets the same answer';
