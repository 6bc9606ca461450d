"""pg_cron really runs the jobs. Its shortest period is a minute, so there is one test, and it waits."""
import time

import pytest

from harness.database import Database
from harness.life import Life


@pytest.fixture
def home(cluster):
    database = Database(cluster, "billing", name="postgres")
    database.execute("CREATE EXTENSION IF NOT EXISTS pg_cron")
    database.execute("CREATE SCHEMA IF NOT EXISTS billing; CREATE EXTENSION pg_billing SCHEMA billing")
    yield database
    database.value("SELECT {s}.unschedule_maintenance()")
    database.execute("DROP EXTENSION pg_billing")


def test_pg_cron_cleans_the_cache_and_retries_events(home):
    names = [row["jobname"] for row in home.rows("SELECT * FROM {s}.schedule_maintenance()")]
    assert names[0] == "subscription_cache_cleanup"
    # Twice is once.
    home.rows("SELECT * FROM {s}.schedule_maintenance()")
    jobs = {row["jobname"]: row for row in home.rows("SELECT * FROM cron.job WHERE database = current_database()")}
    assert sorted(jobs) == sorted(names) and jobs["subscription_cache_cleanup"]["schedule"] == "*/10 * * * *"
    # The same job, every minute.
    home.value("SELECT cron.schedule_in_database('subscription_cache_cleanup', '* * * * *', %s, current_database())",
               (jobs["subscription_cache_cleanup"]["command"],))
    # Two users: both jobs start at the same second, and an event whose user is locked waits for the next minute.
    ada, eve = Life("ada"), Life("eve")
    home.process(ada.subscribed(), ada.checkout_completed("user_ada"), eve.checkout_completed("user_eve"))
    home.execute("UPDATE {s}.subscription_cache SET expires_at = now() - interval '1 second' WHERE user_id = 'user_eve'")
    home.execute("UPDATE {s}.stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id = 'evt_ada_01'")
    waiting = time.monotonic() + 75
    while time.monotonic() < waiting:
        history = home.rows("SELECT * FROM {s}.get_cache_cleanup_history(5)")
        unprocessed = home.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed")
        checked = home.value("SELECT count(*) FROM {s}.billing_alert_states")
        if history and checked and unprocessed == 0:
            break
        time.sleep(0.5)
    runs = home.rows("SELECT command, status, return_message FROM cron.job_run_details ORDER BY runid")
    assert history and history[-1]["rows_removed"] == 1, runs
    assert unprocessed == 0, runs
    assert checked > 20, runs
    assert home.value("SELECT {s}.unschedule_maintenance()") == len(names)
    assert home.rows("SELECT * FROM cron.job WHERE database = current_database()") == []
