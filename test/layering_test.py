"""The rules of docs/architecture.md about what may know what, and about install scripts: read from the sources."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = (".cpp", ".hpp")
STANDARD = re.compile(r"[a-z_0-9]+(\.h)?")  # <vector>, <cmath>, <time.h>


def files(directory, *suffixes):
    return sorted(path for path in (ROOT / directory).rglob("*") if path.suffix in suffixes and path.is_file())


def includes(path):
    """(line number, bracket, name) of each #include."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]


def offences(directory, allowed):
    found = [f"{path.relative_to(ROOT)}:{number}: {name}" for path in files(directory, *SOURCES)
             for number, bracket, name in includes(path) if not allowed(path, bracket, name)]
    assert not found, "\n".join(found)


def mentions(paths, pattern):
    expression = re.compile(pattern)
    return [f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for path in paths
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1) if expression.search(line)]


def test_core_includes_neither_postgresql_nor_libpq_nor_sockets():
    io = {"sys/socket.h", "unistd.h", "fcntl.h", "netdb.h", "poll.h", "fstream", "iostream", "thread", "filesystem"}

    def allowed(_, bracket, name):
        if bracket == '"':
            return name.startswith("core/")
        return name not in io and (STANDARD.fullmatch(name) or re.match(r"(nlohmann|openssl)/|simdjson\.h$", name))

    assert files("extension/core", *SOURCES)
    offences("extension/core", allowed)


def test_postgresql_headers_come_through_one_prelude():
    def allowed(path, bracket, name):
        if path.name == "prelude.hpp":
            return True
        if bracket == '"':
            return (ROOT / "extension" / name).exists() or (path.parent / name).exists()
        return "/" not in name or re.match(r"(nlohmann|openssl|sys)/", name)

    offences("extension", allowed)


def test_pg_knows_no_stripe_word_and_no_rule():
    words = r"(?i)\bstripe_[a-z]|\bstripe's|subscription|invoice|customer|webhook|checkout|entitlement|refund|dispute|trial"
    found = mentions(files("extension/pg", *SOURCES), words)
    assert files("extension/pg", *SOURCES) and not found, "\n".join(found)
    data = ("core/json_fwd.hpp", "core/json_tree.hpp")  # the type of a document, which has no rules
    offences("extension/pg", lambda path, bracket, name: bracket == "<" or name.startswith("pg/") or name in data
             or path.name == "prelude.hpp")


def test_worker_includes_only_core_of_the_extension():
    def allowed(_, bracket, name):
        if bracket == '"':
            return name.startswith(("worker/", "core/"))
        return name == "libpq-fe.h" or STANDARD.fullmatch(name) or re.match(r"(boost|curl|nlohmann|openssl|sys|net)/", name) \
            or name in ("netinet/in.h", "netinet/tcp.h", "arpa/inet.h")

    assert files("worker", *SOURCES)
    offences("worker", allowed)


def test_files_are_short():
    paths = [*files("extension", *SOURCES), *files("worker", *SOURCES), *files("sql", ".sql"),
             *files("test", ".py", ".cpp", ".hpp")]
    long = [f"{path.relative_to(ROOT)}: {count} lines" for path in paths
            if (count := len(path.read_text().splitlines())) > (119 if path.name == "main.cpp" else 400)]
    assert not long, "\n".join(long)


# Install scripts.

def statements(path):
    """(line number, text) of each statement: split at semicolons outside strings, comments and dollar quotes."""
    text = path.read_text()
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(\$\w*\$).*?\1|;", re.S)
    start = 0
    for match in token.finditer(text):
        if match[0] == ";":
            yield text.count("\n", 0, start) + 1, text[start:match.end()].strip()
            start = match.end()
    assert not re.sub(r"--[^\n]*", "", text[start:]).strip(), f"{path.name}: the last statement has no semicolon"


def bare(statement):
    """The statement without comments and without function bodies."""
    return re.sub(r"--[^\n]*|(\$\w*\$).*?\1", "", statement, flags=re.S)


@pytest.fixture(scope="module")
def install_statements():
    found = [(f"{path.relative_to(ROOT)}:{number}", statement) for path in sorted((ROOT / "sql").glob("*.sql"))
             for number, statement in statements(path)]
    assert found
    return found


def test_install_scripts_use_plain_create_and_insert_no_rows(install_statements):
    """CREATE OR REPLACE and IF NOT EXISTS adopt what a stranger left there."""
    found = [place for place, statement in install_statements
             if re.search(r"(?i)\bor\s+replace\b|\bif\s+not\s+exists\b|^\s*(insert|update|delete|copy)\b",
                          bare(statement))]
    assert not found, found


def test_functions_say_what_they_are(install_statements):
    """Volatility and parallel safety are stated, and each function has a comment."""
    created, commented, wrong = {}, set(), []
    for place, statement in install_statements:
        text = bare(statement)
        if match := re.search(r"(?i)create\s+function\s+([\w.@]+)", text):
            created[match[1]] = place
            if not (re.search(r"\b(IMMUTABLE|STABLE|VOLATILE)\b", text) and
                    re.search(r"\bPARALLEL (SAFE|RESTRICTED|UNSAFE)\b", text)):
                wrong.append(place)
        elif match := re.search(r"(?i)comment\s+on\s+function\s+([\w.@]+)", text):
            commented.add(match[1])
    assert created and not wrong, wrong
    assert not set(created) - commented, [created[name] for name in set(created) - commented]


def test_security_definer_pins_the_search_path(install_statements):
    found = [place for place, statement in install_statements if re.search(r"(?i)security\s+definer", bare(statement))
             and not re.search(r"SET search_path = pg_catalog, pg_temp", bare(statement))]
    assert not found, found


def test_errors_carry_an_errcode():
    found = []
    for path in files("extension", *SOURCES):
        text = path.read_text()
        for match in re.finditer(r"ereport\(\s*(ERROR|FATAL)\b", text):
            if "errcode" not in text[match.start():match.start() + 300]:
                found.append(f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}")
    assert not found, found


def test_nothing_is_left_unfinished_or_tied_to_one_machine():
    skipped = {".git", "__pycache__", "node_modules"}
    paths = [path for path in ROOT.rglob("*") if path.is_file() and path != pathlib.Path(__file__).resolve()
             and path.suffix in (".cpp", ".hpp", ".sql", ".py", ".md", ".txt", ".spec", ".pgxs", ".control", "")
             and not skipped & set(path.relative_to(ROOT).parts)
             and not path.relative_to(ROOT).parts[0].startswith(("build", "tmp", "results", "output_iso"))
             and "corpus" not in path.parts]
    found = mentions(paths, r"\b(TODO|FIXME|XXX|HACK)\b|\bnot implemented\b|(^|[\s\"'=])/(work|farm)/|registry\.npm")
    assert not found, "\n".join(found)
