"""What the comparisons share: a cluster with durable settings, and databases filled with customers."""
import functools
import json
import time

from harness.cluster import Cluster
from harness.database import Database
from harness.life import Life, event, flat
from harness.objects import NEW, PRO

# What an operator sets on a machine of this size: memory, and room for the log between checkpoints. fsync and
# synchronous_commit stay on.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "200"}
APPLICATION = "bench_app"
WORKER = "bench_worker"


class Stand:
    """One cluster, started when it is first asked for."""

    def __init__(self, *, large=False, tell=lambda text: None):
        self.large = large
        self.tell = tell
        self._cluster = None

    @property
    def cluster(self):
        if self._cluster is None:
            self._cluster = Cluster(fsync=True, settings=SETTINGS).start()
        return self._cluster

    def close(self):
        if self._cluster is not None:
            self._cluster.destroy()
            self._cluster = None

    def empty(self):
        """A new database with the extension, and roles of an application and of a worker."""
        database = Database(self.cluster)
        database.create_role(APPLICATION, "app")
        database.create_role(WORKER, "worker")
        # Nothing else runs here, and the hour keeps what is stored valid until it is measured.
        database.execute("SELECT set_billing_setting('cache_ttl', '6 hours', 'a hit is what is measured')")
        return database

    @functools.lru_cache
    def customers(self, count=50_000):
        """A database with so many subscribers, named 1 .. count, who came by their events; the same one each time."""
        database = self.empty()
        self.tell(f"{count} customers subscribe")
        database.process(event("evt_price", "price.created", PRO.json(NEW), int(time.time()) - 3600))
        batch = []
        for number in range(1, count + 1):
            batch += [json.dumps(one) for one in subscribed(str(number))]
            if len(batch) >= 200 or number == count:
                outcomes = {outcome for _, outcome, _ in database.process(*batch)}
                if outcomes != {"processed"}:
                    raise RuntimeError(f"events of new customers were {outcomes}")
                batch = []
        settle(database)
        return database

    def credits(self, database, count):
        """Two lots for each user up to `count`: one of the subscription, which is used first, and a pack."""
        have = database.value("SELECT count(*) FROM credit_accounts")
        if have >= count:
            return
        self.tell(f"{count} accounts get credits")
        # In small transactions: each account takes a lock of its own.
        database.execute("""
            DO $$ BEGIN
                FOR first IN %s .. %s BY 1000 LOOP
                    PERFORM grant_credits(n::text, 100000000, expires_at => now() + interval '20 days', requires_subscription => true),
                            grant_credits(n::text, 100000000, category => 'paid')
                       FROM generate_series(first, least(first + 999, %s)) n;
                    COMMIT;
                END LOOP;
            END $$""", (have + 1, count, count))
        settle(database)

    def cache(self, database):
        """Every state is stored and valid."""
        database.execute("SELECT update_subscription_cache(u.user_id) FROM billing_users u")
        settle(database)

    def schema(self, database, statements):
        """What a comparison makes by hand, in a schema of its own that the application may use."""
        database.execute(f"CREATE SCHEMA IF NOT EXISTS bench; GRANT USAGE ON SCHEMA bench TO {APPLICATION}")
        database.execute(statements)
        settle(database)


def subscribed(name):
    """The events of a customer who subscribes and pays."""
    life = Life(name)
    return flat([life.customer_created(metadata={"user_id": name}), life.subscribed()])


def settle(database):
    """As after some days: visibility map, statistics and hint bits are there, and no checkpoint is due."""
    database.execute("VACUUM (ANALYZE)")
    database.execute("CHECKPOINT")

