"""PostgreSQL domains: a domain's rule is checked only when its column is written.

Every UPDATE evaluates a table's CHECKs, whichever columns it writes.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    MetaData,
    Numeric,
    Text,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from voucherpool.database.model import Base


class Domain(TypeDecorator[object]):
    """A named base type with a rule for its values."""

    impl = Text
    cache_ok = True

    def __init__(self, name: str, base: TypeEngine[Any], rule: str) -> None:
        super().__init__()
        self.name, self.impl, self.rule = name, base, rule  # type: ignore[assignment]


class MomentOrNever(Domain):
    """A moment, or None for never: PostgreSQL's infinity, which is later than every moment.

    So it is compared and sorted like any moment, and only its readers see it as NULL.
    """

    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> ColumnElement[object]:
        """Write None as infinity."""
        return func.coalesce(bindvalue, never)

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[object]:
        """Read infinity as None."""
        return func.nullif(column, never, type_=DateTime(timezone=True))


@compiles(Domain, "postgresql")
@compiles(MomentOrNever, "postgresql")
def _name(domain: Domain, *_: object, **__: object) -> str:
    return domain.name


def _at_any_time() -> DateTime:
    return DateTime(timezone=True)


never: ColumnElement[Any] = literal_column("'infinity'::timestamptz")

positive_count = Domain("positive_count", BigInteger(), "VALUE > 0")
positive_amount = Domain("positive_amount", Numeric(), "VALUE > 0")
moment_or_never = MomentOrNever("moment_or_never", _at_any_time(), "VALUE > '-infinity'")
reference = Domain("reference", Text(), "VALUE <> ''")
spelled_code = Domain("spelled_code", Text(), "VALUE ~ '^[ -]*([0-9A-Za-z_.%&@+][ -]*){1,64}$'")
open_holds = Domain(
    "holds", JSONB(none_as_null=True), "jsonb_typeof(VALUE) = 'object' AND VALUE <> '{}'"
)
domains = (positive_count, positive_amount, moment_or_never, reference, spelled_code, open_holds)


@event.listens_for(Base.metadata, "before_create")
def _create(_: MetaData, connection: Any, **__: object) -> None:
    for domain in domains:
        base = domain.impl.compile(connection.dialect)
        rule = f"CONSTRAINT {domain.name}_check CHECK ({domain.rule})"
        connection.execute(text(f"CREATE DOMAIN {domain.name} AS {base} {rule}"))


@event.listens_for(Base.metadata, "after_drop")
def _drop(_: MetaData, connection: Connection, **__: object) -> None:
    for domain in domains:
        connection.execute(text(f"DROP DOMAIN {domain.name}"))
