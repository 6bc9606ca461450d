"""The short form of the fault storm (storm.py --seconds 3600 is the long one), in a process of its own."""
import pathlib
import re
import subprocess
import sys

from harness.worker import binary

STORM = pathlib.Path(__file__).with_name("storm.py")
# A tmpfs cannot be mounted everywhere: a full disk is not asked for.
KINDS = ["worker TERM", "worker KILL", "backend terminated", "backend KILL", "server fast", "server immediate",
         "server KILL", *(f"{path}: {fault}" for path in ("sender to worker", "worker to server")
                          for fault in ("drop", "stall", "request cut", "response cut"))]


def test_storm_loses_doubles_and_changes_nothing(tmp_path):
    subprocess.run([binary(), "simulate", "--seed", "7", "--customers", "80", "--months", "4", "--bursts", "0.3",
                    "--duplicates", "0.05", "--near-duplicates", "0.02", "--drop", "0.02", "--order", "shuffled",
                    "--window", "60", "--out", tmp_path], check=True)
    run = subprocess.run([sys.executable, STORM, "--seed", "7", "--seconds", "35", "--history", tmp_path],
                         capture_output=True, text=True, timeout=240)
    said = run.stdout + run.stderr
    print(said)
    table = {name: int(number) for name, number in re.findall(r"^(\S.*?) +(\d+)$", run.stdout, re.M)}
    assert run.returncode == 0, said
    assert [kind for kind in KINDS if not table[kind]] == [], "kinds of faults that were never made"
    assert [table[name] for name in ("lost", "doubled", "differing", "never acknowledged")] == [0, 0, 0, 0]
    assert table["acknowledged"] == table["events"] > 3000
    assert table["credits granted"] > 0
    assert table["posts"] > table["acknowledged"], "nothing was ever refused"
