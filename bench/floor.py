"""The lower limit of redeeming and generating: bare Flask, psycopg2 and the same statements."""

import os
import secrets
import threading
from typing import Any

import psycopg2
from flask import Flask, request

from voucherpool.config.settings import Config
from voucherpool.vouchers.checkout.redeem_sql import Redeemed
from voucherpool.vouchers.checkout.redeeming import redeem_short
from voucherpool.vouchers.issuing import Issued, issue_one

app = Flask(__name__)
config = Config.from_environment(os.environ)
address = config.database_url.set(drivername="postgresql").render_as_string(hide_password=False)
of_thread = threading.local()
no_order = dict.fromkeys(
    ("order_ref", "order_amount", "order_currency", "order_decimals", "metadata")
)
no_options = {"max_redemptions": 1, "freeze": False, "notify": False, "is_chosen": None}


def cursor() -> Any:
    """Return the thread's cursor; its connection has prepared the statements."""
    if not hasattr(of_thread, "cursor"):
        connection = psycopg2.connect(address, **config.connection_settings())
        connection.autocommit = True
        of_thread.cursor = connection.cursor()
        for statement in (redeem_short, issue_one):
            of_thread.cursor.execute(statement.preparation)
    return of_thread.cursor


@app.post("/vouchers/validate")
def redeem() -> tuple[dict[str, Any], int]:
    """Redeem the voucher."""
    body = request.get_json(force=True)
    values = {"key": body["code"], "email": body["email"]} | no_order
    found = cursor()
    found.execute(redeem_short.execution, values)
    redeemed = Redeemed(*found.fetchone())
    return {
        "redemption_id": redeemed.id,
        "redeemed_at": redeemed.redeemed_at.isoformat(),
        "discount": float(redeemed.discount),
        "discount_type": redeemed.discount_type,
    }, 201


@app.post("/vouchers/generate")
def generate() -> tuple[dict[str, Any], int]:
    """Issue a voucher."""
    body = request.get_json(force=True)
    code = secrets.token_hex(8).upper()
    terms = {name: body[name] for name in ("email", "offer_name", "discount")}
    values = {"code": code, "key": code, "expires_at": body["expiry"], **terms, **no_options}
    found = cursor()
    found.execute(issue_one.execution, values)
    return {"code": Issued(*found.fetchone()).code}, 201
