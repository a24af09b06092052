"""The guards that a control switches off, from outside of the product's code.

gunicorn serves what `create_app` of this module returns, and `python -m tests.faults.guards` is `voucherpool`. Where
FAULTS_GUARD_OFF names a guard, its hook runs before the application is made.
"""

import os
from collections.abc import Callable

from voucherpool import create_app as create_app
from voucherpool.__main__ import main
from voucherpool.database import statements
from voucherpool.database.statements import Statement
from voucherpool.vouchers import redeem_sql, redeeming, rules

hooks: dict[str, Callable[[], None]] = {}
sql: dict[str, tuple[str, ...]] = {}
"""Statements by the guard that they take away in the database."""


def guard(name: str, *statements: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the hook that switches off a guard, and the statements that do so in the database."""

    def register(hook: Callable[[], None]) -> Callable[[], None]:
        hooks[name], sql[name] = hook, statements
        return hook

    return register


def rewrite(statement: Statement, text: str) -> None:
    """Let a prepared statement have another text."""
    statements.names.discard(statement.name)
    changed = Statement(statement.name, statement._row, text, statement._types)
    vars(statement).update(vars(changed))


seen = """(SELECT seen.redemption_count < seen.max_redemptions FROM vouchers AS seen
    WHERE seen.code_key = vouchers.code_key)"""


@guard("recheck", "ALTER TABLE vouchers DROP CONSTRAINT vouchers_uses_check")
def check_uses_before_the_lock() -> None:
    """Count the uses as they were before the row's lock, like a SELECT before the UPDATE."""
    text = redeem_sql.redeem_short.replace(rules._has_uses_left, seen)
    rewrite(redeeming.redeem_short, text)


if off := os.environ.get("FAULTS_GUARD_OFF"):
    hooks[off]()

if __name__ == "__main__":
    main(prog_name="voucherpool")
