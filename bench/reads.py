"""What an application asks on every request: has the user access, and what is the state, with the credits."""
from . import population
from .comparison import Comparison, Side
from .pgbench import run
from .stand import APPLICATION

ACCOUNTS = 50_000
FIRST, LAST = population.FIRST, population.FIRST + ACCOUNTS - 1
HALF = FIRST + ACCOUNTS // 2

# The same contract by hand: what is stored while it is valid, with the credits of now. Without subtleties: no
# settings, no lapsing credits, no test clocks.
BY_HAND = """
CREATE FUNCTION bench.state(user_id text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    now    timestamptz := statement_timestamp();
    stored record;
    credit record;
    free   bigint;
BEGIN
    IF state.user_id IS NULL OR octet_length(state.user_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'user_id must have 1 to 255 bytes';
    END IF;
    SELECT c.state, c.has_access INTO stored FROM subscription_cache c
     WHERE c.user_id = state.user_id AND c.valid_from <= now AND now < c.valid_until AND now < c.expires_at;
    IF NOT FOUND THEN
        RETURN get_user_subscription_state(state.user_id);
    END IF;
    SELECT a.balance, a.held, a.debt, a.subscription_credits INTO credit FROM credit_accounts a WHERE a.user_id = state.user_id;
    IF NOT FOUND THEN
        RETURN stored.state;
    END IF;
    free := CASE WHEN credit.debt > 0 THEN 0
                 ELSE credit.balance - credit.held - CASE WHEN stored.has_access THEN 0 ELSE credit.subscription_credits END END;
    RETURN stored.state || jsonb_build_object('credits', jsonb_build_object('balance', credit.balance, 'held', credit.held, 'available', free));
END
$$;
"""


def comparisons(stand):
    database = stand.customers(ACCOUNTS)
    stand.schema(database, BY_HAND)

    def side(label, text, first=FIRST, last=LAST):
        script = f"\\set u random({first}, {last})\n{text};\n"
        return Side(label, lambda seconds: run(database, script, seconds, user=APPLICATION))

    def all_hits():
        stand.cache(database)
        if not database.value("SELECT (get_user_subscription_state(%s) ->> 'cached')::boolean", (str(LAST),)):
            raise RuntimeError("a stored state is not read")

    def second_half_misses():
        all_hits()
        database.execute("UPDATE subscription_cache SET expires_at = now() WHERE user_id::integer > %s", (HALF,))
        if database.value("SELECT (get_user_subscription_state(%s) ->> 'cached')::boolean", (str(LAST),)):
            raise RuntimeError("an expired state is read")

    yield Comparison(
        "reads/active", "has_active_subscription, hit, 8 clients", "tx/s",
        side("has_active_subscription", "SELECT has_active_subscription(:u)"),
        [side("SELECT of the cached row", "SELECT has_access FROM subscription_cache WHERE user_id = :u")],
        {"SELECT of the cached row": 1.0}, prepare=all_hits)

    ours = side("get_user_subscription_state", "SELECT get_user_subscription_state(:u)")
    yield Comparison(
        "reads/state", "get_user_subscription_state, hit with credits, 8 clients", "tx/s", ours,
        [side("two rows joined", "SELECT c.state, a.balance, a.held, a.debt FROM subscription_cache c "
              "JOIN credit_accounts a ON a.user_id = c.user_id WHERE c.user_id = :u"),
         side("SELECT of the jsonb alone", "SELECT state FROM subscription_cache WHERE user_id = :u"),
         side("plpgsql, same contract", "SELECT bench.state(:u)")],
        {"two rows joined": 1.0, "SELECT of the jsonb alone": 0.8, "plpgsql, same contract": 1.3}, prepare=all_hits)

    yield Comparison(
        "reads/miss", "get_user_subscription_state, expired cache, 8 clients", "tx/s",
        side("a miss", "SELECT get_user_subscription_state(:u)", HALF + 1, LAST),
        [side("a hit", "SELECT get_user_subscription_state(:u)", FIRST, HALF)], {"a hit": 0.4}, prepare=second_half_misses)
    stand.cache(database)
