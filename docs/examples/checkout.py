"""A checkout in Python: issue two vouchers, check one, redeem both. Needs nothing but Python.

VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… python3 checkout.py
"""

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
import uuid

url = os.environ.get("VOUCHERPOOL_URL", "http://127.0.0.1:5000")
key = os.environ.get("VOUCHERPOOL_KEY")  # `make run` needs none
timeout_seconds, attempts = 5, 4

# What to tell the customer. A repeat of the request would be refused again.
messages = {
    "voucher_not_found": "We do not know this code. Please check its spelling.",
    "customer_not_found": "We do not know this code. Please check its spelling.",
    "voucher_already_redeemed": "This voucher has been used.",
    "redemption_limit_reached": "This voucher has been used as often as it may be.",
    "customer_limit_reached": "You have used this offer as often as you may.",
    "voucher_expired": "This voucher has expired.",
    "voucher_disabled": "This voucher has been stopped. Please ask our support.",
    "offer_budget_exhausted": "This offer is used up, or too small for this order.",
    "voucher_not_started": "This voucher is not valid yet.",
    "offer_not_active": "This offer has not begun, or is over.",
    "voucher_held": "This voucher is in use. Please try again in some minutes.",
    "order_below_minimum": "This voucher needs a larger order.",
    "currency_mismatch": "This voucher is for another currency.",
    "too_many_failed_attempts": "We cannot check codes just now. Please try again in a minute.",
}


class Refused(Exception):
    """The service refused the request; `code` says why, and never changes."""

    def __init__(self, problem: dict) -> None:
        super().__init__(problem["detail"])
        self.code = problem["code"]


def call(path: str, body: dict, *, idempotency_key: str | None = None) -> dict:
    """Send a request, and repeat it while the service does not answer or cannot serve.

    A repeat is safe if it changes nothing, or has an Idempotency-Key.
    """
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    for attempt in range(attempts):
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise Refused(json.load(error)) from error
            failure, pause = error, float(error.headers.get("Retry-After", 1))
        except OSError as error:  # no connection, or no answer in time
            failure, pause = error, 0.2 * 2**attempt
        time.sleep(pause)
    raise failure


def main() -> None:
    """Issue two vouchers, and take them at a checkout."""
    email = "customer1@gmail.com"  # one of the seeds
    expiry = "2099-12-31T23:59:59+01:00"
    terms = {"email": email, "offer_name": "KOI", "discount": 22.1, "expiry": expiry}
    code, second = (
        call("/vouchers/generate", terms, idempotency_key=str(uuid.uuid4()))["code"]
        for _ in range(2)
    )

    # Amounts are in major units: 59.9 is 59 euros and 90 cents.
    order = {"code": code, "email": email, "order_amount": 59.9, "currency": "EUR"}

    # Who typed the code: their wrong codes count for them alone (docs/operations.md, "Guessing").
    address = "203.0.113.7"
    order["client_ref"] = hashlib.sha256(address.encode()).hexdigest()

    checked = call("/vouchers/check", order)
    print(f"{code} takes {checked['discount_amount']} off.")

    # One order, one key: whatever is repeated, the voucher is redeemed once.
    order["order_ref"] = str(uuid.uuid4())
    redeemed = call("/vouchers/redeem", order, idempotency_key=order["order_ref"])
    print(f"Redeemed: {redeemed['discount_amount']} off, redemption {redeemed['redemption_id']}.")

    # A second voucher of the order: the amount is what is left to pay.
    left = round(order["order_amount"] - redeemed["discount_amount"], 2)
    order |= {"code": second, "order_amount": left}
    redeemed = call("/vouchers/redeem", order, idempotency_key=f"{order['order_ref']}-2")
    print(f"Redeemed: {redeemed['discount_amount']} off, redemption {redeemed['redemption_id']}.")

    try:
        call("/vouchers/redeem", {**order, "order_ref": str(uuid.uuid4())})
    except Refused as refused:
        # What is not in the table is a mistake of the shop: log it and tell somebody.
        print(messages.get(refused.code, f"Something went wrong: {refused}"))


if __name__ == "__main__":
    main()
