"""PgBouncer in transaction mode in front of a cluster: each transaction may have another server."""
import pathlib
import shutil
import subprocess
import tempfile
import time

import psycopg2

from .cluster import as_server_user
from .worker import free_port

# Where Debian has it, which is not in everybody's path.
PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
SETTINGS = """
[databases]
* = host={cluster.socket_directory}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
logfile =
pidfile =
ignore_startup_parameters = extra_float_digits,options
"""


class Pooler:
    """On a free port, for these roles. `size` is how many servers a role gets in a database."""

    def __init__(self, cluster, *roles, size=4):
        self.cluster = cluster
        self.roles = roles
        self.port = free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pg_billing-pooler-"))
        self.directory.chmod(0o755)
        self.settings = self.directory / "pgbouncer.ini"
        self.size = size
        self.process = None

    def url(self, database, user):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database.name}"

    def __enter__(self):
        users = self.directory / "users"
        users.write_text("".join(f'"{role}" ""\n' for role in self.roles))
        self.settings.write_text(SETTINGS.format(cluster=self.cluster, port=self.port, size=self.size, users=users))
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(as_server_user([PROGRAM, self.settings], "KILL"), stdout=log, stderr=log)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, database, user, timeout=10):
        deadline = time.monotonic() + timeout
        while True:
            try:
                return psycopg2.connect(self.url(database, user))
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text()) from None
                time.sleep(0.05)
