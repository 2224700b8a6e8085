"""What makes the tables of record append-only, in the database itself, whoever speaks to it.

SQLite runs no delete trigger for the row that `INSERT OR REPLACE` removes, so inserting an existing key is refused
before it happens. Bodies (payloads and documents) may be deleted where a row of `erasures` names them; nothing else
ever may. Dropping a table or a trigger is beyond what a database can refuse to its owner.
"""

from __future__ import annotations

from typing import Literal

Dialect = Literal["sqlite", "postgresql"]

# Tables of record, with the keys that no second row may take, by the migration that made them: a released migration
# guards what it made and never more.
KEYS_BY_VERSION: dict[int, dict[str, tuple[str, ...]]] = {
    1: {
        "submissions": ("id",),
        "documents": ("submission_id",),
        "intents": ("id",),
        "outcomes": ("intent_id",),
        "answers": ("call_hash",),
        "payloads": ("intent_id",),
        "model_versions": ("id",),
        "dead_letters": ("id",),
        "erasures": ("id",),
        "results": ("id", "path"),
        "receipts": ("id",),
    },
    2: {
        "job_changes": ("id",),
        "batches": ("id", "token"),
        "batch_events": ("id",),
    },
}
RECORD_KEYS = {table: keys for made in KEYS_BY_VERSION.values() for table, keys in made.items()}
MESSAGE = "is append-only"

# Rows that may be deleted once an erasure names what they belong to.
_ERASABLE = {
    "payloads": (
        "EXISTS (SELECT 1 FROM erasures JOIN intents ON erasures.reference = intents.call_hash"
        " WHERE erasures.kind = 'call' AND intents.id = OLD.intent_id)"
    ),
    "documents": (
        "EXISTS (SELECT 1 FROM erasures JOIN submissions ON erasures.reference = submissions.job_hash"
        " WHERE erasures.kind = 'job' AND submissions.id = OLD.submission_id)"
    ),
}


def guards(dialect: Dialect, *, version: int) -> tuple[str, ...]:
    """The statements that create the triggers of the tables of record which migration `version` makes."""
    make = _sqlite_guards if dialect == "sqlite" else _postgresql_guards
    prelude = (_POSTGRESQL_FUNCTION,) if dialect == "postgresql" and version == 1 else ()
    return (*prelude, *(statement for table in KEYS_BY_VERSION[version] for statement in make(table)))


def _sqlite_guards(table: str) -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, 'ledger: {table} {MESSAGE}'); END"
    unless = f" WHEN NOT {_ERASABLE[table]}" if table in _ERASABLE else ""
    taken = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})" for key in RECORD_KEYS[table])
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}{unless} {refuse}",
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {taken} {refuse}",
    ]


_POSTGRESQL_FUNCTION = f"""
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE restrict_violation USING MESSAGE = 'ledger: ' || TG_TABLE_NAME || ' {MESSAGE}';
END $$
""".strip()


def _postgresql_guards(table: str) -> list[str]:
    refuse = "EXECUTE FUNCTION ledger_refuse()"
    always = f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR TRUNCATE ON {table} FOR EACH STATEMENT {refuse}"
    delete = f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}"
    if table not in _ERASABLE:
        return [always, f"{delete} FOR EACH STATEMENT {refuse}"]
    # A trigger's WHEN cannot look into other tables on PostgreSQL, so the rule is in a function of its own.
    function = (
        f"CREATE FUNCTION {table}_refuse_unless_erased() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        f"BEGIN\n    IF {_ERASABLE[table]} THEN RETURN OLD; END IF;\n"
        f"    RAISE restrict_violation USING MESSAGE = 'ledger: {table} {MESSAGE}';\nEND $$"
    )
    return [always, function, f"{delete} FOR EACH ROW EXECUTE FUNCTION {table}_refuse_unless_erased()"]
