"""Files that pages send."""

from collections.abc import Callable, Sequence

from flask import Response

from voucherpool.database.model import AnySelect, db
from voucherpool.database.transactions import long_transaction
from voucherpool.http import attachments, transfers


def csv(name: str, columns: Sequence[str], chosen: Callable[[], AnySelect]) -> Response:
    """Return what the query finds as a file of CSV; as in the API, few are sent at once."""
    db.session.remove()  # the page has looked for its user
    with transfers.place() as leaving:
        with long_transaction():
            response = attachments.csv(name, columns, chosen())
        transfers.leave_when_sent(response, leaving)
    return response
