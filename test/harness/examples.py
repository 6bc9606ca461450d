"""Runs the files of examples/ as an operator would: psql, stopping at the first error, as a role of kind admin."""
from .worker import ROOT

NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.sql"))


def run_example(database, name, *, administrator=False, **variables):
    """Returns what psql printed. `administrator`: as who may make roles and schemas too."""
    role = None if administrator else database.create_role("billing_operator", "admin")
    options = [*(("-U", role) if role else ()), *(f"-v{variable}={value}" for variable, value in variables.items())]
    return database.cluster.psql(database.name, *options, "-c", f"SET search_path = {database.schema}", "-f",
                                 str(ROOT / "examples" / f"{name}.sql"))
