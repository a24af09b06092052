"""PostgreSQL domains: a domain's rule is checked only when its column is written.

Every UPDATE evaluates a table's CHECKs, whichever columns it writes.
"""

from typing import Any

from sqlalchemy import BigInteger, Connection, DateTime, MetaData, Numeric, Text, event, text
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


@compiles(Domain, "postgresql")
def _name(domain: Domain, *_: object, **__: object) -> str:
    return domain.name


def _at_any_time() -> DateTime:
    return DateTime(timezone=True)


positive_count = Domain("positive_count", BigInteger(), "VALUE > 0")
positive_amount = Domain("positive_amount", Numeric(), "VALUE > 0")
finite_moment = Domain("finite_moment", _at_any_time(), "isfinite(VALUE)")
reference = Domain("reference", Text(), "VALUE <> ''")
spelled_code = Domain("spelled_code", Text(), "VALUE ~ '^[ -]*([0-9A-Za-z][ -]*){4,64}$'")
open_holds = Domain(
    "holds", JSONB(none_as_null=True), "jsonb_typeof(VALUE) = 'object' AND VALUE <> '{}'"
)
domains = (positive_count, positive_amount, finite_moment, reference, spelled_code, open_holds)


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
