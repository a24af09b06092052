"""Traces: what tracers see of statements holds no values, and the log names the trace."""

import json
from types import SimpleNamespace

import pytest

from tests.builders import ana, in_days
from voucherpool.config.settings import checkout
from voucherpool.database import watchdog
from voucherpool.vouchers.codes import normal_form

trace_id = "0af7651916cd43dd8448eb211c80319c"
parent = f"00-{trace_id}-b7ad6b7169203331-01"


def logged(capsys):
    return json.loads(capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("header", [parent, f"01-{trace_id}-b7ad6b7169203331-00-more"])
def test_the_log_line_names_the_trace_of_the_request(anonymous, capsys, header):
    anonymous.get("/livez", headers={"traceparent": header})
    assert logged(capsys)["trace_id"] == trace_id


@pytest.mark.parametrize(
    "header", ["", "x", trace_id, parent.replace(trace_id, "0" * 32), parent.upper(), f"x{parent}"]
)
def test_what_is_no_trace_is_not_in_the_log(anonymous, capsys, header):
    anonymous.get("/livez", headers={"traceparent": header})
    assert "trace_id" not in logged(capsys)


def test_no_statement_that_a_tracer_sees_holds_a_code_an_e_mail_or_a_key(client, make, monkeypatch):
    texts, execute = [], watchdog.Cursor.execute

    def recorded(cursor, query, values=None):
        texts.append(str(query))
        return execute(cursor, query, values)

    monkeypatch.setattr(watchdog.Cursor, "execute", recorded)
    code, other = make.voucher(max_redemptions=3), make.voucher()
    key = {"Idempotency-Key": "key-4711"}
    for path, body in (
        ("redeem", {"code": code, "email": ana, "order_ref": "order-1"}),
        ("disable", {"code": other}),
        ("check", {"code": code, "email": ana}),
        ("hold", {"code": code, "email": ana}),
        ("redeem", {"code": "0000-0000-0000", "email": ana}),
        ("generate", {"email": ana, "offer_name": "KOI", "expiry": in_days(1)}),
        ("lookup", {"code": code}),
    ):
        assert client.post(f"/vouchers/{path}", json=body, headers=key).status_code != 500
        key = {"Idempotency-Key": f"{key['Idempotency-Key']}1"}
    assert code in client.listed()
    assert any("store_answer" in text for text in texts)
    assert len(texts) > 20
    for secret in (code, normal_form(code), ana, "0000-0000", "key-4711", "order-1"):
        assert [text for text in texts if secret in text] == []


def test_the_settings_for_tracing_leave_personal_data_out(monkeypatch):
    pytest.importorskip("opentelemetry.instrumentation.psycopg2", reason="no dependency of ours")
    namespace = {}
    text = (checkout / "deploy" / "tracing.py").read_text()
    exec(text[: text.index("def begin(")], namespace)  # noqa: S102
    event = SimpleNamespace(name="exception", timestamp=1)
    event.attributes = {"exception.type": "UniqueViolation", "exception.message": ana}
    span = SimpleNamespace(
        **dict.fromkeys(("context", "parent", "resource", "kind", "instrumentation_scope")),
        name="GET",
        links=(),
        start_time=1,
        end_time=2,
        events=[event],
        attributes={"http.target": f"/vouchers?email={ana}", "http.route": "/vouchers"},
        status=namespace["Status"](namespace["trace"].StatusCode.ERROR, ana),
    )
    left = namespace["without_data"](span)
    assert dict(left.attributes) == {"http.route": "/vouchers"}
    assert dict(left.events[0].attributes) == {"exception.type": "UniqueViolation"}
    assert left.status.description is None
