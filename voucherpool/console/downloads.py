"""Files that pages send."""

from collections.abc import Callable

from flask import Response

from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction
from voucherpool.http.files import transfers


def sent(write: Callable[[], Response]) -> Response:
    """Return the file that is written in a transaction; as in the API, few are sent at once."""
    db.session.remove()  # the page has looked for its user
    with transfers.place() as leaving:
        with long_transaction():
            response = write()
        transfers.leave_when_sent(response, leaving)
    return response
