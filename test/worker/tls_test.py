"""TLS, for those who have no proxy in front."""
import http.client
import ssl
import subprocess
import time

import pytest

from harness.waiting import until
from harness.worker import Worker, binary
from wire import Wire, event, logged, request


def certificate(directory, name="localhost"):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                    directory / "key.pem", "-out", directory / "cert.pem"], check=True, capture_output=True)
    return (directory / "cert.pem").read_text()


@pytest.fixture
def worker(database, tmp_path):
    certificate(tmp_path)
    made = Worker(database.url(database.create_role("billing_worker", "worker")), environment={
        "PG_BILLING_TLS_CERT": str(tmp_path / "cert.pem"), "PG_BILLING_TLS_KEY": str(tmp_path / "key.pem"),
        "PG_BILLING_HEADER_TIMEOUT": "1s"})
    made.start(wait=False)
    until(lambda: get(made, tmp_path, "/readyz") == 200, "it is ready")
    yield made
    made.stop()


def context(tmp_path):
    return ssl.create_default_context(cafile=tmp_path / "cert.pem")


def get(worker, tmp_path, path):
    connection = http.client.HTTPSConnection("127.0.0.1", worker.port, context=context(tmp_path), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def wrapped(tmp_path):
    return lambda plain: context(tmp_path).wrap_socket(plain, server_hostname="127.0.0.1")


def test_webhooks_over_tls(worker, tmp_path):
    with Wire(worker, wrap=wrapped(tmp_path)) as wire:
        for number in range(3):
            assert wire.send(request(event(number), worker.secret)).answer().status == 200
        big = event("big", padding="x" * 900_000)
        assert wire.send(request(big, worker.secret)).answer().status == 200
        assert wire.send("POST /stripe/webhook HTTP/1.1\n\n").answer().reason == "bare_lf"
        assert wire.is_closed()


def test_old_protocols_are_not_spoken(worker, tmp_path):
    old = context(tmp_path)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Wire(worker, wrap=lambda plain: old.wrap_socket(plain, server_hostname="127.0.0.1"))


def test_what_is_no_handshake_ends_soon(worker, tmp_path):
    began = time.monotonic()
    with Wire(worker) as silent, Wire(worker) as plain:
        plain.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            plain.answer()
        except (AssertionError, ConnectionError):
            pass  # a TLS alert
        assert silent.is_closed() and time.monotonic() - began < 5
    assert get(worker, tmp_path, "/healthz") == 200


def test_the_certificate_is_reloaded(worker, tmp_path):
    first = ssl.get_server_certificate(("127.0.0.1", worker.port))
    with Wire(worker, wrap=wrapped(tmp_path)) as kept:
        assert kept.send(request(event(1), worker.secret)).answer().status == 200
        second = certificate(tmp_path, "renewed")
        worker.hangup()
        until(lambda: logged(worker, "reloaded"), "it is reloaded")
        served = ssl.get_server_certificate(("127.0.0.1", worker.port))
        assert served.split() == second.split() and served != first
        # Who is connected already stays so.
        assert kept.send(request(event(2), worker.secret)).answer().status == 200
    # A certificate without its key changes nothing.
    (tmp_path / "key.pem").write_text("no key")
    worker.hangup()
    until(lambda: logged(worker, "reload_failed"), "it is refused")
    assert ssl.get_server_certificate(("127.0.0.1", worker.port)) == served


def test_unusable_certificates_are_start_up_errors(tmp_path):
    certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    certificate(other)

    def error(cert, key):
        result = subprocess.run([binary(), "serve"], capture_output=True, text=True, timeout=10, env={
            "STRIPE_WEBHOOK_SECRET": "whsec_x", "PG_BILLING_TLS_CERT": str(cert), "PG_BILLING_TLS_KEY": str(key)})
        assert result.returncode == 2
        return result.stderr

    assert "PG_BILLING_TLS_CERT" in error(tmp_path / "none.pem", tmp_path / "key.pem")
    assert "PG_BILLING_TLS_KEY" in error(tmp_path / "cert.pem", tmp_path / "none.pem")
    assert "PG_BILLING_TLS_KEY" in error(tmp_path / "cert.pem", other / "key.pem")
