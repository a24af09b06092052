"""Counts an offer's issued and claimed vouchers by day."""

from voucherpool.database.statements import Statement

slots = 16


today = f"current_date, pg_backend_pid() % {slots}"
"""The day, in the connection's time zone, and the slot of a count."""


def add_to_counts(column: str, counts: str) -> str:
    """Return the SQL that adds the rows (offer_id, day, slot, number) of the SQL `counts`.

    It locks a row that others write too, so it comes last. `column` is `issued` or `claimed`.
    """
    return f"""
        INSERT INTO offer_counts (offer_id, day, slot, {column})
        {counts}
        ON CONFLICT (offer_id, day, slot) DO UPDATE
            SET {column} = offer_counts.{column} + excluded.{column}"""


def count_issued(offer_id: int, number: int) -> None:
    """Add to the offer's issued vouchers of today; call it last in a transaction."""
    add_issued.run({"offer_id": offer_id, "number": number})


add_issued = Statement(
    "count_issued",
    tuple,
    add_to_counts("issued", f"VALUES (:offer_id, {today}, :number)"),
    {"offer_id": "bigint", "number": "bigint"},
)
