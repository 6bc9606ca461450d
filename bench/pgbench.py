"""Runs pgbench with a script of one side, in the prepared mode that drivers use."""
import os
import pathlib
import re
import subprocess
import tempfile

from harness.cluster import program


class Failed(Exception):
    pass


def run(database, script, seconds, *, clients=8, user=None, mode="prepared", variables=None):
    """Transactions per second. A transaction that fails fails the whole: what is compared must have been done."""
    return measure(database, script, seconds, clients=clients, user=user, mode=mode, variables=variables)["tps"]


def measure(database, script, seconds, *, clients=8, user=None, mode="prepared", variables=None, rate=None):
    """tps, and the mean latency in milliseconds. With a rate, transactions are due at random times, so many a second, and
    p99 is how long they took from then."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file, tempfile.TemporaryDirectory() as logs:
        file.write(script)
        file.flush()
        command = [program("pgbench"), "-n", "-M", mode, "-f", file.name, "-c", str(clients), "-j", str(min(clients, os.cpu_count())),
                   "-T", str(max(1, round(seconds)))]
        for name, value in (variables or {}).items():
            command += ["-D", f"{name}={value}"]
        if rate:
            command += ["-R", f"{rate:.1f}", "-l", "--log-prefix", f"{logs}/log"]
        environment = {**os.environ, **database.cluster.environment(), "PGUSER": user or database.cluster.user}
        done = subprocess.run([*command, database.name], env=environment, capture_output=True, text=True)
        times = sorted(int(line.split()[2]) for log in pathlib.Path(logs).iterdir() for line in log.read_text().splitlines())
    found = dict(re.findall(r"^(tps|latency average) = ([\d.]+)", done.stdout, re.MULTILINE))
    failures = re.search(r"number of failed transactions: ([1-9]\d*)", done.stdout)
    if done.returncode or failures or "tps" not in found:
        raise Failed(f"pgbench: {done.stdout[-600:]}{done.stderr[-1500:]}")
    percentiles = {"p99": times[int(len(times) * 0.99)] / 1000} if times else {}
    return {"tps": float(found["tps"]), "latency": float(found["latency average"]), **percentiles}
