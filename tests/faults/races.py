"""Many requests at once for the same voucher, limit, budget or key."""

from collections.abc import Sequence

from tests.faults.ledger import Intent, intent
from tests.faults.run import Run, email
from tests.faults.scenarios import scenario

redeemers = 200


def for_each_code(codes: Sequence[str]) -> list[Intent]:
    """Return the intents of all redeemers of each code: every second one has a key."""
    return [intent(code, email, number) for code in codes for number in range(redeemers)]


@scenario("one-code", control="recheck")
def one_code(run: Run) -> None:
    """200 redeemers race for each code, which allows one use, or 50."""
    run.postgres()
    port = run.gunicorn(threads=16).port
    race(run, port)


def race(run: Run, port: int) -> None:
    """Let 200 redeemers race for each of some codes, and judge."""
    rounds = run.times(25)
    single = run.vouchers(rounds)
    many = run.vouchers(rounds, uses=50, first=10_001)
    for code in (*single, *many):
        run.redeem_all(port, for_each_code([code]), members=redeemers)
    taken = len(run.ledger.acknowledged())
    if taken < 51 * rounds:
        run.breaches.append(f"{51 * rounds - taken} uses were refused though they were left")
    run.judge()
