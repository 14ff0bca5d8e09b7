"""Rows that are added and never changed: the database itself refuses everything else."""

from __future__ import annotations

from alembic import op

_POSTGRES = (
    "CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'rows of {table} are added and never changed'; END $$",
    "CREATE TRIGGER {table}_keeps_rows BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION {table}_is_append_only()",
    "CREATE TRIGGER {table}_keeps_all BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()",
)
_SQLITE = tuple(
    f"CREATE TRIGGER {{table}}_refuses_{word.lower()} BEFORE {word} ON {{table}} "
    "BEGIN SELECT RAISE(ABORT, 'rows of {table} are added and never changed'); END"
    for word in ("UPDATE", "DELETE")
)


def append_only(table: str) -> None:
    """Have the database refuse to change or delete rows of a table."""
    statements = _POSTGRES if op.get_bind().dialect.name == "postgresql" else _SQLITE
    for statement in statements:
        op.execute(statement.format(table=table))
