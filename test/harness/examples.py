"""Runs the files of examples/ as an operator would: psql, stopping at the first error, as a role of kind admin."""
from .worker import ROOT


def run_example(database, name):
    """Returns what psql printed."""
    role = database.create_role("billing_operator", "admin")
    return database.cluster.psql(database.name, "-U", role, "-c", f"SET search_path = {database.schema}", "-f",
                                 str(ROOT / "examples" / f"{name}.sql"))
