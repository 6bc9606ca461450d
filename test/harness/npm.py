"""Packages of JavaScript that tests use: fetched from the package registry, never kept."""
import shutil
import subprocess

import pytest


def npm_package(directory, name):
    """Installs a package below the directory. Skips the test where there is no registry."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.fail("node and npm are missing: run scripts/install-deps")
    install = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--no-package-lock", name],
                             cwd=directory, capture_output=True, text=True, timeout=300)
    if install.returncode:
        pytest.skip(f"the package {name} can't be had here: {install.stderr[-300:]}")
    return directory / "node_modules" / name
