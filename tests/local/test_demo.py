"""`voucherpool demo`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.patience import most_seconds


@pytest.fixture
def temporary():
    """Return a folder for the demo's data: short enough for a socket, and open to its user."""
    with TemporaryDirectory(prefix="voucherpool-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_it_shows_the_life_of_a_voucher_and_leaves_nothing(voucherpool, temporary):
    process = voucherpool("demo", TMPDIR=str(temporary))
    shown, errors = process.communicate(timeout=most_seconds)
    assert (process.returncode, errors) == (0, "")
    assert [line.split()[0] for line in shown.splitlines() if line[:5].strip()[:3].isdigit()] == [
        *("202", "200", "201", "200", "404", "201", "201", "409", "200")
    ]
    redeemed = [line for line in shown.splitlines() if "redemption_id" in line]
    assert len(redeemed) == 2
    assert redeemed[0] == redeemed[1]
    assert '"issued": 1000, "claimed": 1, "redeemed": 1' in shown
    assert list(temporary.iterdir()) == []
