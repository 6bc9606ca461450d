"""Raw sockets, so that a test sends exactly the bytes it means; and small signed events."""
import json
import socket
import time

from harness.stripe import sign


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json()["error"]["reason"]


class Wire:
    """One connection to a worker, byte by byte."""

    def __init__(self, worker, timeout=10, wrap=lambda plain: plain):
        self.socket = wrap(socket.create_connection(("127.0.0.1", worker.port), timeout))
        self.socket.settimeout(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def send_slowly(self, data, pause):
        """A byte at a time, until the worker has had enough."""
        try:
            for byte in data.encode():
                self.socket.sendall(bytes([byte]))
                time.sleep(pause)
        except OSError:
            pass
        return self

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def answer(self):
        """The next answer; None when the worker closes without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                assert self.buffer == b"", self.buffer
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            assert self._more(), "the answer is cut off"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(first.split()[1]), headers, body.decode())

    def is_closed(self):
        """Whether the worker ends the connection, instead of sending more."""
        try:
            return self.buffer == b"" and not self._more()
        except ConnectionResetError:
            return True


def event(number, event_type="customer.updated", **members):
    """A small event of a customer of its own."""
    customer = {"id": f"cus_{number}", "object": "customer", "created": 1700000000, "livemode": False, "metadata": {}}
    return json.dumps({"id": f"evt_{number}", "object": "event", "type": event_type, "created": 1700000000,
                       "api_version": "2025-10-29.clover", "livemode": False, "data": {"object": customer}, **members})


def request(body, secret, path="/stripe/webhook", fields="", signature=None):
    """The bytes of a signed POST. `fields` are further header lines, each with its CRLF."""
    body = body.encode() if isinstance(body, str) else body
    signature = sign(body, secret) if signature is None else signature
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Stripe-Signature: {signature}\r\n{fields}\r\n".encode() + body


def stored(database):
    """The ids of the events in the inbox."""
    return {row["stripe_event_id"] for row in database.rows("SELECT stripe_event_id FROM {s}.stripe_events")}


def logged(worker, name, **members):
    """The log lines of that event name, with those members."""
    return [line for line in worker.log_lines()
            if line.get("event") == name and all(line.get(key) == value for key, value in members.items())]
