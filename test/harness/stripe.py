"""Stripe's side of the wire: signs and posts webhooks. What they carry is in objects.py and life.py."""
import dataclasses
import hashlib
import hmac
import http.client
import json
import time
import urllib.parse


def sign(payload, secret, t=None):
    """The Stripe-Signature header of a payload."""
    t = int(time.time()) if t is None else t
    body = payload.encode() if isinstance(payload, str) else payload
    digest = hmac.new(secret.encode(), b"%d." % t + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={digest}"


def payload_of(event):
    """The bytes that Stripe sends: indented JSON."""
    return event if isinstance(event, (str, bytes)) else json.dumps(event, indent=2)


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: str

    def json(self):
        return json.loads(self.body)


class Sender:
    """Posts to one endpoint over one kept connection, as Stripe does; opens it again when it is closed."""

    def __init__(self, url, secret, timeout=15):
        self.address = urllib.parse.urlsplit(url)
        self.secret = secret
        self.timeout = timeout
        self.connection = None

    def post(self, event, *, t=None, signature=None, headers=None):
        """Signs and posts an event or a ready payload. OSError when nobody answers."""
        payload = payload_of(event)
        body = payload.encode() if isinstance(payload, str) else payload
        fields = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0",
                  "Stripe-Signature": sign(body, self.secret, t) if signature is None else signature,
                  **(headers or {})}
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address.hostname, self.address.port,
                                                         timeout=self.timeout)
        try:
            self.connection.request("POST", self.address.path, body, fields)
            response = self.connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise error if isinstance(error, OSError) else ConnectionError(str(error)) from error
        if response.will_close:
            self.close()
        return answer

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def post(url, event, secret, **options):
    sender = Sender(url, secret)
    try:
        return sender.post(event, **options)
    finally:
        sender.close()
