"""Every file of examples/ runs as it is, wherever the extension is, and a second time without changing anything."""
import pytest

from harness.examples import NAMES, run_example


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_as_it_is_and_again(any_database, name):
    run_example(any_database, name, administrator=True)
    plans, settings = "SELECT {s}.export_plans()", "SELECT name, value FROM {s}.get_billing_settings() ORDER BY 1"
    before = any_database.value(plans), any_database.rows(settings)
    run_example(any_database, name, administrator=True)
    assert (any_database.value(plans), any_database.rows(settings)) == before
