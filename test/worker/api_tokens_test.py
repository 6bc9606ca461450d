"""Whose token the API takes: keys, their rotation, claims, and what forgers send."""
import http.server
import json
import os
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness.front_end import JWT_SECRET, FrontEnd, b64, sign_token, token
from harness.waiting import until
from wire import logged

LATER = int(time.time()) + 3600


class Signer:
    """A key pair of an identity provider."""

    def __init__(self, kind, kid):
        self.kind, self.kid = kind, kid
        self.private = ec.generate_private_key(ec.SECP256R1()) if kind == "ES256" else rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self):
        algorithm = jwt.algorithms.ECAlgorithm if self.kind == "ES256" else jwt.algorithms.RSAAlgorithm
        if self.kind == "ES256":
            numbers = self.private.public_key().public_numbers()
            return {"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256",
                    "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}
        return {**json.loads(algorithm.to_jwk(self.private.public_key())), "kid": self.kid, "use": "sig", "alg": "RS256"}

    @property
    def public_pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def token(self, user="ada", **claims):
        return jwt.encode({"sub": user, "exp": LATER, **claims}, self.private, self.kind, {"kid": self.kid})


@pytest.fixture(scope="module")
def signers():
    return {"rsa": Signer("RS256", "rsa1"), "ec": Signer("ES256", "ec1"), "other": Signer("RS256", "rsa1"), "next": Signer("ES256", "ec2")}


def who(front_end, bearer):
    answer = front_end.ask("GET", "subscription", bearer=bearer)
    return answer.json["user_id"] if answer.status == 200 else answer.told


@pytest.fixture
def provider(signers):
    """Serves a key set that tests change."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            body = self.server.text
            self.send_response(200 if body else 500)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.text = 0, json.dumps({"keys": [signers["rsa"].jwk, signers["ec"].jwk]})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_tokens_of_a_secret(database):
    with FrontEnd(database) as front_end:
        assert who(front_end, token("ada")) == "ada"
        assert who(front_end, sign_token({"sub": "bob", "exp": LATER}, kid="whatever")) == "bob"
        none = b64(b'{"alg":"none"}') + "." + b64(json.dumps({"sub": "ada", "exp": LATER}).encode()) + "."
        good = token("ada")
        head, claims, signature = good.split(".")
        other = b64(json.dumps({"sub": "bob", "exp": LATER}).encode())
        for forged in (none, sign_token({"sub": "ada", "exp": LATER}, "another-secret-0123456789abcdef012345"),
                       f"{head}.{other}.{signature}", f"{head}.{claims}.", f"{head}.{claims}", "x", good + "x", f"{good}.{good}",
                       sign_token({"sub": "ada"}), sign_token({"exp": LATER}), sign_token({"sub": "ada", "exp": LATER, "nbf": LATER}),
                       sign_token({"sub": "ada", "exp": LATER}, alg="HS512")):
            status, code = who(front_end, forged)
            assert (status, code) in ((401, "invalid_token"), (401, "token_expired")), forged
        assert who(front_end, sign_token({"sub": "ada", "exp": int(time.time()) - 31})) == (401, "token_expired")
        nobody = front_end.ask("GET", "subscription")
        assert nobody.told == (401, "missing_token") and nobody.headers["www-authenticate"] == "Bearer"
        assert front_end.ask("GET", "subscription", headers={"Authorization": "Basic YTpi"}).told == (401, "missing_token")
        # Who it is comes from the token alone.
        answer = front_end.ask("GET", "subscription?user_id=bob&sub=bob", bearer=good)
        assert answer.json["user_id"] == "ada"
        said = front_end.worker.text()
        assert JWT_SECRET not in said and good not in said and signature not in said


def test_tokens_of_a_key_set_in_a_file(database, tmp_path, signers):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [signers["rsa"].jwk, signers["ec"].jwk]}))
    with FrontEnd(database, environment={"PG_BILLING_JWT_SECRET": "", "PG_BILLING_JWT_JWKS": str(path)}) as front_end:
        assert who(front_end, signers["rsa"].token()) == "ada" and who(front_end, signers["ec"].token()) == "ada"
        # Another key under the same id; one that is not known; the public key as if it were a secret.
        assert who(front_end, signers["other"].token()) == (401, "invalid_token")
        assert who(front_end, signers["next"].token()) == (401, "invalid_token")
        confused = sign_token({"sub": "ada", "exp": LATER}, signers["rsa"].public_pem.decode(), kid="rsa1")
        assert who(front_end, confused) == (401, "invalid_token")
        assert who(front_end, token("ada")) == (401, "invalid_token")
        # A file that cannot be used leaves the keys as they were; a good one counts at once.
        path.write_text("{}")
        assert who(front_end, signers["ec"].token()) == "ada"
        path.write_text(json.dumps({"keys": [signers["next"].jwk]}))
        assert who(front_end, signers["next"].token()) == "ada"
        assert who(front_end, signers["ec"].token()) == (401, "invalid_token")


def test_tokens_of_a_provider_that_rotates_its_keys(database, provider, signers):
    url = f"http://127.0.0.1:{provider.server_address[1]}/jwks"
    with FrontEnd(database, environment={"PG_BILLING_JWT_SECRET": "", "PG_BILLING_JWT_JWKS": url}) as front_end:
        for _ in range(3):
            assert who(front_end, signers["rsa"].token()) == "ada"
        assert provider.asked == 1
        # Anybody can make up a key's id: asked for it is once in ten seconds.
        for _ in range(5):
            assert who(front_end, Signer("ES256", "made up").token()) == (401, "invalid_token")
        assert provider.asked == 1
        # Secrets in a set would be everybody's.
        secret = {"kty": "oct", "k": b64(JWT_SECRET.encode())}
        provider.text = json.dumps({"keys": [secret, signers["ec"].jwk, signers["next"].jwk]})
        until(lambda: who(front_end, signers["next"].token()) == "ada", "the new key is known")
        assert who(front_end, signers["rsa"].token()) == (401, "invalid_token")
        assert who(front_end, token("ada")) == (401, "invalid_token")
        # While the provider is away, what was known counts.
        provider.text = ""
        assert who(front_end, signers["ec"].token()) == "ada"


def test_a_provider_that_is_away_at_first(database, provider, signers):
    good, provider.text = provider.text, ""
    url = f"http://127.0.0.1:{provider.server_address[1]}/jwks"
    with FrontEnd(database, environment={"PG_BILLING_JWT_JWKS": url}) as front_end:
        assert who(front_end, signers["rsa"].token()) == (401, "invalid_token")
        assert who(front_end, token("ada")) == "ada"
        assert logged(front_end.worker, "jwks_not_loaded")
        provider.text = good
        until(lambda: who(front_end, signers["rsa"].token()) == "ada", "asked again after some seconds")


def test_claims(database):
    with FrontEnd(database, environment={"PG_BILLING_JWT_ISSUER": "https://id.example.com, other", "PG_BILLING_JWT_AUDIENCE": "app",
                                         "PG_BILLING_JWT_CLAIM": "app_metadata.team"}) as front_end:
        def claims(**more):
            return sign_token({"exp": LATER, "iss": "other", "aud": ["x", "app"], "sub": "ada", "app_metadata": {"team": "team_1"}, **more})
        assert who(front_end, claims()) == "team_1"
        for wrong in ({"iss": "evil"}, {"iss": None}, {"aud": "x"}, {"aud": None}, {"app_metadata": {}}, {"app_metadata": {"team": ["a"]}}):
            assert who(front_end, claims(**wrong)) == (401, "invalid_token"), wrong


def test_secrets_are_replaced_at_a_reload(database, tmp_path):
    new = "a-new-secret-0123456789abcdef0123456789"
    settings = tmp_path / "worker.conf"
    settings.write_text(f"PG_BILLING_JWT_SECRET={JWT_SECRET},{new}\n")
    os.chmod(settings, 0o600)
    with FrontEnd(database, environment={"PG_BILLING_JWT_SECRET": ""}, arguments=["--config", str(settings)]) as front_end:
        later = sign_token({"sub": "bob", "exp": LATER}, new)
        assert (who(front_end, token("ada")), who(front_end, later)) == ("ada", "bob")
        settings.write_text(f"PG_BILLING_JWT_SECRET={new}\n")
        front_end.worker.hangup()
        until(lambda: logged(front_end.worker, "reloaded"), "the settings are read again")
        assert (who(front_end, token("ada")), who(front_end, later)) == ((401, "invalid_token"), "bob")
