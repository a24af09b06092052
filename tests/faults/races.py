"""Many requests at once for the same voucher, limit, budget or key."""

from collections.abc import Sequence

from tests.faults import between
from tests.faults.ledger import Intent, intent, of_codes
from tests.faults.run import Run
from tests.faults.scenarios import scenario

redeemers = 200


def for_each_code(codes: Sequence[str]) -> list[Intent]:
    """Return the intents of all redeemers of each code: every second one has a key."""
    return [intent(code, number) for code in codes for number in range(redeemers)]


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
    run.expect("uses", run.acknowledged, 51 * rounds)
    run.judge()


@scenario("one-code-slow", control="recheck")
def one_code_slow(run: Run) -> None:
    """The same, with 10 ms on each way between gunicorn and PostgreSQL."""
    url = between.slow(run, run.postgres(), seconds=0.01)
    race(run, run.gunicorn(threads=16, url=url).port)


@scenario("one-code-pgbouncer", control="recheck")
def one_code_pgbouncer(run: Run) -> None:
    """The same, through pgbouncer, whose 8 connections serve one transaction after the other."""
    url = between.pgbouncer(run, run.postgres())
    race(run, run.gunicorn(threads=16, url=url, VOUCHERPOOL_TIMEOUTS="role").port)


@scenario("customer-limit", control="customer lock")
def customer_limit(run: Run) -> None:
    """200 requests of a customer race for 200 vouchers of an offer that allows each customer 7."""
    run.postgres()
    port = run.gunicorn(threads=16).port
    for number in range(1, run.times(25, least=3) + 1):
        codes = run.vouchers(redeemers, first=1000 * number)
        run.change_offer(port, max_redemptions_per_customer=7 * number)
        run.redeem_all(port, of_codes(codes), members=redeemers)
        run.expect("redemptions of the customer", run.acknowledged, 7 * number)
    run.judge()


@scenario("budget", control="budget lock")
def budget(run: Run) -> None:
    """200 requests race for what is left of an offer's budget: 9 redemptions, then 20.00 EUR."""
    run.postgres()
    port = run.gunicorn(threads=16).port
    for number in range(1, run.times(25, least=3) + 1):
        codes = run.vouchers(redeemers, first=1000 * number)
        run.sql("UPDATE offers SET discount = 50, currency = 'EUR'")
        taken = run.acknowledged
        money = {"max_redemptions": None, "max_discount_total": 2 * taken + 20}
        uses = {"max_redemptions": taken + 9, "max_discount_total": None}
        run.change_offer(port, **(uses if number % 2 else money))
        order = {"order_amount": 4, "currency": "EUR"}
        run.redeem_all(port, of_codes(codes, **order), members=redeemers)
        run.expect("redemptions of the offer", run.acknowledged - taken, 9 if number % 2 else 10)
    run.judge()


@scenario("one-key", control="keys")
def one_key(run: Run) -> None:
    """50 senders share each Idempotency-Key, for a voucher that allows as many uses."""
    send_twins(run, 1)


@scenario("one-order", control="orders")
def one_order(run: Run) -> None:
    """50 senders share each order_ref, for a voucher that allows as many uses."""
    send_twins(run, 0)


def send_twins(run: Run, number: int) -> None:
    """Let 50 senders share each of some intents; an odd number stands for a key."""
    run.postgres()
    port = run.gunicorn(threads=16).port
    codes = run.vouchers(run.times(100), uses=50)
    for code in codes:
        run.redeem_all(port, [intent(code, number)] * 50, members=50)
    run.expect("redemptions", run.acknowledged, len(codes))
    run.judge()
