"""Life and death of the process: start, drain, reload, crashes of either side, systemd, the supervisor."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.cluster import Cluster
from harness.database import Database
from harness.stripe import Sender, post
from harness.waiting import until
from harness.worker import Worker, binary
from wire import Wire, event, logged, request, stored


def in_background(worker, body):
    """Posts the body in a thread. Returns the thread and the list that the answer will be in."""
    answers = []

    def send():
        try:
            answers.append(post(worker.webhook, body, worker.secret))
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    return thread, answers


def test_sigterm_finishes_what_is_in_flight(database, orders, workers):
    worker = workers(database)
    orders.give(sleep=1)
    idle, kept = Wire(worker), Wire(worker)
    thread, answers = in_background(worker, event("flying"))
    kept.send(request(event("kept"), worker.secret))
    until(lambda: orders.calls() >= 1, "the batch runs")
    worker.process.send_signal(signal.SIGTERM)
    # Nobody new, and nobody without a request is waited for.
    assert idle.is_closed()
    until(lambda: worker.get("/healthz")[0] is None, "it accepts no more")
    assert worker.running()
    thread.join()
    assert answers[0].status == 200
    answer = kept.answer()
    assert answer.status == 200 and answer.headers["connection"] == "close" and kept.is_closed()
    assert worker.process.wait(5) == 0
    assert stored(database) == {"evt_flying", "evt_kept"}
    assert logged(worker, "draining") and logged(worker, "stopped", exit_code=0)


def test_an_idle_worker_ends_at_once(worker):
    began = time.monotonic()
    assert worker.stop() == 0 and time.monotonic() - began < 1.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(database, orders, workers, number):
    worker = workers(database)
    orders.give(sleep=20)
    thread, answers = in_background(worker, event("cut"))
    until(lambda: orders.calls() == 1, "the batch runs")
    worker.process.send_signal(number)
    until(lambda: logged(worker, "draining"), "it drains")
    assert worker.running()
    worker.process.send_signal(number)
    assert worker.process.wait(3) == 1
    thread.join()
    assert isinstance(answers[0], OSError)


def test_draining_has_a_limit(database, orders, workers):
    worker = workers(database, environment={"PG_BILLING_DRAIN_TIMEOUT": "500ms"})
    orders.give(sleep=20)
    thread, _ = in_background(worker, event("cut"))
    until(lambda: orders.calls() == 1, "the batch runs")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(3) == 1
    thread.join()
    assert logged(worker, "drain_timeout")


def test_nothing_is_lost_or_doubled_when_it_is_killed(database, workers):
    """kill -9 in the middle; then everything is sent again, as Stripe would."""
    worker = workers(database)
    bodies = [event(number) for number in range(400)]
    acknowledged, lock, left = set(), threading.Lock(), list(bodies)

    def send():
        sender = Sender(worker.webhook, worker.secret)
        while True:
            with lock:
                if not left:
                    return
                body = left.pop()
            try:
                if sender.post(body).status == 200:
                    acknowledged.add(body)
            except OSError:
                return

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 100, "work is under way")
    worker.kill()
    for thread in threads:
        thread.join()
    assert 100 < len(acknowledged) < len(bodies)
    # What the dead worker had sent is still being written.
    until(lambda: not database.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'billing_worker' AND datname = current_database()"), "its sessions are over")
    ids = {body.split('"')[3] for body in acknowledged}
    before = stored(database)
    assert ids <= before
    worker.start()
    sender = Sender(worker.webhook, worker.secret)
    for body in bodies:
        assert sender.post(body).status == 200
    assert len(stored(database)) == len(bodies)
    rows = database.rows("SELECT duplicates, stripe_event_id = ANY (%s) AS before FROM {s}.stripe_events",
                         (list(before),))
    assert all(row["duplicates"] == int(row["before"]) for row in rows)
    assert database.value("SELECT count(*) FROM {s}.stripe_objects WHERE object IS NOT NULL") == len(bodies)


@pytest.fixture(scope="module")
def own_cluster():
    """One that may be stopped."""
    with Cluster() as running:
        yield running


def test_a_stopped_server_means_503_until_it_is_back(own_cluster, workers):
    database = Database(own_cluster)
    worker = workers(database)
    assert post(worker.webhook, event("before"), worker.secret).status == 200
    own_cluster.stop()
    until(lambda: worker.get("/readyz")[0] == 503, "it notices")
    until(lambda: post(worker.webhook, event("during"), worker.secret).status == 503, "it refuses")
    answer = post(worker.webhook, event("during"), worker.secret)
    error = answer.json()["error"]
    assert error["reason"] == "database_unreachable" and error["next_step"] and int(answer.headers["Retry-After"]) > 0
    assert worker.get("/healthz")[0] == 200
    assert "pg_billing_ready 0" in worker.get("/metrics")[1]
    own_cluster.start()
    worker.wait_until_ready()
    # Each customer's connection is back, not just one.
    for number in range(10):
        until(lambda: post(worker.webhook, event(number), worker.secret).status == 200, "it takes events again")
    # Said once for each connection, not at every attempt.
    assert 1 <= len(logged(worker, "database_unavailable")) <= 6
    database._connection = None
    assert len(stored(database)) == 11


def test_it_starts_before_its_server(own_cluster, workers):
    database = Database(own_cluster)
    role = database.create_role("billing_worker", "worker")
    own_cluster.stop()
    with_patience = Worker(database.url(role)).start(wait=False)
    try:
        until(lambda: with_patience.get("/readyz")[0] == 503, "it is alive and not ready")
        own_cluster.start()
        with_patience.wait_until_ready()
    finally:
        with_patience.stop()


def config_file(tmp_path, **settings):
    path = tmp_path / "pg_billing.conf"
    path.write_text("# the worker's settings\n\n" + "".join(f"{name}={value}\n" for name, value in settings.items()))
    path.chmod(0o600)
    return path


def test_sighup_reads_the_secrets_again(database, workers, tmp_path):
    path = config_file(tmp_path, STRIPE_WEBHOOK_SECRET="whsec_old", PG_BILLING_WEBHOOK_PATHS='"/a,/b=SECRET_B"',
                       SECRET_B="whsec_b", PG_BILLING_SCHEMA="public")
    worker = workers(database, secret="", arguments=["--config", str(path)])

    def works(path, secret):
        return post(worker.url + path, event(f"{path[1]}{len(secret)}"), secret).status == 200

    assert works("/a", "whsec_old") and works("/b", "whsec_b") and not works("/a", "whsec_new")
    kept = Sender(worker.url + "/a", "whsec_new")
    assert kept.post(event("kept")).status == 400
    # While a secret is rolled both count; a path may come, too.
    config_file(tmp_path, STRIPE_WEBHOOK_SECRET="whsec_new,whsec_old", PG_BILLING_WEBHOOK_PATHS="/a,/b=SECRET_B,/c",
                SECRET_B="whsec_b2", PG_BILLING_SCHEMA="billing")
    worker.hangup()
    until(lambda: logged(worker, "reloaded"), "it is reloaded")
    assert works("/a", "whsec_old") and works("/a", "whsec_new") and works("/c", "whsec_new")
    assert works("/b", "whsec_b2") and not works("/b", "whsec_b")
    assert kept.post(event("kept")).status == 200
    changed = {line["setting"]: line["needs_restart"] for line in logged(worker, "setting_changed")}
    assert changed == {"STRIPE_WEBHOOK_SECRET": False, "SECRET_B": False, "PG_BILLING_WEBHOOK_PATHS": False,
                       "PG_BILLING_SCHEMA": True}
    assert "whsec_" not in worker.text()
    # What cannot be used changes nothing.
    for secret in ("", "whsec_with space"):
        config_file(tmp_path, STRIPE_WEBHOOK_SECRET=secret)
        failures = len(logged(worker, "reload_failed"))
        worker.hangup()
        until(lambda: len(logged(worker, "reload_failed")) > failures, "it is refused")
        assert works("/a", "whsec_new") and worker.running()
    path.unlink()
    worker.hangup()
    until(lambda: len(logged(worker, "reload_failed")) == 3, "it is refused")
    assert works("/a", "whsec_new")


def test_systemd_is_told(database, workers, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(10)
        worker = workers(database, environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        heard = []

        def hear(what):
            while not any(what in message for message in heard):
                heard.append(listener.recv(4096).decode())

        hear("READY=1")
        assert any("STATUS=taking webhooks" in message for message in heard)
        began = time.monotonic()
        for _ in range(4):
            heard.clear()
            hear("WATCHDOG=1")
        assert time.monotonic() - began < 2
        heard.clear()
        worker.hangup()
        hear("RELOADING=1\nMONOTONIC_USEC=")
        hear("READY=1")
        heard.clear()
        worker.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")


def test_an_abstract_notify_socket(database, workers):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0pg_billing-{os.getpid()}")
        listener.settimeout(10)
        workers(database, environment={"NOTIFY_SOCKET": f"@pg_billing-{os.getpid()}"})
        assert listener.recv(4096).startswith(b"READY=1")


class Supervised:
    """The worker as the extension's supervisor starts it: with the reading end of a pipe as descriptor 3."""

    def __init__(self, worker):
        self.worker = worker
        reading, self.writing = os.pipe()
        with open(worker.log_file, "ab") as log:
            worker.process = subprocess.Popen(
                [binary(), "serve"], env={**worker.environment, "PG_BILLING_SUPERVISED": "1"}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=(3,), preexec_fn=lambda: os.dup2(reading, 3))
        os.close(reading)


@pytest.fixture
def plain_worker(database):
    """Not started."""
    worker = Worker(database.url(database.create_role("billing_worker", "worker")))
    yield worker
    worker.stop()


def test_it_ends_with_its_supervisor(plain_worker):
    supervised = Supervised(plain_worker)
    plain_worker.wait_until_ready()
    assert pathlib.Path(f"/proc/{plain_worker.pid}/oom_score_adj").read_text() == "0\n"
    began = time.monotonic()
    os.close(supervised.writing)
    assert plain_worker.process.wait(5) == 0
    assert time.monotonic() - began < 1


def test_supervised_it_waits_for_its_port(plain_worker):
    with socket.socket() as predecessor:
        predecessor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        predecessor.bind(("127.0.0.1", plain_worker.port))
        predecessor.listen()
        supervised = Supervised(plain_worker)
        time.sleep(1)
        assert plain_worker.running()
    plain_worker.wait_until_ready()
    os.close(supervised.writing)


def test_otherwise_a_taken_port_is_an_error(plain_worker):
    with socket.socket() as other:
        other.bind(("127.0.0.1", plain_worker.port))
        other.listen()
        plain_worker.start(wait=False)
        assert plain_worker.process.wait(5) == 1
        assert f"cannot listen on 127.0.0.1:{plain_worker.port}" in plain_worker.text()


def test_the_wrong_mode_ends_it_at_the_start(database, plain_worker):
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'test')")
    plain_worker.start(wait=False)
    assert plain_worker.process.wait(10) == 2
    (line,) = logged(plain_worker, "not_ready", reason="mode_mismatch")
    assert "STRIPE_LIVE_MODE=true" in line["next_step"]


def test_an_idle_worker_does_next_to_nothing(worker):
    def used():
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with Wire(worker) as wire:
        wire.send("POST /stripe/webhook HTTP/1.1\r\n")
        before = used()
        time.sleep(2)
        assert used() - before < 0.2
