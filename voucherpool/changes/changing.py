"""Changes the vouchers of changes, page by page.

When a change begins, it keeps the codes of its vouchers in pages. A page is one transaction: it
locks its change, changes its vouchers and raises the counts. A kill at any instant leaves whole
pages, and any number of processes may work at once.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, or_, select, text, update

from voucherpool.changes import terms
from voucherpool.changes.models import Change, ChangeVouchers
from voucherpool.database.model import db
from voucherpool.database.retries import is_temporary
from voucherpool.database.transactions import after_commit
from voucherpool.events import event_types
from voucherpool.vouchers import events

log = logging.getLogger(__name__)

page_size = 1000
"""Few, because a redemption of one of these vouchers waits for all of them."""
this = bindparam("this", type_=BigInteger)


def advance(change_id: int | None = None) -> bool:
    """Change a page of an unfinished change, or of this one; return whether there was one.

    It runs in the caller's transaction. A permanent error makes the change `failed`; raises a
    temporary one, as retries.is_temporary() tells.
    """
    change = db.session.scalars(claim, {"this": change_id}).one_or_none()
    if change is None:
        return False
    try:
        with db.session.begin_nested():
            _advance(change)
    except Exception as error:
        if is_temporary(error):
            raise
        # No other error may stop the next change.
        _fail(change, type(error).__name__)
    return True


def _advance(change: Change) -> None:
    if change.matched is not None:
        _change_page(change)
    elif change.dry_run:
        _count(change)
    else:
        _begin(change)


def _begin(change: Change) -> None:
    """Keep the codes of all vouchers that the change is about."""
    keep = text(keep_pages.format(which=_which(change)))
    of = {"this": change.id, "size": page_size, "of": change.batch_id or change.offer_id}
    _note(change, matched=db.session.scalar(keep, of))


def _count(change: Change) -> None:
    count = text(count_all.format(which=_which(change), differ=terms.differ(change.terms)))
    of = {**_parameters(change, count), "of": change.batch_id or change.offer_id}
    matched, changed = db.session.execute(count, of).one()
    _note(change, matched, changed=changed, skipped=matched - changed)


def _change_page(change: Change) -> None:
    gone = delete(ChangeVouchers).where(
        ChangeVouchers.change_id == change.id, ChangeVouchers.page == change.page
    )
    keys = db.session.scalars(gone.returning(ChangeVouchers.code_keys)).one()
    written: dict[str, list[str]] = {event_types.disabled: [], event_types.changed: []}
    now = db.session.scalar(select(func.now()))
    for voucher in _write(change, keys):
        type_ = event_types.disabled if voucher.disabled_at == now else event_types.changed
        written[type_].append(voucher.code_key)
    for type_, code_keys in written.items():
        if code_keys:
            events.record_many(type_, code_keys)
    changed = sum(map(len, written.values()))
    _note(change, changed=changed, skipped=len(keys) - changed, pages=1)


def _write(change: Change, keys: Sequence[str]) -> Sequence[Any]:
    written = terms.assignments(change.terms)
    new = ", ".join(f"{column} = {value}" for column, (value, _) in written.items())
    condition = f"{terms.chosen[change.chosen]} AND ({terms.differ(change.terms)})"
    write = text(write_page.format(new=new, condition=condition))
    return db.session.execute(write, {**_parameters(change, write), "keys": ",".join(keys)}).all()


def _which(change: Change) -> str:
    column = "offer_id" if change.batch_id is None else "batch_id"
    return f"vouchers.{column} = :of AND {terms.chosen[change.chosen]}"


def _parameters(change: Change, statement: Any) -> dict[str, object]:
    given = {**terms.parameters(change.terms), "timezone": change.timezone}
    return {name: value for name, value in given.items() if name in statement._bindparams}


def _note(
    change: Change,
    matched: int | None = None,
    *,
    changed: int = 0,
    skipped: int = 0,
    pages: int = 0,
) -> None:
    """Add to the change's counts; it is done when all that matched are counted."""
    began, ended = db.session.execute(select(func.now(), func.clock_timestamp())).one()
    change.matched = change.matched if matched is None else matched
    change.changed += changed
    change.skipped += skipped
    change.page += pages
    change.state = "running"
    change.started_at = change.started_at or began
    if change.changed + change.skipped == change.matched:
        change.state, change.finished_at = "done", ended
        done = (change.id, change.changed, change.matched)
        after_commit(partial(log.info, "Change %s is done: %s of %s vouchers.", *done))


def _fail(change: Change, reason: str) -> None:
    db.session.execute(fail, {"this": change.id, "why": reason})
    log.error("Change %s failed: %s", change.id, reason)


# The change with the fewest changed pages first: a small one does not wait for a large one.
claim = (
    select(Change)
    .where(Change.finished_at.is_(None))
    .where(or_(this.is_(None), Change.id == this))
    .order_by(Change.page, Change.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .execution_options(populate_existing=True)
)

# In the order of issue, in which they lie in the table.
keep_pages = """
    WITH kept AS (
        INSERT INTO change_vouchers (change_id, page, code_keys)
        SELECT :this, page, array_agg(code_key) FROM (
            SELECT code_key, (row_number() OVER (ORDER BY issue_number) - 1) / :size AS page
            FROM vouchers WHERE {which}
        ) AS numbered
        GROUP BY page
        RETURNING cardinality(code_keys) AS number
    )
    SELECT coalesce(sum(number), 0)::bigint FROM kept"""

count_all = """
    SELECT count(*), count(*) FILTER (WHERE {differ}) FROM vouchers WHERE {which}"""

# PostgreSQL reads one text faster than a large array; no code has a comma.
write_page = """
    UPDATE vouchers SET {new}
    WHERE code_key = ANY(string_to_array(:keys, ',')) AND {condition}
    RETURNING code_key, disabled_at"""

fail = (
    update(Change.__table__)
    .where(Change.id == this)
    .values(state="failed", error=bindparam("why"), finished_at=func.statement_timestamp())
)
