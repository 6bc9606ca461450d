"""Runs `pg_billing serve` as a user would, and reads what it logs."""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "whsec_0123456789abcdef0123456789abcdef"


def binary():
    """The worker under test: PG_BILLING_WORKER, else the one that scripts/test builds."""
    return os.environ.get("PG_BILLING_WORKER", str(ROOT / "build" / "pg_billing"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Worker:
    """One worker process on a free loopback port. Dies with the process that started it, unless `keep` is true."""

    def __init__(self, database_url, *, secret=SECRET, environment=None, arguments=(), keep=False, log_file=None):
        self.port = free_port()
        self.secret = secret
        self.arguments = list(arguments)
        self.keep = keep
        self.process = None
        self.log_file = pathlib.Path(log_file or tempfile.mkstemp(prefix="pg_billing-worker-", suffix=".log")[1])
        self.own_log = log_file is None
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "STRIPE_WEBHOOK_SECRET": secret,
            "PG_BILLING_LISTEN": f"127.0.0.1:{self.port}",
            **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")},
            **(environment or {}),
        }

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook(self):
        return self.url + "/stripe/webhook"

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, wait=True, timeout=20):
        prefix = [] if self.keep else ["setpriv", "--pdeathsig=KILL"]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(prefix + [binary(), "serve", *self.arguments], cwd="/", env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_until_ready(timeout)
        return self

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def wait_until_ready(self, timeout=20):
        deadline = time.monotonic() + timeout
        while self.get("/readyz")[0] != 200:
            if not self.running() or time.monotonic() > deadline:
                raise RuntimeError(f"the worker does not become ready:\n{self.text()[-4000:]}")
            time.sleep(0.05)

    def stop(self, timeout=20):
        """SIGTERM: drains. Returns the exit code."""
        code = None
        if self.process is not None:
            if self.running():
                self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                code = self.process.wait()
        if self.own_log:
            self.lines_at_end = self.log_lines()
            self.log_file.unlink(missing_ok=True)
        return code

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def hangup(self):
        self.process.send_signal(signal.SIGHUP)

    # What it says.

    def text(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_lines(self):
        """The log as objects; a line that is not JSON becomes {"text": line}."""
        if not self.log_file.exists():
            return getattr(self, "lines_at_end", [])
        lines = []
        for line in self.text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"text": line})
        return lines

    def get(self, path, timeout=10):
        """(status, body) of a GET; (None, reason) when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return None, str(error)
        finally:
            connection.close()

    def metrics(self):
        """{'name{label="x"}': value} from /metrics."""
        status, body = self.get("/metrics")
        assert status == 200, f"{body}\n{self.text()[-3000:]} {self.process.poll()}"
        samples = (line.rpartition(" ") for line in body.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}
