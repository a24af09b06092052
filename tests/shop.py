"""A client that knows the routes of a checkout; its customer is Ana unless told otherwise."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.builders import ana
from voucherpool.apikeys import service as apikeys


class Shop(FlaskClient):
    """A shop's backend, as it asks about vouchers."""

    def redeem(
        self, code: str, email: str = ana, headers: Mapping[str, str] | None = None, **more: object
    ) -> TestResponse:
        """Redeem a voucher."""
        body = {"code": code, "email": email, **more}
        return self.post("/vouchers/redeem", json=body, headers=headers)

    def redeemed(self, code: str, **more: Any) -> Any:
        """Redeem a voucher, which must succeed, and return what is answered."""
        answer = self.redeem(code, **more)
        assert answer.status_code == 201, answer.json
        return answer.json

    def hold(self, code: str, email: str = ana, **more: object) -> TestResponse:
        """Reserve a use of a voucher."""
        return self.post("/vouchers/hold", json={"code": code, "email": email, **more})

    def check(self, code: str, email: str = ana, **more: object) -> TestResponse:
        """Ask whether a voucher would redeem."""
        return self.post("/vouchers/check", json={"code": code, "email": email, **more})

    def listed(self, email: str = ana) -> list[str]:
        """Return the codes of the customer's vouchers that would redeem."""
        answer = self.get("/vouchers", query_string={"email": email})
        assert answer.status_code == 200
        return [voucher["code"] for voucher in answer.json or ()]


def open_shop(app: Flask, key: str | None = None) -> Shop:
    """Return a client with the API key, or with a new one that may do everything."""
    if key is None:
        with app.app_context():
            key = apikeys.create("shop", apikeys.scopes)
    shop = Shop(app, app.response_class)
    shop.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return shop


def outcome(answer: TestResponse) -> tuple[int, str | None]:
    """Return the status of an answer, and the code of the error if it is one."""
    return answer.status_code, (answer.json or {}).get("code")
