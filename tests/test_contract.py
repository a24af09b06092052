"""The OpenAPI document against the service: each keeps what the other says."""

import os
import socket
from functools import partial
from ipaddress import ip_network

import pytest
from cryptography.fernet import Fernet
from schemathesis.checks import CHECKS

from tests import fuzz_report
from tests.builders import ana, ben, in_days
from tests.claims import pools
from tests.fuzzing import Client, Findings, explore
from voucherpool.mail import links

signing_key = Fernet.generate_key().decode()
fuzzed, parts, examples = 20_000, 4, 60


@pytest.fixture
def known(app, client, make, sql, monkeypatch):
    """Return values that the app knows, by the place and the name of what takes them."""
    # The first ids are those that are met by chance, and erased.
    strangers = [*range(1, 41)]
    for number in strangers:
        make.customer(f"c{number}@example.org")
    codes = [make.voucher(max_redemptions=10**9), make.voucher(ben), make.voucher(days=-1)]
    pools.fill(sql, 2_000)
    order = {"code": codes[0], "email": ana, "order_ref": "A-1"}
    redemption = client.post("/vouchers/validate", json=order).json["redemption_id"]
    batch = {"count": 1, "expiry": in_days(30)}
    batch_id = client.post("/offers/1/batches", json=batch).json["id"]
    unused = [
        client.post("/offers", json={"name": f"unused {n}", "discount": 5}).json["id"]
        for n in range(40)
    ]
    schedule = {"name": "1", "offer_name": "KOI", "cron": "0 9 * * 1", "timezone": "UTC"}
    schedule |= {"audience": "all_customers", "valid_for": "7d"}
    made = [client.post("/schedules", json=schedule | {"name": f"{n}"}) for n in range(20)]
    webhook = {"event_types": ["batch.finished"], "url": "http://127.0.0.1:9/hook"}
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", (ip_network("127.0.0.1"),))
    webhooks = [client.post("/webhooks", json=webhook).json["id"] for _ in range(40)]
    # No resolver outside of this machine is asked about the names.
    resolve = partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    # Met as a server meets it: an unexpected error is a 500. Nobody is slowed down.
    monkeypatch.setattr(app, "testing", False)
    monkeypatch.setitem(app.config, "SECRET_KEYS", (signing_key,))
    for limit in ("KEY", "CLIENT_REF", "EMAIL"):
        monkeypatch.setitem(app.config, f"FAILED_ATTEMPTS_PER_{limit}", 10**9)
    monkeypatch.setattr("schemathesis.python.wsgi.get_client", Client)
    return {
        "body.code": codes,
        "body.audience": ["pool", "all_customers"],
        "body.count": [1, 2],
        "body.email": [ana, ben],
        "body.expiry": [in_days(30)],
        "body.max_redemptions": [10**9],
        "body.offer_name": ["KOI"],
        "body.order_ref": ["A-1"],
        "body.since": [in_days(-1)],
        "body.url": [webhook["url"]],
        "query.email": [ana, ben],
        "query.order_ref": ["A-1"],
        "path.redemption_id": [redemption],
        "path.offer_id": [1, *unused],
        "path.batch_id": [batch_id],
        "path.customer_id": strangers,
        "path.schedule_id": [answer.json["id"] for answer in made],
        "body.cron": ["0 9 * * 1", "30 2 29 2 *"],
        "body.timezone": ["UTC", "Europe/Berlin"],
        "body.valid_for": ["7d", "90m"],
        "body.catch_up": ["24h", "31d"],
        "path.webhook_id": webhooks,
        "path.token": [links.unsubscribe_url("", [signing_key], 1).rpartition("/")[2]],
    }


def test_every_route_keeps_what_the_document_says(app, key, known):
    findings = Findings()
    explore(app, key, known, findings, seed=1, examples=2, borders=False)
    assert not findings.breaks, "\n\n".join(findings.breaks.values())


@pytest.mark.long
def test_every_route_keeps_what_the_document_says_at_its_borders(app, key, known):
    findings = Findings()
    explore(app, key, known, findings, seed=1, examples=2)
    assert not findings.breaks, "\n\n".join(findings.breaks.values())
    assert set(findings.checks) == set(CHECKS.get_all_names())
    # Of terms that chance chooses, one is always such that the voucher's state refuses it.
    assert findings.never_accepted <= {"POST /vouchers/change"}


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(parts))
def test_twenty_thousand_cases_break_nothing(app, key, known, testrun_uid, record_property, part):
    seed = int(os.environ.get("SEED") or int(testrun_uid, 16) % 2**32)
    findings = Findings()
    explore(app, key, known, findings, seed=seed + part, examples=examples)
    totals = (findings.cases, findings.server_errors, len(findings.breaks))
    record_property(fuzz_report.name, (seed, *totals))
    assert not findings.breaks, "\n\n".join(findings.breaks.values())
    assert findings.cases >= fuzzed / parts
