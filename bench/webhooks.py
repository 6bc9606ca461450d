"""Receivers of webhooks, ours and the peer's, and the load that is put on them."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from bench import binaries, events
from bench.stand import WORKER, settle
from harness.worker import SECRET, Worker, free_port

PEER = pathlib.Path(__file__).resolve().parent / "peer"
OURS, THEIRS = "pg_billing serve", "stripe-sync-engine"
WARMING = 5_000
EVENTS = 60_000  # in the file: more than any receiver takes in one run


class Load:
    """Sends events to receivers, other ones in each run."""

    def __init__(self):
        self.program = binaries.built("load")
        self.file = pathlib.Path(tempfile.mkstemp(prefix="pg_billing-events-")[1])
        self.mean_size = events.write(self.file, EVENTS)
        self.generations = itertools.count(1)

    def close(self):
        self.file.unlink(missing_ok=True)

    def run(self, receiver, seconds, *, connections=32, rate=None, count=None):
        """What the load generator says of a run. Anything but 200 fails it."""
        command = [self.program, "--url", receiver.webhook, "--events", self.file, "--secret", SECRET, "--connections", connections,
                   "--seconds", seconds, "--generation", next(self.generations)]
        command += ["--rate", rate] if rate else []
        command += ["--count", count] if count else []
        done = subprocess.run([str(one) for one in command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{done.stderr[-500:]}{receiver.text()[-2000:]}")
        said = json.loads(done.stdout)
        if set(said["statuses"]) != {"200"}:
            raise RuntimeError(f"answers were {said['statuses']}: {receiver.text()[-2000:]}")
        receiver.sent += said["count"]
        return said


class Ours(Worker):
    """`pg_billing serve` with its default settings, on a database with the extension."""

    def __init__(self, stand):
        binaries.find_worker()
        self.database = stand.empty()
        self.sent = 0
        super().__init__(self.database.url(WORKER))

    def warm(self, load):
        """As after some days, with connections, plans and statistics."""
        load.run(self, 60, count=WARMING)
        settle(self.database)
        load.run(self, 1)

    def check(self):
        """Everything that was acknowledged is stored, and took effect."""
        found = self.database.rows("SELECT outcome, count(*) FROM stripe_events GROUP BY 1")
        if {row["outcome"]: row["count"] for row in found} != {"processed": self.sent}:
            raise RuntimeError(f"of {self.sent} acknowledged events there are {found}")


class Peer:
    """stripe-sync-engine, as bench/peer sets it up, with a database of its own on the same cluster."""

    def __init__(self, stand):
        self.cluster = stand.cluster
        self.database = stand.cluster.create_database(f"peer_{free_port()}")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pg_billing-peer-"))
        self.log_file = self.directory / "log"
        self.port = free_port()
        self.webhook = f"http://127.0.0.1:{self.port}/"
        self.process = None
        self.sent = 0

    def __enter__(self):
        for name in ("package.json", "package-lock.json", "server.mjs"):
            shutil.copy(PEER / name, self.directory)
        if not shutil.which("node") or not shutil.which("npm"):
            raise RuntimeError("node and npm are missing: scripts/install-deps --bench")
        binaries.command(["npm", "ci", "--no-audit", "--no-fund"], cwd=self.directory)
        environment = {"PATH": os.environ["PATH"], "NODE_ENV": "production", "DATABASE_URL": self.cluster.url(self.database), "PORT": str(self.port),
                       "STRIPE_WEBHOOK_SECRET": SECRET, "POOL": "10"}
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "node", "server.mjs"], cwd=self.directory, env=environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while "listening" not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{THEIRS} does not start: {self.text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def warm(self, load):
        load.run(self, 60, count=WARMING)
        for statement in ("VACUUM (ANALYZE)", "CHECKPOINT"):
            self.cluster.execute(statement, self.database)
        load.run(self, 1)

    def check(self):
        """Each customer that was told of is there."""
        found = self.cluster.execute("SELECT count(*) FROM stripe.customers", self.database)[0][0]
        if not self.sent / events.STEPS <= found <= self.sent:
            raise RuntimeError(f"{self.sent} acknowledged events told of more than {found} customers")


@contextlib.contextmanager
def receivers(stand, *kinds):
    """The load, and started receivers of these kinds."""
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(contextlib.closing(Load()))
        yield load, *[stack.enter_context(kind(stand)) for kind in kinds]
