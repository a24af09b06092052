"""The lower limit of a redemption: bare Flask, psycopg2 and the same prepared statement."""

import os
import threading
from typing import Any

import psycopg2
from flask import Flask, request

from voucherpool.config import Config
from voucherpool.vouchers.redeem_sql import Redeemed
from voucherpool.vouchers.redeeming import redeem_short

app = Flask(__name__)
config = Config.from_environment(os.environ)
address = config.database_url.set(drivername="postgresql").render_as_string(hide_password=False)
of_thread = threading.local()
no_order = dict.fromkeys(("order_ref", "order_amount", "order_currency", "order_decimals"))


def cursor() -> Any:
    """Return the thread's cursor; its connection has prepared the statement."""
    if not hasattr(of_thread, "cursor"):
        connection = psycopg2.connect(address, **config.connection_settings())
        connection.autocommit = True
        of_thread.cursor = connection.cursor()
        of_thread.cursor.execute(redeem_short.preparation)
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
