"""What the comparisons share: a cluster with durable settings, and databases filled with customers."""
import functools
import os

from harness.cluster import Cluster
from harness.database import Database

from . import population

# What an operator sets on a machine of this size: the quarter of its memory that PostgreSQL's manual names, and room for
# the log between checkpoints. fsync and synchronous_commit stay on.
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
SETTINGS = {"shared_buffers": f"{MEMORY // 4 // 2**20}MB", "max_wal_size": "4GB", "max_connections": "200"}
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
        # Nothing else runs here, and this keeps what is stored valid until it is measured.
        database.execute("SELECT set_billing_setting('cache_ttl', '6 hours', 'a hit is what is measured')")
        return database

    @functools.lru_cache
    def customers(self, count=50_000):
        """A database with so many subscribers; the same one each time."""
        database = self.empty()
        self.tell(f"{count} customers subscribe and pay")
        population.fill(database, count, self.tell)
        return database

    def cache(self, database):
        """Every state is stored and valid."""
        database.execute("SELECT update_subscription_cache(u.user_id) FROM billing_users u")
        settle(database)

    def schema(self, database, statements):
        """What a comparison makes by hand, in a schema of its own that the application may use."""
        database.execute(f"CREATE SCHEMA IF NOT EXISTS bench; GRANT USAGE ON SCHEMA bench TO {APPLICATION}")
        database.execute(statements)
        settle(database)


def settle(database):
    """As after some days: visibility map, statistics and hint bits are there, and no checkpoint is due."""
    database.execute("VACUUM (ANALYZE)")
    database.execute("CHECKPOINT")

