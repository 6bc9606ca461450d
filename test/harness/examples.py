"""Runs the files of examples/ as an operator would: psql, stopping at the first error, as a role of kind admin; and what
tests of them share."""
from .life import flat
from .stripe import Sender
from .worker import ROOT

NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.sql"))


def run_example(database, name, *, administrator=False, **variables):
    """Returns what psql printed. `administrator`: as who may make roles and schemas too."""
    role = None if administrator else database.create_role("billing_operator", "admin")
    options = [*(("-U", role) if role else ()), *(f"-v{variable}={value}" for variable, value in variables.items())]
    return database.cluster.psql(database.name, *options, "-c", f"SET search_path = {database.schema}", "-f",
                                 str(ROOT / "examples" / f"{name}.sql"))


class Backend:
    """A back end that an example sets up: Stripe's events reach its worker, and it asks as the role billing_app."""

    def __init__(self, database, worker):
        self.database = database
        self.sender = Sender(worker.webhook, worker.secret)
        self.application = database.connect(user="billing_app")

    def happens(self, *events):
        for one in flat(events):
            answer = self.sender.post(one)
            assert answer.status == 200 and answer.json()["outcome"] != "failed", answer.body

    def asks(self, statement, *parameters):
        return self.database.value(statement, parameters, self.application)
