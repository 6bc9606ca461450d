"""What the comparisons run: the worker as it was built or installed, and programs of bench/ that are built when needed."""
import functools
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-bench"


def command(arguments, **options):
    done = subprocess.run([str(one) for one in arguments], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(one) for one in arguments)} failed: {(done.stdout + done.stderr)[-2000:]}")


@functools.lru_cache
def built(target):
    """The path of a program of bench/, built if need be."""
    command(["cmake", "-S", ROOT, "-B", BUILD, "-DPG_BILLING_BENCH=ON", "-DPG_BILLING_EXTENSION=OFF", "-DBUILD_TESTING=OFF"])
    command(["cmake", "--build", BUILD, "--target", target])
    return BUILD / "bench" / target


def find_worker():
    """Sets PG_BILLING_WORKER, which the harness follows, to the worker that belongs to what was installed last."""
    if "PG_BILLING_WORKER" not in os.environ:
        found = shutil.which("pg_billing") or ROOT / "build" / "pg_billing"
        if not pathlib.Path(found).exists():
            raise RuntimeError("there is no pg_billing: build and install it first (README.md, Install)")
        os.environ["PG_BILLING_WORKER"] = str(found)
    return os.environ["PG_BILLING_WORKER"]
