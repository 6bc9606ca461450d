"""The operator's page as programs and people reach it."""
import html.parser
import http.client
import re
import urllib.parse

from .worker import Worker, free_port

TOKEN = "operator-token-0123456789abcdef"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read().decode()

    @property
    def text(self):
        """What people read: the page without its markup."""
        class Reader(html.parser.HTMLParser):
            words = ""

            def handle_data(self, data):
                self.words += data + " "
        reader = Reader()
        reader.feed(self.body)
        return re.sub(r"\s+", " ", reader.words)

    @property
    def key(self):
        """The key of the page's forms."""
        return re.search(r'name="key" value="([0-9a-f]+)"', self.body)[1]


class OperatorPage:
    """A worker with an operator's page. What is asked of it is asked as a browser would, with a cookie once signed in."""

    def __init__(self, database, *, role="billing_operator", environment=None, **options):
        self.port = free_port()
        self.cookie = None
        database.create_role("billing_worker", "worker")
        database.create_role(role, "admin" if role == "billing_operator" else None)
        self.worker = Worker(database.url("billing_worker"), environment={
            "PG_BILLING_OPERATOR_TOKEN": TOKEN, "PG_BILLING_OPERATOR_DATABASE_URL": database.url(role),
            "PG_BILLING_OPERATOR_LISTEN": f"127.0.0.1:{self.port}", **(environment or {})}, **options)

    def __enter__(self):
        self.worker.start()
        return self

    def __exit__(self, *_):
        self.worker.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            cookie = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body, {**cookie, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path, fields, **headers):
        return self.ask("POST", path, urllib.parse.urlencode(fields),
                        {"Content-Type": "application/x-www-form-urlencoded",
                         **{name.replace("_", "-"): value for name, value in headers.items()}})

    def bearer(self, method, path, fields=None, token=TOKEN):
        return self.ask(method, path, urllib.parse.urlencode(fields) if fields else None,
                        {"Authorization": f"Bearer {token}"})

    def sign_in(self, token=TOKEN):
        answer = self.post("/sign-in", {"token": token})
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def change(self, page, path, **fields):
        """Sends a form of `page`, with the key that it carries, and follows to where it leads."""
        answer = self.post(path, {"key": self.get(page).key, **fields}, Sec_Fetch_Site="same-origin")
        return self.get(answer.headers["location"]) if answer.status == 303 else answer
