"""A receiver of webhooks."""

from collections.abc import Iterator

import pytest

from tests.notifications.webhooks.receiving import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    with receiving() as receiver:
        yield receiver
