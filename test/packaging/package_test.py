"""The Debian packages, installed in a bare Debian; what the container starts, started there; syntax of the rest."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest

from harness.stripe import Sender
from harness.worker import ROOT, SECRET, free_port

PACKAGES = sorted(pathlib.Path(os.environ.get("PG_BILLING_PACKAGES", ROOT / "build-package" / "packages")).glob("*.deb"))
EVENT = {"id": "evt_1", "object": "event", "type": "customer.subscription.created", "created": 1795210000, "livemode": False,
         "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active",
                             "metadata": {"user_id": "user_1"}, "items": {"data": [
                                 {"quantity": 1, "price": {"id": "price_pro"}, "current_period_start": 1795210000,
                                  "current_period_end": 4102444800}]}}}}
CHROOT = "/usr/sbin/chroot"  # wherever a command's own PATH looks
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("debootstrap"), reason="needs root and debootstrap")


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def test_there_are_two_packages_and_they_say_what_they_need():
    names = {field(package, "Package"): package for package in PACKAGES}
    worker = names.pop("pg-billing-worker")
    (extension_name, extension), = names.items()
    major, = re.fullmatch(r"postgresql-(\d+)-pg-billing", extension_name).groups()
    assert f"postgresql-{major}" in field(extension, "Depends") and "libc6" in field(extension, "Depends")
    assert {"adduser", "libpq5", "libssl3"} <= set(re.findall(r"[\w.+-]+?(?=t64|\b)", field(worker, "Depends")))
    for package in (worker, extension):
        listing = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
        assert "/usr/local" not in listing and "/include/" not in listing, listing
        assert len(field(package, "Description").splitlines()) > 1


class Bare:
    """A Debian with nothing but what the packages need."""

    def __init__(self, directory):
        self.directory = directory

    def run(self, *command, check=True, **options):
        run = subprocess.run([CHROOT, self.directory, *command], capture_output=True, text=True, **options)
        assert not check or run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        return run

    def shell(self, script, user="root", **options):
        return self.run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "sh", "-ec", script,
                        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **options.pop("env", {})}, **options)


def mirror():
    """Where this machine gets Debian from, and which one it is."""
    text = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                          capture_output=True, text=True, check=True).stdout
    return next(line.split() for line in text.splitlines() if "-" not in line.split()[1])


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bare")
    uri, release = mirror()
    run = subprocess.run(["debootstrap", "--variant=minbase", "--include=util-linux", release, directory, uri],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    directory.chmod(0o755)  # for whoever is not root inside
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d"):
        if os.path.isdir(path):
            shutil.copytree(path, str(directory) + path, dirs_exist_ok=True)
        elif os.path.exists(path):
            shutil.copy(path, str(directory) + path)
    (directory / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (directory / "usr/sbin/policy-rc.d").chmod(0o755)
    subprocess.run(["mount", "-t", "proc", "proc", directory / "proc"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory / "dev/shm"], check=True)
    try:
        (directory / "packages").mkdir()
        for package in PACKAGES:
            shutil.copy(package, directory / "packages")
        bare = Bare(directory)
        bare.shell("""apt-get -qq update
                      DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends /packages/*.deb \\
                        $(ls /packages | sed -n 's/^postgresql-\\([0-9]*\\)-.*/postgresql-\\1-cron/p')""")
        yield bare
    finally:
        for name in ("proc", "dev/shm"):
            subprocess.run(["umount", "--lazy", directory / name], check=False)


@needs_root
def test_the_packages_install_what_runs(bare):
    version = bare.shell("pg_billing --version").stdout
    assert version.startswith("pg_billing ")
    configuration = bare.directory / "etc/pg_billing/worker.conf"
    assert configuration.stat().st_mode & 0o777 == 0o600
    assert bare.shell("stat -c %U /etc/pg_billing/worker.conf").stdout.strip() == "billing_worker"
    # The user of the unit is that of the file, and can read it; without a secret it says what is missing.
    unit = (bare.directory / "lib/systemd/system/pg_billing.service").read_text()
    assert "User=billing_worker" in unit and "ExecStart=/usr/bin/pg_billing serve --config /etc/pg_billing/worker.conf" in unit
    refused = bare.shell("pg_billing serve --config /etc/pg_billing/worker.conf", user="billing_worker", check=False)
    assert refused.returncode == 2 and "STRIPE_WEBHOOK_SECRET" in refused.stdout + refused.stderr
    assert (bare.directory / "usr/share/pg_billing/monitoring/prometheus-rules.yml").exists()


@needs_root
def test_what_the_container_starts_serves_webhooks(bare):
    """packaging/container/start, as it runs in the image, on ports of its own."""
    shutil.copy(ROOT / "packaging" / "container" / "start", bare.directory / "usr/local/bin/start-pg_billing")
    major = re.search(r"postgresql-(\d+)-", " ".join(package.name for package in PACKAGES)).group(1)
    bare.shell("install -d -o postgres -g postgres /var/lib/postgresql/data /var/run/postgresql")
    port, database_port = free_port(), free_port()
    environment = {"PATH": f"/usr/lib/postgresql/{major}/bin:/usr/local/bin:/usr/bin:/bin", "PGDATA": "/var/lib/postgresql/data",
                   "PGPORT": str(database_port), "LC_ALL": "C.UTF-8", "POSTGRES_PASSWORD": "a b'c",
                   "STRIPE_WEBHOOK_SECRET": SECRET, "PG_BILLING_LISTEN": f"127.0.0.1:{port}"}
    log_path = bare.directory / "container.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen([CHROOT, bare.directory, "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                                    "start-pg_billing"], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            assert process.poll() is None and time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.3)
        answer = Sender(f"http://127.0.0.1:{port}/stripe/webhook", SECRET).post(EVENT)
        assert answer.status == 200, answer.body
        query = "SELECT get_user_subscription_state('user_1') ->> 'state', count(*) FROM cron.job"
        told = bare.shell(f"""psql -p {database_port} -U postgres -d app -Atc "{query}" """, user="postgres").stdout.strip()
        assert re.fullmatch(r"active\|[1-9]\d*", told), told
        # Over TCP with the password alone.
        host = f"host=127.0.0.1 port={database_port} dbname=app user=postgres"
        assert bare.shell(f"""PGPASSWORD="a b'c" psql -Atc 'SELECT 1' "{host}" """, user="postgres").stdout == "1\n"
        assert bare.shell(f"""PGPASSWORD=wrong psql -Atc 'SELECT 1' "{host}" """, user="postgres", check=False).returncode != 0
        assert bare.shell("stat -c %a /var/run/postgresql/worker.conf").stdout == "600\n"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@needs_root
def test_removing_and_purging_leaves_the_databases(bare):
    bare.shell("apt-get -qq remove -y pg-billing-worker")
    assert (bare.directory / "etc/pg_billing/worker.conf").exists()
    bare.shell("apt-get -qq purge -y pg-billing-worker")
    assert not (bare.directory / "etc/pg_billing").exists()


def test_compose_file_and_metadata():
    folder = ROOT / "packaging" / "container"
    if shutil.which("docker-compose"):
        environment = {**os.environ, "POSTGRES_PASSWORD": "x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
        run = subprocess.run(["docker-compose", "-f", folder / "compose.yaml", "--profile", "stripe", "config"],
                             capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        assert "listen --forward-to http://billing:8480/stripe/webhook" in run.stdout
    copied = re.findall(r"^COPY (?:--from=\S+ )?(\S+)", (folder / "Containerfile").read_text(), re.M)
    assert all(path in (".", "/packages") or (ROOT / path).exists() for path in copied), copied
    subprocess.run(["sh", "-n", folder / "start"], check=True)
    meta = json.loads((ROOT / "META.json").read_text())
    control = (ROOT / "extension" / "pg_billing.control").read_text()
    assert f"default_version = '{meta['version']}'" in control
    provided = meta["provides"]["pg_billing"]
    assert provided["version"] == meta["version"] and all((ROOT / provided[name]).exists() for name in ("file", "docfile"))
    assert {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"} <= set(meta)
