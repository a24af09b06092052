"""A client that knows the routes of a checkout; its customer is Ana unless told otherwise."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.builders import ana


class Shop(FlaskClient):
    """A shop's backend, as it asks about vouchers."""

    def redeem(self, code: str, email: str = ana, **more: object) -> TestResponse:
        """Redeem a voucher."""
        return self.post("/vouchers/validate", json={"code": code, "email": email, **more})

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


def outcome(answer: TestResponse) -> tuple[int, str | None]:
    """Return the status of an answer, and the code of the error if it is one."""
    return answer.status_code, (answer.json or {}).get("code")
