"""The worker as a child of the server: started, restarted and ended with it, whoever is killed."""
import os
import pathlib
import pwd
import signal
import subprocess
import time

import psycopg2
import pytest

from harness.cluster import Cluster
from harness.database import Database
from harness.life import Life
from harness.stripe import post
from harness.waiting import until
from harness.worker import SECRET, Worker, free_port

SUPERVISOR = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_billing supervisor'"


def alive(pid):
    """Whether the process runs; a zombie that nobody has waited for does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def seconds_until_gone(pid, timeout=15.0):
    began = time.monotonic()
    until(lambda: not alive(pid), timeout)
    return time.monotonic() - began


class Supervised:
    """A cluster whose supervisor runs the installed worker for one database."""

    def __init__(self, cluster, database, role):
        self.cluster = cluster
        self.database = database
        # Not started: it stands for the supervised one, which listens on its port and logs into the server's log.
        self.http = Worker("", log_file=cluster.log_file)
        self.config = cluster.directory / "worker.conf"
        self.write_config()
        self.defaults = {"pg_billing__worker": "on", "pg_billing__worker_database": database.name,
                         "pg_billing__worker_config": self.config, "pg_billing__worker_user": role}
        cluster.write_settings(**self.defaults)

    def write_config(self, **changes):
        values = {"STRIPE_WEBHOOK_SECRET": SECRET, "PG_BILLING_LISTEN": f"127.0.0.1:{self.http.port}", **changes}
        self.config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self.config.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(self.config, pwd.getpwnam("postgres").pw_uid, -1)

    def set(self, **settings):
        self.cluster.write_settings(**settings)
        self.cluster.reload()

    def supervisor(self):
        rows = self.cluster.execute(SUPERVISOR)
        return rows[0][0] if rows else None

    def pid(self):
        """The worker's process id, or None."""
        supervisor = self.supervisor()
        found = supervisor and subprocess.run(["pgrep", "-P", str(supervisor)], capture_output=True, text=True).stdout
        return int(found.split()[0]) if found else None

    def ready(self, other_than=None, timeout=15.0):
        """Waits until a worker serves; returns its process id."""
        def serving():
            try:
                pid = self.pid()
            except psycopg2.OperationalError:  # the server is recovering
                return None
            return pid if pid and pid != other_than and self.http.get("/readyz")[0] == 200 else None
        return until(serving, timeout)

    def restore(self):
        """As at first, whatever the last test left."""
        self.write_config()
        self.cluster.write_settings(**self.defaults)
        if self.cluster.running():
            self.cluster.reload()
        else:
            self.cluster.start()
        pid = self.ready(timeout=40)
        self.database.connection.close()  # it may be one to a server that is gone; the next use opens another
        return pid

    def logged_since(self, position):
        return self.cluster.log()[position:]


@pytest.fixture(scope="module")
def one_cluster():
    with Cluster(fsync=True) as cluster:
        database = Database(cluster)
        yield Supervised(cluster, database, database.create_role("supervised", "worker"))


@pytest.fixture
def supervised(one_cluster):
    one_cluster.restore()
    return one_cluster


def test_webhook_reaches_the_database_through_the_supervised_worker(supervised):
    life = Life("supervised")
    supervised.database.link("user_1", life.customer_id)
    assert post(supervised.http.webhook, life.subscribed(), SECRET).json()["outcome"] == "processed"
    assert supervised.database.state("user_1")["state"] == "active"


def test_worker_inherits_nothing_of_the_server(supervised):
    process = pathlib.Path(f"/proc/{supervised.pid()}")
    environment = dict(entry.split("=", 1) for entry in (process / "environ").read_text().split("\0") if entry)
    assert set(environment) == {"PATH", "LANG", "PG_BILLING_SUPERVISED", "DATABASE_URL"}
    assert SECRET not in (process / "environ").read_text() + (process / "cmdline").read_text()
    opened = [os.readlink(link) for link in (process / "fd").iterdir()]
    assert not [path for path in opened if path.startswith(str(supervised.cluster.data))]
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0
    connected = supervised.cluster.execute(
        f"SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = '{supervised.database.name}' "
        "AND backend_type = 'client backend' AND usename <> 'postgres'")
    assert connected == [("supervised",)]


def test_setting_starts_and_ends_the_worker_on_reload(supervised):
    first = supervised.pid()
    supervised.set(pg_billing__worker="off")
    seconds_until_gone(first)
    assert supervised.http.get("/healthz")[0] is None
    assert supervised.supervisor()
    supervised.set(pg_billing__worker="on")
    assert supervised.ready(other_than=first)


def test_another_role_restarts_the_worker(supervised):
    first = supervised.pid()
    role = supervised.database.create_role("supervised_2", "worker")
    supervised.set(pg_billing__worker_user=role)
    second = supervised.ready(other_than=first)
    assert not alive(first)
    assert f"user={role}" in pathlib.Path(f"/proc/{second}/environ").read_text()


def test_reload_of_the_server_reaches_the_worker(supervised):
    first = supervised.pid()
    secret = "whsec_another0123456789abcdef01234567"
    supervised.write_config(STRIPE_WEBHOOK_SECRET=secret)
    supervised.cluster.reload()
    event = Life("reloaded").customer_created()
    until(lambda: post(supervised.http.webhook, event, secret).status == 200)
    assert supervised.pid() == first


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_killed_worker_is_started_again_and_the_server_unharmed(supervised, number):
    session = supervised.cluster.connect()
    first, supervisor, position = supervised.pid(), supervised.supervisor(), len(supervised.cluster.log())
    os.kill(first, number)
    supervised.ready(other_than=first)
    assert supervised.supervisor() == supervisor
    with session.cursor() as cursor:  # a crash of the server would have ended it
        cursor.execute("SELECT 1")
    session.close()
    said = supervised.logged_since(position)
    assert f"pg_billing worker with PID {first} was terminated by signal {int(number)}" in said
    assert "HINT:  The server is not affected" in said


def test_failing_worker_is_tried_ever_less_often_and_at_once_after_a_reload(supervised):
    first, position = supervised.pid(), len(supervised.cluster.log())
    supervised.write_config(STRIPE_WEBHOOK_SECRET="")  # without a secret it refuses to start
    os.kill(first, signal.SIGKILL)
    until(lambda: "and is started again in 4.0 s" in supervised.logged_since(position))
    said = supervised.logged_since(position)
    waits = [line.split("again in ")[1] for line in said.splitlines() if "and is started again in" in line]
    assert waits == ["0.5 s.", "1.0 s.", "2.0 s.", "4.0 s."]
    assert "exited with status" in said and "reload the server to try" in said
    supervised.write_config()
    supervised.cluster.reload()
    supervised.ready(timeout=3)


def test_path_that_is_not_absolute_is_refused(supervised):
    first, position = supervised.pid(), len(supervised.cluster.log())
    supervised.set(pg_billing__worker_config="worker.conf")
    until(lambda: '"worker.conf" is not an absolute path' in supervised.logged_since(position))
    assert supervised.ready() == first


def test_terminated_supervisor_comes_back_with_a_worker(supervised):
    first, supervisor = supervised.pid(), supervised.supervisor()
    supervised.cluster.execute(f"SELECT pg_terminate_backend({supervisor})")
    assert seconds_until_gone(first) < 3.5
    supervised.ready(other_than=first)
    assert supervised.supervisor() != supervisor


def test_crash_of_the_server_ends_the_worker_and_brings_it_back(supervised):
    first, supervisor = supervised.pid(), supervised.supervisor()
    os.kill(supervisor, signal.SIGKILL)  # as of any server process: all the others are ended, and recovery runs
    assert seconds_until_gone(first) < 1
    supervised.ready(other_than=first)


@pytest.mark.parametrize("mode, limit", [("fast", 1), ("immediate", 1), ("smart", 3)])
def test_worker_ends_with_the_server(supervised, mode, limit):
    """A smart stop waits for sessions to end, and the worker's are sessions."""
    worker = supervised.pid()
    supervised.database.connection.close()
    number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
    supervised.cluster.process.send_signal(number)
    assert seconds_until_gone(worker) < limit
    supervised.cluster.process.wait(10)


@pytest.mark.parametrize("stopped", [False, True])
def test_worker_ends_when_the_postmaster_is_killed(supervised, stopped):
    """Even a worker that can't react."""
    worker = supervised.pid()
    if stopped:
        os.kill(worker, signal.SIGSTOP)
    supervised.cluster.process.kill()
    assert seconds_until_gone(worker) < 1
    supervised.cluster.process.wait()
    until(lambda: supervised.http.get("/healthz")[0] is None)


def test_standby_starts_its_worker_once_promoted(supervised):
    port = free_port()
    standby = supervised.cluster.create_standby()
    try:
        config = standby.directory / "worker.conf"
        config.write_text(f"STRIPE_WEBHOOK_SECRET={SECRET}\nPG_BILLING_LISTEN=127.0.0.1:{port}\n")
        config.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(config, pwd.getpwnam("postgres").pw_uid, -1)
        standby.write_settings(pg_billing__worker_config=config)
        standby.reload()
        time.sleep(1)
        assert standby.execute(SUPERVISOR) == []
        standby.execute("SELECT pg_promote()")
        http = Worker("", log_file=standby.log_file)
        http.port = port
        until(lambda: http.get("/readyz")[0] == 200)
    finally:
        supervised.cluster.standbys.remove(standby)
        standby.destroy()
