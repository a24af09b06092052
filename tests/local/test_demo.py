"""`voucherpool demo`."""

from pathlib import Path
from tempfile import gettempdir

from tests.patience import most_seconds


def test_it_shows_the_life_of_a_voucher_and_leaves_nothing(voucherpool):
    process = voucherpool("demo")
    shown, errors = process.communicate(timeout=most_seconds)
    assert (process.returncode, errors) == (0, "")
    assert [line.split()[0] for line in shown.splitlines() if line[:5].strip()[:3].isdigit()] == [
        *("202", "200", "201", "200", "404", "201", "201", "409", "200")
    ]
    redeemed = [line for line in shown.splitlines() if "redemption_id" in line]
    assert len(redeemed) == 2
    assert redeemed[0] == redeemed[1]
    assert '"issued": 1000, "claimed": 1, "redeemed": 1' in shown
    assert list(Path(gettempdir()).glob("voucherpool-demo-*")) == []
