"""A checkout in Python: issue two vouchers, check one, redeem both.

Needs client/voucherpool_client.py, beside this file or installed.

VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… python3 checkout.py
"""

import hashlib
import os
import uuid
from decimal import Decimal

from voucherpool_client import Client, RedeemRequest, Refused

url = os.environ.get("VOUCHERPOOL_URL", "http://127.0.0.1:5000")
key = os.environ.get("VOUCHERPOOL_KEY")  # `make run` needs none

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


def main() -> None:
    """Issue two vouchers, and take them at a checkout."""
    client = Client(url, key, timeout_seconds=5)
    email = "customer1@gmail.com"  # one of the seeds
    expiry = "2099-12-31T23:59:59+01:00"
    code, second = (
        client.generate_voucher(email=email, offer_name="KOI", discount=22.1, expiry=expiry)["code"]
        for _ in range(2)
    )

    # Amounts are in major units: 59.90 is 59 euros and 90 cents.
    amount = Decimal("59.90")

    # Who typed the code: their wrong codes count for them alone (docs/operations.md, "Guessing").
    address = "203.0.113.7"
    visitor = hashlib.sha256(address.encode()).hexdigest()

    order: RedeemRequest = {
        "code": code,
        "email": email,
        "order_amount": amount,
        "currency": "EUR",
        "client_ref": visitor,
    }
    checked = client.check_voucher(**order)
    print(f"{code} takes {checked['discount_amount']} off.")

    # One order, one key: whatever is repeated, the voucher is redeemed once.
    order["order_ref"] = str(uuid.uuid4())
    redeemed = client.redeem_voucher(**order, idempotency_key=order["order_ref"])
    print(f"Redeemed: {redeemed['discount_amount']} off, redemption {redeemed['redemption_id']}.")

    # A second voucher of the order: the amount is what is left to pay.
    order |= {"code": second, "order_amount": amount - redeemed["discount_amount"]}
    redeemed = client.redeem_voucher(**order, idempotency_key=f"{order['order_ref']}-2")
    print(f"Redeemed: {redeemed['discount_amount']} off, redemption {redeemed['redemption_id']}.")

    order["order_ref"] = str(uuid.uuid4())
    try:
        client.redeem_voucher(**order)
    except Refused as refused:
        # What is not in the table is a mistake of the shop: log it and tell somebody.
        print(messages.get(refused.code, f"Something went wrong: {refused}"))


if __name__ == "__main__":
    main()
