"""`voucherpool demo`."""

import re
import signal
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest

from tests.patience import most_seconds, until

shown_on = {
    "": ("Money given", "Summer sale", "of its budget", "its pool has fewer", "Webhook"),
    "offers/4": ("Budget:", "The printer was late"),
    "customers/11": ("Given back",),
    "redemptions": ("Took off",),
    "activity": ("ana@shop.example", "It stood in a forum"),
    "schedules": ("Birthday of the month", "fails since"),
}


@pytest.fixture
def temporary():
    """Return a folder for the demo's data: short enough for a socket, and open to its user."""
    with TemporaryDirectory(prefix="voucherpool-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def require_the_story(shown):
    """Raise AssertionError unless the demo showed the whole life of a voucher."""
    assert [line.split()[0] for line in shown.splitlines() if line[:5].strip()[:3].isdigit()] == [
        *("202", "200", "201", "200", "404", "201", "201", "409", "200")
    ]
    redeemed = [line for line in shown.splitlines() if "redemption_id" in line]
    assert len(redeemed) == 2
    assert redeemed[0] == redeemed[1]
    assert '"issued": 1000, "claimed": 1, "redeemed": 1' in shown


@pytest.mark.long
def test_the_story_alone_ends_by_itself_and_leaves_nothing(voucherpool, temporary):
    process = voucherpool("demo", "--story", TMPDIR=str(temporary))
    shown, errors = process.communicate(timeout=most_seconds)
    assert (process.returncode, errors) == (0, "")
    require_the_story(shown)
    assert list(temporary.iterdir()) == []


@pytest.mark.long
def test_it_tells_a_story_and_serves_a_shop_that_fills_the_console_until_ctrl_c(
    voucherpool, temporary
):
    process = voucherpool("demo", TMPDIR=str(temporary))
    story = "".join(takewhile(lambda line: "A shop that" not in line, process.stdout))
    require_the_story(story)
    address = next(
        found[0] for line in process.stdout if (found := re.search(r"http://\S+/console/", line))
    )

    def missing(path):
        with urlopen(address + path, timeout=most_seconds) as answer:  # noqa: S310 (of the demo)
            page = answer.read().decode()
        return [word for word in shown_on[path] if word not in page]

    until(lambda: not missing(""))  # the worker finds out that the webhook fails
    assert {path: missing(path) for path in shown_on} == {path: [] for path in shown_on}
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=most_seconds)
    assert (process.returncode, errors) == (0, "")
    assert "Stopped." in rest
    assert list(temporary.iterdir()) == []
