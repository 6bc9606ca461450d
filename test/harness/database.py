"""A database with the extension in it, as tests look at it."""
import itertools

import psycopg2.extras

from .stripe import payload_of

_numbers = itertools.count(1)


class Database:
    """A fresh database; `schema` is the extension's, None for a database without it."""

    templates = {}  # (cluster, schema) -> name of a template database

    def __init__(self, cluster, schema="public", name=None):
        self.cluster = cluster
        self.schema = schema
        self.name = name or f"test_{next(_numbers)}"
        self._connection = None
        if name is None:
            template = self._template() if schema else "template0"
            cluster.create_database(self.name, template=template)

    def _template(self):
        """CREATE DATABASE from a database with the extension is faster than CREATE EXTENSION."""
        key = (self.cluster, self.schema)
        if key not in self.templates:
            name = self.cluster.create_database(f"template_{self.schema}")
            self.cluster.create_extension(name, self.schema)
            self.templates[key] = name
        return self.templates[key]

    def drop(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.cluster.drop_database(self.name)

    # Connections and queries. "{s}" in a statement becomes the extension's schema.

    def connect(self, user=None, **options):
        return self.cluster.connect(self.name, user=user, **options)

    def url(self, user=None):
        return self.cluster.url(self.name, user)

    @property
    def connection(self):
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def rows(self, statement, parameters=None, connection=None):
        """All rows, as dictionaries."""
        with (connection or self.connection).cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(self._text(statement), parameters)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, statement, parameters=None, connection=None):
        with (connection or self.connection).cursor() as cursor:
            cursor.execute(self._text(statement), parameters)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def execute(self, statement, parameters=None, connection=None):
        with (connection or self.connection).cursor() as cursor:
            cursor.execute(self._text(statement), parameters)
            return cursor.rowcount

    def _text(self, statement):
        return statement.replace("{s}", f'"{self.schema}"') if self.schema else statement

    # What the extension is for.

    def process(self, *events, connection=None):
        """process_stripe_events in one call: [(event id, outcome, error)]."""
        payloads = [payload_of(event) for event in events]
        rows = self.rows("SELECT * FROM {s}.process_stripe_events(%s) ORDER BY ordinal", (payloads,), connection)
        return [(row["stripe_event_id"], row["outcome"], row["error"]) for row in rows]

    def outcomes(self, *events):
        return [outcome for _, outcome, _ in self.process(*events)]

    def state(self, user_id, as_of=None, connection=None):
        return self.value("SELECT {s}.get_user_subscription_state(%s, %s)", (user_id, as_of), connection)

    def grant_since_ever(self):
        """Invoices from before the extension was installed grant credits too."""
        self.execute("SELECT {s}.set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'tests')")
        return self

    def unsound_credits(self):
        return self.rows("SELECT * FROM {s}.verify_credit_ledger()")

    def link(self, user_id, customer_id):
        return self.value("SELECT {s}.link_stripe_customer(%s, %s)", (user_id, customer_id))

    def retry(self, max_rows=100):
        return self.rows("SELECT * FROM {s}.retry_stripe_events(%s)", (max_rows,))

    def create_role(self, name, kind=None):
        """A role that may log in, with what grant_billing_role gives for `kind`. Roles outlive databases."""
        self.execute(f'DO $$ BEGIN CREATE ROLE "{name}" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$')
        if kind:
            self.execute("SELECT {s}.grant_billing_role(%s, %s)", (name, kind))
        return name

    # Comparing databases.

    # What differs between two databases that received the same events: when, by whom, and how often tried.
    VOLATILE = {"created_at", "updated_at", "processed_at", "cached_at", "expires_at", "linked_at", "linked_by",
                "duplicates", "retry_count", "next_retry_at", "endpoint", "generation", "actor", "customer_requested_at", "access_told",
                "access_due_at"}

    # Entries of audit_logs that tell of the tests themselves.
    BY_HAND = {"setting_changed", "billing_state_rebuilt", "event_replayed"}
    # What depends on when a grant was written down, which is when its event came.
    OF_ARRIVAL = {"credit_grants": {"grant_id", "effective_at", "expires_at"}}

    def facts(self, *tables, ignore=frozenset()):
        """{table: rows without what legitimately differs, sorted}: for comparing two databases."""
        def key(row):
            return sorted((name, repr(value)) for name, value in row.items())
        tables = tables or ("stripe_events", "stripe_objects", "stripe_customer_links", "billing_users",
                            "user_subscriptions", "awaited_subscriptions", "trial_usage", "audit_logs", "credit_grants",
                            "payments", "enrollments")
        hidden = self.VOLATILE | set(ignore)
        return {table: sorted(({name: value for name, value in row.items()
                                if name not in hidden | self.OF_ARRIVAL.get(table, set())}
                               for row in self.rows(f"SELECT * FROM {{s}}.{table}")
                               if row.get("action") not in self.BY_HAND), key=key)
                for table in tables}
