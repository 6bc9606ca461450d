"""What the worker lets in: framing, sizes, times and counts, with raw sockets."""
import socket
import time

from harness.stripe import sign
from harness.waiting import until
from wire import Wire, event, logged, request, stored

HEAD = "POST /stripe/webhook HTTP/1.1\r\nHost: localhost\r\n"


def refused(worker, data, status, reason):
    """The answer is this refusal, says what to do next, and ends the connection."""
    with Wire(worker) as wire:
        answer = wire.send(data if isinstance(data, bytes) else data.encode("latin-1")).answer()
        assert (answer.status, answer.reason) == (status, reason), (data[:200], answer.body)
        error = answer.json()["error"]
        assert error["message"] and error["next_step"]
        assert answer.headers["connection"] == "close"
        assert wire.is_closed()
    name = "stripe_webhook_invalid_signature" if "signature" in reason else "stripe_webhook_rejected"
    until(lambda: logged(worker, name, reason=reason, status=status), "it is logged")
    return answer


AMBIGUOUS = [
    ("POST /stripe/webhook HTTP/1.1\nHost: localhost\n\n", "bare_lf"),
    (HEAD + "A: b\nContent-Length: 2\r\n\r\n{}", "bare_lf"),
    (HEAD + "Content-Length: 2\r\n\n{}", "bare_lf"),
    (HEAD + "A: b\rContent-Length: 2\r\n\r\n{}", "bare_cr"),
    (HEAD + "A: b\r\n c\r\n\r\n", "obsolete_folding"),
    (HEAD + "A: b\r\n\tc\r\n\r\n", "obsolete_folding"),
    ("POST /stripe/webhook HTTP/1.1\r\n Host: localhost\r\n\r\n", "obsolete_folding"),
    (HEAD + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "conflicting_lengths"),
    (HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", "conflicting_lengths"),
    (HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "duplicate_content_length"),
    (HEAD + "Content-Length: 2\r\ncontent-length: 3\r\n\r\n{}", "duplicate_content_length"),
    (HEAD + "Content-Length: 2, 2\r\n\r\n{}", "bad_content_length"),
    (HEAD + "Content-Length: +2\r\n\r\n{}", "bad_content_length"),
    (HEAD + "Content-Length: -2\r\n\r\n{}", "bad_content_length"),
    (HEAD + "Content-Length: 0x2\r\n\r\n{}", "bad_content_length"),
    (HEAD + "Content-Length: \r\n\r\n{}", "bad_content_length"),
    (HEAD + "Content-Length: 99999999999999999999\r\n\r\n{}", "bad_content_length"),
    (HEAD + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "unsupported_transfer_encoding"),
    ("POST /stripe/webhook HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "unsupported_transfer_encoding"),
    (HEAD + "Content-Length : 2\r\n\r\n{}", "malformed_request"),
    (HEAD + "No colon\r\n\r\n", "malformed_request"),
    (HEAD + ": empty\r\n\r\n", "malformed_request"),
    (HEAD + "A: b\0c\r\n\r\n", "malformed_request"),
    (HEAD + "A\x7f: b\r\n\r\n", "malformed_request"),
    ("POST  HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request"),
    ("POST /stripe/webhook\r\nHost: localhost\r\n\r\n", "malformed_request"),
    ("POST /stripe webhook HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request"),
    ("P(ST /stripe/webhook HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request"),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "malformed_request"),  # TLS spoken to a plain port
    ("POST /stripe/webhook HTTP/1.1\r\n\r\n", "bad_host"),
    (HEAD + "Host: elsewhere\r\n\r\n", "bad_host"),
    (HEAD + "Stripe-Signature: t=1\r\nStripe-Signature: t=2\r\nContent-Length: 2\r\n\r\n{}",
     "repeated_signature_header"),
]


def test_what_could_be_read_in_two_ways_is_refused(worker):
    for head, reason in AMBIGUOUS:
        refused(worker, head, 400, reason)
    assert worker.metrics()['pg_billing_webhooks_rejected_total{reason="bare_lf"}'] == 3


UNSUPPORTED = [
    (HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "unsupported_transfer_encoding"),
    (HEAD + "Transfer-Encoding: identity\r\n\r\n", 501, "unsupported_transfer_encoding"),
    ("POST /stripe/webhook HTTP/2.0\r\n\r\n", 505, "unsupported_version"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    ("POST /stripe/webhook HTTP/1.1x\r\n\r\n", 505, "unsupported_version"),
    (HEAD + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "content_encoding"),
    (HEAD + "Expect: tea\r\nContent-Length: 2\r\n\r\n{}", 417, "expectation_failed"),
    (HEAD + "A: " + "b" * 17000 + "\r\n\r\n", 431, "header_too_large"),
    ("POST /" + "a" * 17000, 431, "header_too_large"),
    (HEAD + "A: b\r\n" * 100 + "\r\n", 431, "too_many_fields"),
]


def test_what_is_not_supported_is_refused(worker):
    for data, status, reason in UNSUPPORTED:
        refused(worker, data, status, reason)


def test_the_largest_header_that_fits(worker):
    body = event("fits")
    plain = request(body, worker.secret)
    room = 16384 - (len(plain) - len(body))
    fields = "".join(f"A{number}: b\r\n" for number in range(90))
    fields += "B: " + "b" * (room - len(fields) - 5) + "\r\n"
    full = request(body, worker.secret, fields=fields)
    assert len(full) - len(body) == 16384
    with Wire(worker) as wire:
        assert wire.send(full).answer().status == 200
    # The request line, three fields and these.
    with Wire(worker) as wire:
        assert wire.send(request(event("f100"), worker.secret, fields="A: b\r\n" * 97)).answer().status == 200
    refused(worker, request(event("f101"), worker.secret, fields="A: b\r\n" * 98), 431, "too_many_fields")


def test_a_body_has_a_limit_however_it_is_sent(database, workers):
    worker = workers(database, environment={"PG_BILLING_MAX_BODY": "4kB"})
    fits = event("fits", padding="x" * 3000).ljust(4096)
    with Wire(worker) as wire:
        assert wire.send(request(fits, worker.secret)).answer().status == 200
    # Announced: refused before it is sent.
    answer = refused(worker, HEAD + "Content-Length: 4097\r\n\r\n", 413, "body_too_large")
    assert "4096" in answer.body
    refused(worker, HEAD + "Content-Length: 18446744073709551615\r\n\r\n", 413, "body_too_large")
    # Not announced: counted while it arrives.
    chunk = "400\r\n" + "x" * 1024 + "\r\n"
    refused(worker, HEAD + "Transfer-Encoding: chunked\r\n\r\n" + chunk * 5, 413, "body_too_large")
    refused(worker, HEAD + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFF\r\n", 413, "body_too_large")
    assert stored(database) == {"evt_fits"}


def test_a_sender_of_too_much_still_reads_why(worker):
    """The answer is not lost to a reset while the sender is still sending."""
    body = b"x" * 3_000_000
    with Wire(worker) as wire:
        wire.send(HEAD + f"Content-Length: {len(body)}\r\n\r\n").send(body)
        assert wire.answer().status == 413


def chunked(body, sizes):
    out, position = b"", 0
    for size in sizes:
        part = body[position:position + size]
        position += len(part)
        out += b"%x\r\n%s\r\n" % (len(part), part) if part else b""
    return out + b"0\r\n"


def test_chunked_bodies_are_put_together(database, worker):
    body = event("chunked").encode()
    head = HEAD + f"Transfer-Encoding: chunked\r\nStripe-Signature: {sign(body, worker.secret)}\r\n\r\n"
    with Wire(worker) as wire:
        wire.send(head.encode() + chunked(body, [1] * 20 + [7] * 10 + [10000]) + b"\r\n")
        assert wire.answer().json() == {"received": True, "outcome": "processed"}
        # With extensions and trailing fields; the connection goes on.
        wire.send(head.encode() + b"%x;name=value;other\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body))
        assert wire.answer().json()["outcome"] == "duplicate"
        assert wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").answer().status == 200
    assert stored(database) == {"evt_chunked"}


MALFORMED_CHUNKS = [
    b"5\nhello\r\n0\r\n\r\n", b"x\r\n", b"\r\nhello\r\n", b"-1\r\nh\r\n", b"0x5\r\nhello\r\n\r\n",
    b"5\r\nhello0\r\n\r\n", b"5\r\nhelloXXXX", b"5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 20000, b"0\r\nno field\r\n\r\n", b"0\r\nA: b\n\r\n", b"0\r\nA: " + b"b" * 20000,
]


def test_malformed_chunks_are_refused(worker):
    for chunks in MALFORMED_CHUNKS:
        refused(worker, (HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks, 400, "bad_chunk")


def test_requests_may_follow_each_other_without_waiting(database, worker):
    numbers = [f"pipe{number}" for number in range(20)]
    with Wire(worker) as wire:
        wire.send(b"".join(request(event(number), worker.secret) for number in numbers))
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for _ in numbers:
            assert wire.answer().status == 200
        assert "alive" in wire.answer().body
        assert wire.is_closed()
    assert stored(database) == {f"evt_{number}" for number in numbers}


def test_a_connection_is_kept_and_survives_refusals(worker):
    with Wire(worker) as wire:
        for number in range(3):
            assert wire.send(request(event(f"kept{number}"), worker.secret)).answer().status == 200
            assert wire.send(request("{}", worker.secret, signature="t=1,v1=0")).answer().status == 400
            assert wire.send("\r\nGET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").answer().status == 404
        # HTTP/1.0 and "close" end it.
        answer = wire.send("GET /healthz HTTP/1.0\r\n\r\n").answer()
        assert answer.headers["connection"] == "close" and wire.is_closed()


def test_100_continue(worker):
    body = event("continue")
    data = request(body, worker.secret, fields="Expect: 100-continue\r\n")
    with Wire(worker) as wire:
        wire.send(data[:-len(body)])
        assert wire.answer().status == 100
        assert wire.send(body).answer().status == 200
    # Nobody is asked for a body that is not wanted.
    with Wire(worker) as wire:
        wire.send(HEAD + "Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        assert wire.answer().status == 413


SHORT = {"PG_BILLING_HEADER_TIMEOUT": "300ms", "PG_BILLING_BODY_TIMEOUT": "500ms",
         "PG_BILLING_IDLE_TIMEOUT": "700ms", "PG_BILLING_REQUEST_TIMEOUT": "5s"}


def test_every_phase_has_its_deadline(database, workers):
    worker = workers(database, environment=SHORT)

    def seconds(data, status, reason, slowly=""):
        began = time.monotonic()
        with Wire(worker) as wire:
            answer = wire.send(data).send_slowly(slowly, 0.05).answer()
            assert (answer.status, answer.reason) == (status, reason)
            assert wire.is_closed()
        return time.monotonic() - began

    assert 0.2 < seconds("POST /stripe", 408, "header_timeout") < 2
    assert 0.4 < seconds(HEAD + "Content-Length: 10\r\n\r\n{", 408, "body_timeout") < 2
    # A byte now and then does not extend them.
    assert seconds("POST /", 408, "header_timeout", "a" * 50) < 5
    assert seconds(HEAD + "Content-Length: 50\r\n\r\n", 408, "body_timeout", "{" * 40) < 5
    assert seconds(HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\n{", 408, "body_timeout") < 2
    # No request at all: closed without a word.
    began = time.monotonic()
    with Wire(worker) as wire:
        assert wire.answer() is None and time.monotonic() - began < 2
    with Wire(worker) as wire:
        assert wire.send(request(event("idle"), worker.secret)).answer().status == 200
        began = time.monotonic()
        assert wire.is_closed() and 0.5 < time.monotonic() - began < 2


def test_the_whole_request_has_a_deadline(database, workers):
    worker = workers(database, environment={**SHORT, "PG_BILLING_HEADER_TIMEOUT": "10s",
                                            "PG_BILLING_BODY_TIMEOUT": "10s", "PG_BILLING_REQUEST_TIMEOUT": "600ms"})
    for data in ("POST /", HEAD + "Content-Length: 10\r\n\r\n{"):
        began = time.monotonic()
        with Wire(worker) as wire:
            assert wire.send(data).answer().status == 408
        assert 0.4 < time.monotonic() - began < 3


def test_a_client_that_leaves_is_noted(worker):
    with Wire(worker) as wire:
        wire.send(HEAD + "Content-Length: 10\r\n\r\n{")
    until(lambda: logged(worker, "stripe_webhook_rejected", reason="client_disconnected"), "it is logged")
    assert worker.metrics()['pg_billing_webhooks_rejected_total{reason="client_disconnected"}'] == 1


def test_connections_have_a_limit(database, workers):
    worker = workers(database, environment={"PG_BILLING_MAX_CONNECTIONS": "5"})
    time.sleep(0.3)  # the connections that asked for /readyz
    held = [Wire(worker) for _ in range(5)]
    time.sleep(0.2)
    with Wire(worker) as wire:
        answer = wire.answer()
        assert (answer.status, answer.reason) == (503, "too_many_connections")
        assert int(answer.headers["retry-after"]) > 0 and wire.is_closed()
    assert held[0].send(request(event("held"), worker.secret)).answer().status == 200
    for wire in held:
        wire.socket.close()
    until(lambda: worker.get("/healthz")[0] == 200, "there is room again")


def test_many_slow_clients_do_not_stop_a_good_one(worker):
    slow = [Wire(worker).send("POST /stripe/webhook HTTP/1.1\r\nHo") for _ in range(200)]
    with Wire(worker) as wire:
        began = time.monotonic()
        assert wire.send(request(event("good"), worker.secret)).answer().status == 200
        assert time.monotonic() - began < 2
    for wire in slow:
        wire.socket.close()


def test_bodies_in_memory_have_a_limit(database, workers):
    """Unsigned senders cannot make the worker hold more than that."""
    worker = workers(database, environment={"PG_BILLING_QUEUE_BYTES": "256kB"})
    held = [Wire(worker).send(HEAD + "Content-Length: 100000\r\n\r\n" + "x" * 90000) for _ in range(2)]
    until(lambda: worker.metrics()["pg_billing_queue_bytes"] >= 180000, "they are being held")
    with Wire(worker) as wire:
        answer = wire.send(HEAD + "Content-Length: 100000\r\n\r\n" + "x" * 99000).answer()
        assert (answer.status, answer.reason) == (503, "queue_full")
        assert int(answer.headers["retry-after"]) > 0
    for wire in held:
        wire.socket.close()
    until(lambda: worker.metrics()["pg_billing_queue_bytes"] == 0, "they are let go")
    with Wire(worker) as wire:
        assert wire.send(request(event("after"), worker.secret)).answer().status == 200


def test_half_closed_clients_get_their_answer(worker):
    with Wire(worker) as wire:
        assert wire.send(request(event("half"), worker.secret)).finish().answer().status == 200


def test_reset_clients_do_no_harm(worker):
    for _ in range(20):
        wire = Wire(worker)
        wire.send(request(event("reset"), worker.secret))
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.socket.close()
    assert worker.get("/healthz")[0] == 200
