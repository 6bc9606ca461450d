"""The receiver of notifications: an HTTP server that verifies Standard Webhooks as any application would."""
import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import threading
import time

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def verify(headers, body, secret, now=None):
    """Whether one of the signatures is of this secret, and fresh. As in the Standard Webhooks specification."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs((time.time() if now is None else now) - int(timestamp)) > 300:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split(" "))


class Receiver:
    """`status` may be a number, or a function of the message that returns one; or (number, headers)."""

    def __init__(self, *secrets, status=200, delay=0, tls=None):
        self.secrets = secrets or (SECRET,)
        self.status = status
        self.delay = delay
        self.requests = []  # in order of arrival: {"id", "type", "data", "valid", "body", "at"}
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                message = json.loads(body)
                message.update(id=self.headers["webhook-id"], body=body, at=time.monotonic(), path=self.path,
                               valid=[verify(self.headers, body, secret) for secret in receiver.secrets],
                               signatures=self.headers["webhook-signature"].split(" "))
                with receiver.lock:
                    receiver.requests.append(message)
                time.sleep(receiver.delay)
                answer = receiver.status(message) if callable(receiver.status) else receiver.status
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the sender was killed

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks?a=b"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, **more):
        return {"PG_BILLING_NOTIFY_URL": self.url, "PG_BILLING_NOTIFY_SECRET": ",".join(self.secrets), **more}

    def messages(self):
        with self.lock:
            return list(self.requests)

    def counts(self):
        """How often each id has come."""
        return collections.Counter(message["id"] for message in self.messages())

    def wait_for(self, number, timeout=20):
        """Until so many different ids have come."""
        deadline = time.monotonic() + timeout
        while len(self.counts()) < number:
            assert time.monotonic() < deadline, f"{len(self.counts())} of {number} came: {self.counts()}"
            time.sleep(0.02)
        return self.messages()
