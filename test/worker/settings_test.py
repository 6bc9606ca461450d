"""The command line: help, settings and their sources, and what is refused at the start."""
import os
import subprocess

import pytest

from harness.stripe import sign
from harness.worker import Worker, binary

SECRETS = {"STRIPE_WEBHOOK_SECRET": "whsec_given"}


def run(*arguments, environment=None, text=""):
    result = subprocess.run([binary(), *arguments], env={"PATH": os.environ["PATH"], **(environment or {})},
                            input=text, capture_output=True, text=True, timeout=20)
    return result.returncode, result.stdout, result.stderr


def refused(*arguments, **environment):
    """The message of a worker that does not start."""
    code, out, error = run("serve", *arguments, environment=environment)
    assert (code, out) == (2, "")
    assert error.startswith("pg_billing: ") and "\nhint: " in error
    return error


def test_help_lists_every_setting_sorted():
    code, text, error = run("--help")
    assert (code, error) == (0, "")
    names = [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2:3].isupper()]
    assert names == sorted(names) and len(names) > 15
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET",
                 "STRIPE_LIVE_MODE", "PG_BILLING_LISTEN", "PG_BILLING_WEBHOOK_PATHS", "PG_BILLING_SCHEMA",
                 "PG_BILLING_CONNECTIONS"):
        assert name in names
    assert "127.0.0.1:8480" in text and "SIGHUP" in text and max(map(len, text.splitlines())) <= 110
    for arguments in (["serve", "--help"], ["-h"], ["help"]):
        assert run(*arguments)[:2] == (0, text)
    # Secrets are no flags: flags show in the process list.
    assert "--webhook-secret" not in text and "--secret-key" not in text


def test_version():
    code, text, _ = run("--version")
    assert code == 0 and text.startswith("pg_billing 0.1.")


@pytest.mark.parametrize("arguments, hint", [
    (["serv"], "did you mean serve?"), (["serve", "--lisen", "x"], "did you mean --listen?"),
    (["serve", "--databse-url=x"], "did you mean --database-url?"), (["serve", "--listen"], "--listen VALUE"),
    (["serve", "nonsense"], "--help"), (["--nonsense"], "--help"),
])
def test_what_is_not_known_is_refused_with_a_hint(arguments, hint):
    code, out, error = run(*arguments, environment=SECRETS)
    assert (code, out) == (2, "") and hint in error.partition("hint: ")[2]


def test_no_command_shows_the_usage():
    code, _, error = run()
    assert code == 2 and "pg_billing serve" in error


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_webhook_secret_is_needed(value):
    error = refused(**({} if value is None else {"STRIPE_WEBHOOK_SECRET": value}))
    assert "STRIPE_WEBHOOK_SECRET is not set" in error and "whsec_" in error


@pytest.mark.parametrize("value", ["whsec_hidden part", "whsec_hidden\n", " whsec_hidden", "whsec_a, whsec_hidden",
                                   "whsec_hidden,", ",whsec_hidden", "whsec_a,,whsec_hidden"])
def test_an_unusable_webhook_secret_is_named_and_not_shown(value):
    error = refused(STRIPE_WEBHOOK_SECRET=value)
    assert "STRIPE_WEBHOOK_SECRET" in error and "hidden" not in error


def test_each_path_needs_its_secret():
    error = refused(**SECRETS, PG_BILLING_WEBHOOK_PATHS="/a,/b=SECRET_OF_B")
    assert "SECRET_OF_B is not set" in error
    # Nobody needs a secret that no path uses: it gets as far as the next mistake.
    assert "DATABASE_URL" in refused(PG_BILLING_WEBHOOK_PATHS="/b=SECRET_OF_B", SECRET_OF_B="whsec_b", DATABASE_URL="?")


@pytest.mark.parametrize("paths", ["stripe", "/a b", "/a?b", "/a,/a", "/healthz", "/a=", "/a=whsec_x!", "/a,,/b"])
def test_paths_are_checked(paths):
    error = refused(**SECRETS, PG_BILLING_WEBHOOK_PATHS=paths)
    assert "PG_BILLING_WEBHOOK_PATHS" in error and "whsec_x" not in error


@pytest.mark.parametrize("name, key, live", [
    ("STRIPE_SECRET_KEY", "sk_live_hidden", "false"), ("STRIPE_SECRET_KEY", "rk_live_hidden", None),
    ("STRIPE_SECRET_KEY", "sk_test_hidden", "true"), ("STRIPE_SECRET_KEY", "rk_test_hidden", "true"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_live_hidden", None), ("STRIPE_PUBLISHABLE_KEY", "pk_test_hidden", "true"),
])
def test_keys_of_the_other_mode_are_refused(name, key, live):
    environment = {**SECRETS, name: key, **({"STRIPE_LIVE_MODE": live} if live else {})}
    error = refused(**environment)
    assert name in error and "STRIPE_LIVE_MODE" in error and "hidden" not in error


@pytest.mark.parametrize("name, value", [
    ("STRIPE_LIVE_MODE", "yes"), ("PG_BILLING_CONNECTIONS", "1"), ("PG_BILLING_CONNECTIONS", "two"),
    ("PG_BILLING_CONNECTIONS", "99999999999999999999"), ("PG_BILLING_MAX_BODY", "8MB"), ("PG_BILLING_MAX_BODY", "-1"),
    ("PG_BILLING_HEADER_TIMEOUT", "5 fortnights"), ("PG_BILLING_HEADER_TIMEOUT", "0"), ("PG_BILLING_LOG_LEVEL", "loud"),
    ("PG_BILLING_LISTEN", "8480"), ("PG_BILLING_LISTEN", "127.0.0.1:http"), ("PG_BILLING_LISTEN", "127.0.0.1:70000"),
    ("PG_BILLING_LISTEN", "nowhere.invalid:1"), ("PG_BILLING_TLS_CERT", "/nonexistent"),
])
def test_unusable_values_are_named_and_shown(name, value):
    error = refused(**{**SECRETS, name: value})
    assert name in error and (value in error or name == "PG_BILLING_TLS_CERT")


def test_an_unreadable_database_url_is_not_shown():
    for url in ("postgresql://user:hid%zzden@host/db", "host=x password='hidden", "hidden"):
        error = refused(**SECRETS, DATABASE_URL=url)
        assert "DATABASE_URL" in error and "hid" not in error.replace("hint", "")


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_file_with_secrets_must_be_private(tmp_path):
    path = tmp_path / "worker.conf"
    for mode in (0o640, 0o604, 0o620, 0o666):
        error = refused("--config", write(path, "STRIPE_WEBHOOK_SECRET=whsec_hidden\n", mode))
        assert "STRIPE_WEBHOOK_SECRET" in error and f"chmod 600 {path}" in error and "hidden" not in error
    error = refused("--config", write(path, "DATABASE_URL=postgresql://u:hidden@h/d\n", 0o644), **SECRETS)
    assert "DATABASE_URL" in error and "hidden" not in error
    error = refused("--config", write(path, "PG_BILLING_WEBHOOK_PATHS=/a=MINE\nMINE=whsec_hidden\n", 0o644))
    assert "MINE" in error and "hidden" not in error
    # Without a secret anybody may read it: it gets as far as the next mistake.
    assert "PG_BILLING_LISTEN" in refused("--config", write(path, "PG_BILLING_LISTEN=x\n", 0o644), **SECRETS)


@pytest.mark.parametrize("text, complaint", [
    ("PG_BILLING_LISTN=x\n", "did you mean PG_BILLING_LISTEN?"), ("nonsense hidden\n", "line 1 is not NAME=VALUE"),
    ("# fine\n\nBAD NAME=hidden\n", "line 3 is not NAME=VALUE"),
    ("PG_BILLING_LISTEN=x\nPG_BILLING_LISTEN=y\n", "a second time"),
])
def test_mistakes_in_the_file_are_found(tmp_path, text, complaint):
    error = refused("--config", write(tmp_path / "worker.conf", text), **SECRETS)
    assert complaint in error and "hidden" not in error


def test_a_missing_file_is_an_error(tmp_path):
    assert "cannot read" in refused("--config", str(tmp_path / "none"), **SECRETS)
    assert "cannot read" in refused(PG_BILLING_CONFIG=str(tmp_path / "none"), **SECRETS)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    path = write(tmp_path / "worker.conf", "PG_BILLING_LISTEN=of-file\nPG_BILLING_CONNECTIONS=\"4\"\n")
    assert '"of-file"' in refused("--config", path, **SECRETS)
    assert '"of-environment"' in refused("--config", path, **SECRETS, PG_BILLING_LISTEN="of-environment")
    assert '"of-file"' in refused("--config", path, **SECRETS, PG_BILLING_LISTEN=" ")
    assert '"of-flag"' in refused("--config", path, "--listen=of-flag", **SECRETS, PG_BILLING_LISTEN="of-environment")


def test_a_password_on_the_command_line_is_warned_of(database):
    role = database.create_role("billing_worker", "worker")
    worker = Worker("", arguments=["--database-url", database.url(role) + "&password=hidden"])
    with worker:
        assert "process list" in worker.text() and "hidden" not in worker.text()


def test_sign_makes_the_header_that_stripe_would_send():
    code, out, _ = run("sign", "--timestamp", "1767225600", environment={"STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_b"},
                       text='{"id":"evt_1"}\n')
    assert (code, out.strip()) == (0, sign('{"id":"evt_1"}\n', "whsec_a", 1767225600))
    assert run("sign", "--timestamp=5", environment=SECRETS, text="x")[1].strip() == sign("x", "whsec_given", 5)
    for arguments, environment, text in ((["sign"], {}, "x"), (["sign"], SECRETS, ""),
                                         (["sign", "--timestamp"], SECRETS, "x"),
                                         (["sign", "--timestamp", "now"], SECRETS, "x")):
        assert run(*arguments, environment=environment, text=text)[0] == 2
