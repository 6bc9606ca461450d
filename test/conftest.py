"""Fixtures: one cluster for the whole run, a database of its own for each test."""
import os
import pathlib

import pytest

from harness.cluster import Cluster
from harness.database import Database
from harness.worker import ROOT, Worker


@pytest.fixture(scope="session")
def cluster():
    with Cluster() as running:
        yield running


@pytest.fixture
def databases(cluster):
    """Makes databases: databases("billing") has the extension in a schema of that name. Dropped at the end."""
    made = []

    def make(schema="public"):
        made.append(Database(cluster, schema))
        return made[-1]

    yield make
    for database in made:
        database.drop()


@pytest.fixture
def database(databases):
    """A database with the extension in schema public."""
    return databases()


@pytest.fixture(params=["public", "billing"])
def any_database(request, databases):
    """A database with the extension in schema public, and again with it in schema billing."""
    return databases(request.param)


@pytest.fixture
def workers():
    """Starts workers that serve a database as a role of kind worker. Stopped at the end."""
    started = []

    def start(database, **options):
        role = database.create_role("billing_worker", "worker")
        worker = Worker(database.url(role), **options)
        started.append(worker)
        return worker.start()

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def worker(workers, database):
    return workers(database)


@pytest.fixture(scope="session")
def recorded():
    """The directory of recorded real payloads: not part of the repository, which may not redistribute them."""
    path = pathlib.Path(os.environ.get("PG_BILLING_PAYLOADS") or ROOT.parent / "shared" / "payloads")
    if not path.is_dir():
        pytest.skip("no recorded payloads (PG_BILLING_PAYLOADS)")
    return path
