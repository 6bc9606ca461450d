"""A throw-away PostgreSQL cluster with pg_cron and pg_billing preloaded.

As a command it runs another command against one:  cluster.py [--setting NAME=VALUE]... COMMAND [ARGUMENT]...
"""
import atexit
import functools
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psycopg2
import psycopg2.extensions

SETTINGS = {
    "listen_addresses": "",  # clients come through the socket, so that no port is ever taken
    "shared_preload_libraries": "pg_cron,pg_billing",
    "cron.database_name": "postgres",
    "cron.use_background_workers": "on",
    "max_connections": "100",
    "max_worker_processes": "20",
    "max_prepared_transactions": "5",
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "timezone": "UTC",
}
UNSAFE_BUT_FAST = {"fsync": "off", "full_page_writes": "off"}


@functools.lru_cache
def pg_config(option):
    """What pg_config says: of the installation that PG_CONFIG names, else of the newest one with headers."""
    program = os.environ.get("PG_CONFIG")
    if not program:
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_config"), key=lambda p: int(p.parts[4]))
        program = found[-1] if found else "pg_config"
    return subprocess.check_output([program, option], text=True).strip()


def program(name):
    return os.path.join(pg_config("--bindir"), name)


def as_server_user(command, death_signal=None):
    """The command as the user that may run a server: servers refuse root."""
    prefix = ["setpriv"]
    if os.geteuid() == 0:
        prefix += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    if death_signal:
        prefix += [f"--pdeathsig={death_signal}"]
    return (prefix if len(prefix) > 1 else []) + [str(part) for part in command]


class Cluster:
    """One server in a directory of its own. Ends with the process that started it, unless `keep` is true."""

    def __init__(self, *, fsync=False, settings=None, keep=False, locale="C.UTF-8", base=None):
        self.keep = keep
        self.user = "postgres"
        self.process = None
        self.standbys = []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pg_billing-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.data = self.directory / "data"
        self.log_file = self.directory / "server.log"
        self._own(self.directory)
        atexit.register(self.destroy)
        self.settings = {**SETTINGS, **({} if fsync else UNSAFE_BUT_FAST)}
        if base:
            self.settings = dict(base.settings)
            self._run(program("pg_basebackup"), "-h", base.socket_directory, "-U", base.user, "-D", self.data,
                      "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
        else:
            self._run(program("initdb"), "-D", self.data, "--no-sync", "-A", "trust", "-U", self.user, "-E", "UTF8",
                      f"--locale={locale}", "--no-instructions")
        self.settings.update(settings or {})
        self.settings["unix_socket_directories"] = str(self.directory)
        self.write_settings()

    # Files and commands.

    def _own(self, path):
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(path, account.pw_uid, account.pw_gid)

    def _run(self, *command):
        result = subprocess.run(as_server_user(command), cwd="/", capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"{os.path.basename(str(command[0]))} failed:\n{result.stdout}{result.stderr}")

    def write_settings(self, **changes):
        """Takes effect at the next start, or at reload() where the setting allows it. Names may use __ for a dot."""
        self.settings.update({name.replace("__", "."): str(value) for name, value in changes.items()})
        path = self.data / "postgresql.auto.conf"
        kept = [line for line in path.read_text().splitlines() if line.startswith("primary_conninfo")]
        lines = [f"{name} = '{value}'" for name, value in self.settings.items()]
        path.write_text("\n".join(kept + lines) + "\n")
        self._own(path)

    @property
    def socket_directory(self):
        return str(self.directory)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # Life.

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, timeout=60):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                as_server_user([program("postgres"), "-D", self.data], None if self.keep else "INT"),
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.connect("postgres").close()
                return self
            except psycopg2.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server does not start: {error}\n{self.log()[-4000:]}") from None
                time.sleep(0.05)

    def stop(self, mode="fast", timeout=60):
        if self.running():
            number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            self.process.send_signal(number)
            self.process.wait(timeout)

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def kill9(self):
        """kill -9 of the postmaster; returns once its children are gone too."""
        children = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True).stdout.split()
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{child}") for child in children):
            if time.monotonic() > deadline:
                raise TimeoutError(f"children {children} outlive the killed postmaster")
            time.sleep(0.02)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def destroy(self):
        if self.keep and self.running():
            return
        for standby in self.standbys:
            standby.destroy()
        try:
            self.stop("immediate", timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.destroy)

    __enter__ = start

    def __exit__(self, *_):
        self.destroy()

    def create_standby(self):
        """A hot standby of this server, streaming, started."""
        standby = Cluster(base=self)
        (standby.data / "standby.signal").touch()
        self.standbys.append(standby)
        return standby.start()

    def wait_for_replay(self, standby, timeout=30):
        with self.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn()")
            (target,) = cursor.fetchone()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with standby.connect("postgres") as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s", (target,))
                if cursor.fetchone()[0]:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"the standby has not replayed {target}")

    # Databases and connections.

    def connect(self, database="postgres", user=None, autocommit=True, **options):
        connection = psycopg2.connect(host=self.socket_directory, dbname=database, user=user or self.user, **options)
        connection.autocommit = autocommit
        return connection

    def url(self, database, user=None):
        return f"postgresql:///{database}?host={self.socket_directory}&user={user or self.user}"

    def environment(self):
        return {"PGHOST": self.socket_directory, "PGUSER": self.user, "PGPORT": "5432",
                "PG_CONFIG": program("pg_config")}

    def execute(self, statement, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def create_database(self, name, *, encoding="UTF8", template="template0"):
        locale = " LC_COLLATE 'C' LC_CTYPE 'C'" if template == "template0" and encoding != "UTF8" else ""
        encoding = f" ENCODING '{encoding}'" if template == "template0" else ""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{encoding}{locale}')
        return name

    def drop_database(self, name):
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create_extension(self, database, schema="public"):
        self.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE EXTENSION pg_billing SCHEMA "{schema}"', database)

    def psql(self, database, *arguments, check=True, text_input=None):
        """Runs psql; returns what it printed."""
        result = subprocess.run(
            [program("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-d", database, *arguments], input=text_input,
            env={**os.environ, **self.environment()}, capture_output=True, text=True)
        if check and result.returncode:
            raise RuntimeError(f"psql {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
        return result.stdout


def main(arguments):
    settings = {}
    while arguments and arguments[0] == "--setting":
        name, _, value = arguments[1].partition("=")
        settings[name] = value
        arguments = arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with Cluster(settings=settings) as cluster:
        return subprocess.run(arguments, env={**os.environ, **cluster.environment()}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
