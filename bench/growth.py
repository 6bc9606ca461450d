"""What one event, one read and one debit cost when there are more customers, with ten stored events each."""
import random
import time

from . import population
from .comparison import Comparison, Side
from .pgbench import run
from .stand import APPLICATION

SMALL = 10_000
LARGER = [100_000]
LARGEST = [1_000_000]


class Grown:
    """A database of so many customers."""

    def __init__(self, stand, count):
        self.count = count
        self.database = stand.empty()
        stand.tell(f"growth: {count} customers")
        self.arrivals = population.Arrivals(count, population.fill(self.database, count, stand.tell))
        self.chance = random.Random(count)
        self.database.execute("SET track_io_timing = on")
        # As after a day on which everybody came once.
        self.database.execute("SELECT count(get_user_subscription_state(user_id)), count(get_credit_balance(user_id)) FROM billing_users")

    @property
    def label(self):
        return f"{self.count:,} customers"

    def event(self, seconds, reading=True):
        """Microseconds for one event, in batches of fifty, as one worker commits them; without those spent reading blocks, if
        that is wanted."""
        spent, done, deadline = 0.0, 0, time.monotonic() + seconds
        read = self.read_time()
        while time.monotonic() < deadline:
            batch = self.arrivals.batch(self.chance)
            began = time.perf_counter()
            outcomes = self.database.outcomes(*batch)
            spent += time.perf_counter() - began
            if set(outcomes) != {"processed"}:
                raise RuntimeError(f"events were {set(outcomes)}")
            done += len(batch)
        return (spent * 1e6 - (0 if reading else self.read_time() - read)) / done

    def read_time(self):
        """Microseconds that blocks were waited for so far."""
        self.database.execute("SELECT pg_stat_force_next_flush()")
        return self.database.value("SELECT blk_read_time * 1000 FROM pg_stat_database WHERE datname = current_database()")

    def pgbench(self, text):
        script = f"\\set u random({population.FIRST}, {population.FIRST + self.count - 1})\n\\set k random(1, 1000000000000000000)\n{text};\n"
        return lambda seconds: 1e6 / run(self.database, script, seconds, user=APPLICATION)


def comparisons(stand):
    small = Grown(stand, SMALL)
    for count in LARGER + (LARGEST if stand.large else []):
        large = Grown(stand, count)

        def pair(name, what, measure, target=1.25):
            return Comparison(f"growth/{name}", what, "µs", Side(large.label, measure(large)), [Side(small.label, measure(small))],
                              {small.label: target} if target else {}, better="less")

        yield pair("event", "one event, in batches of 50 of one connection", lambda grown: grown.event)
        yield pair("event but for reading", "the same without the time spent waiting for blocks that are not in memory",
                   lambda grown: lambda seconds: grown.event(seconds, reading=False), target=None)
        yield pair("read", "get_user_subscription_state, 8 clients: 1 s / transactions",
                   lambda grown: grown.pgbench("SELECT get_user_subscription_state(:u)"))
        yield pair("select", "for comparison: SELECT of the cached row and of the credits, joined, 8 clients: 1 s / transactions",
                   lambda grown: grown.pgbench("SELECT c.state, a.balance, a.held, a.debt FROM subscription_cache c"
                                               " JOIN credit_accounts a ON a.user_id = c.user_id WHERE c.user_id = :u"))
        yield pair("debit", "use_credits_validated, 8 clients: 1 s / transactions",
                   lambda grown: grown.pgbench("SELECT use_credits_validated(:u, 1, 'story', :k)"))
        large.database.drop()
