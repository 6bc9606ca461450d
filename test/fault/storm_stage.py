"""What the storm strikes: a durable server, workers that a service manager keeps alive, and proxies on both sides."""
import contextlib
import ctypes
import os
import subprocess
import threading
import time

import psycopg2

from harness.cluster import Cluster
from harness.database import Database
from harness.proxy import Proxy
from harness.worker import Worker

CLONE_NEWNS = 0x00020000
WORKERS = 2
ROLE = "billing_worker"


class Service:
    """One worker between two proxies, restarted after a short pause as a service manager would."""

    def __init__(self, database, pause):
        self.to_server = Proxy(os.path.join(database.cluster.socket_directory, ".s.PGSQL.5432"))
        self.worker = Worker(f"postgresql://{ROLE}@127.0.0.1:{self.to_server.port}/{database.name}?sslmode=disable")
        self.to_worker = Proxy(("127.0.0.1", self.worker.port))
        self.pause = pause
        self.struck = set()  # process ids that the storm has signalled
        self.starts = 0
        self.deaths = []  # what nobody asked for: exit codes
        self.stopping = threading.Event()
        # Children die with the thread that started them, so that one thread stays for all of them.
        self.thread = threading.Thread(target=self._keep_alive, daemon=True)
        self.thread.start()

    def _keep_alive(self):
        while not self.stopping.is_set():
            self.worker.start(wait=False)
            self.starts += 1
            pid = self.worker.pid
            while self.worker.running() and not self.stopping.is_set():
                self.stopping.wait(0.05)
            if not self.worker.running() and pid not in self.struck:
                self.deaths.append(self.worker.process.returncode)
            self.stopping.wait(self.pause)
        self.worker.stop()

    def strike(self, number):
        """Signals the worker; False when there is none at the moment."""
        process = self.worker.process
        if process is None or process.poll() is not None or process.pid in self.struck:
            return False
        self.struck.add(process.pid)
        process.send_signal(number)
        return True

    def wait_until_ready(self, timeout=60):
        deadline = time.monotonic() + timeout
        while self.worker.process is None or self.worker.get("/readyz")[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker does not become ready:\n{self.worker.text()[-4000:]}")
            time.sleep(0.05)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.to_worker.stop()
        self.to_server.stop()


class SmallDisk:
    """A tablespace on a tmpfs, in a mount namespace of this process: nothing stays mounted, whatever happens."""

    def __init__(self, cluster, megabytes):
        self.path = cluster.directory / "small"
        self.filling = self.path / "filling"
        self.mounted = False
        self.path.mkdir()
        run = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", self.path],
                             capture_output=True, text=True)
        self.reason = run.stderr.strip()
        if run.returncode == 0:
            self.mounted = True
            cluster._own(self.path)
            cluster.execute(f"CREATE TABLESPACE small LOCATION '{self.path}'")

    @staticmethod
    def separate():
        """A mount namespace for this process and its children; returns why not, or "". Before threads are started."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS):
            return os.strerror(ctypes.get_errno())
        run = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True)
        return run.stderr.strip()

    def holds(self, database):
        database.execute("ALTER TABLE {s}.stripe_event_payloads_default SET TABLESPACE small")
        database.execute("ALTER INDEX {s}.stripe_event_payloads_default_pkey SET TABLESPACE small")

    def fill(self):
        """Leaves no free page. Returns how much there was."""
        status = os.statvfs(self.path)
        free = status.f_bavail * status.f_frsize
        with open(self.filling, "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
                file.flush()
        return free

    def free(self):
        self.filling.unlink(missing_ok=True)

    def unmount(self):
        if self.mounted:
            self.free()
            subprocess.run(["umount", "--lazy", self.path], check=False)


class Stage(contextlib.ExitStack):
    """Everything that runs, stopped in the right order at the end."""

    def __init__(self, events, worker_pause):
        super().__init__()
        self.skipped = SmallDisk.separate()
        self.calm_cluster = self.enter_context(Cluster())
        self.cluster = self.enter_context(Cluster(fsync=True, settings={"restart_after_crash": "on"}))
        self.disk = None
        # No template beside it: after a crash the server syncs every file that there is.
        self.database = Database(self.cluster, name=self.cluster.create_database("storm"))
        self.cluster.create_extension("storm")
        self.database.grant_since_ever().create_role(ROLE, "worker")
        if not self.skipped:
            disk = SmallDisk(self.cluster, 32 + events * 4 // 1024)
            self.skipped = disk.reason
            if disk.mounted:
                disk.holds(self.database)
                self.disk = disk
                # The server holds files on it: stopped first.
                self.callback(lambda: (self.cluster.stop("immediate"), disk.unmount()))
        self.services = []
        for _ in range(WORKERS):
            self.services.append(Service(self.database, worker_pause))
            self.callback(self.services[-1].stop)
        for service in self.services:
            service.wait_until_ready()

    def attempt(self, statement, parameters=None):
        """The first column of all rows; nothing while the server does not answer."""
        try:
            with contextlib.closing(self.database.connect(connect_timeout=5)) as connection:
                rows = self.database.rows(statement, parameters, connection)
        except psycopg2.Error:
            return []
        return [next(iter(row.values())) for row in rows]

    def calm_down(self):
        """Everything runs again and nothing is in the way."""
        if not self.cluster.running():
            self.cluster.start()
        if self.disk:
            self.disk.free()
        for service in self.services:
            for proxy in (service.to_server, service.to_worker):
                proxy.forget_cuts()
                proxy.resume()
        deadline = time.monotonic() + 120
        while not self.attempt("SELECT 1 WHERE NOT pg_is_in_recovery()"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server does not come back:\n{self.cluster.log()[-4000:]}")
            time.sleep(0.1)
        for service in self.services:
            service.wait_until_ready()
