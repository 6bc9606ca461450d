"""A customer's deletion, told twice under two event ids, leaves the same audit entries before and after the link."""
from harness.life import Life


def test_the_deletion_of_a_customer_is_told_the_same_before_and_after_the_link(databases):
    life = Life("ada", start=1_795_000_000, metadata={"user_id": "user_ada"})
    created, subscribed, deleted = life.customer_created(), life.subscribed(), life.customer_deleted()
    again = {**deleted, "id": "evt_again"}
    linked_first, linked_last = databases(), databases()
    for event in (created, subscribed, deleted, again):
        linked_first.process(event)
    for event in (deleted, again, subscribed, created):
        linked_last.process(event)
    assert linked_last.facts() == linked_first.facts()
    assert linked_first.value("SELECT count(*) FROM audit_logs WHERE action = 'customer_deleted'") == 2
