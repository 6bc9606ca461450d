-- Access that no subscription pays: comps, lifetime deals, trials without a card.
CREATE TABLE access_grants (
    user_id    text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    plan_id    text COLLATE "C" NOT NULL CHECK (octet_length(plan_id) BETWEEN 1 AND 63),
    until      timestamptz,
    reason     text,
    granted_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (user_id, plan_id)
);
COMMENT ON TABLE access_grants IS 'access to a plan that somebody gave a user; change it with grant_access() and revoke_access()';
COMMENT ON COLUMN access_grants.until IS 'when it ends; null is never';
COMMENT ON COLUMN access_grants.created_at IS 'since when; a grant that had ended begins anew';

CREATE FUNCTION grant_access(user_id text, plan text, until timestamptz DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'grant_access';
COMMENT ON FUNCTION grant_access(text, text, timestamptz, text) IS
    'gives a user access to a plan until a time, or for ever; again with another time moves the end';

CREATE FUNCTION revoke_access(user_id text, plan text, reason text)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'revoke_access';
COMMENT ON FUNCTION revoke_access(text, text, text) IS 'takes back what grant_access() gave; subscriptions are not touched';
