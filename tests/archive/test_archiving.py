"""Archived vouchers: what they answer, and how they come back."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, end_holds, in_days
from tests.shop import outcome
from voucherpool.archive import picking
from voucherpool.operations import integrity, worker
from voucherpool.vouchers import archived, codes

moves = ("archive", "--older-than", "90d")


@pytest.fixture
def run(app):
    """Return a function that runs `voucherpool vouchers …` and expects that it succeeds."""

    def run(*arguments):
        result = app.test_cli_runner().invoke(args=["vouchers", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[-1]

    return run


@pytest.fixture(autouse=True)
def audit(app):
    """Fail on any breach of the rules after each test."""
    yield
    with app.app_context():
        breaches = integrity.breaches()
    assert not any(breaches.values()), breaches


@pytest.fixture
def places(sql):
    """Return a function that counts what is hot and what is archived."""

    def places():
        tables = ("vouchers", "redemptions", "archived_vouchers", "archived_redemptions")
        return sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables))[0]

    return places


def lookup(client, code):
    return client.post("/vouchers/lookup", json={"code": code}).json


@pytest.fixture
def used(client, make, run):
    """Return the code of a voucher that an order used up, archived."""
    code = make.voucher()
    assert client.redeem(code, order_ref="o", order_amount=80).status_code == 201
    make.older(130)
    assert run(*moves) == "Archived 1 voucher."
    return code


def test_only_what_is_over_for_long_is_moved_with_its_ledger(client, make, run, places):
    old, expired, twice = make.voucher(), make.voucher(), make.voucher(max_redemptions=2)
    valid = make.voucher(days=400)
    for code in (old, twice, valid):
        client.redeem(code)
    make.older(130)
    make.voucher(days=400), make.voucher(days=-1)
    recent = make.voucher()
    client.redeem(recent)
    assert run(*moves) == "Archived 4 vouchers."
    assert places() == (3, 1, 4, 3)
    assert run(*moves) == "Archived 0 vouchers."
    for code, reason in {
        old: "voucher_already_redeemed",
        valid: "voucher_already_redeemed",
        expired: "voucher_expired",
        twice: "voucher_expired",
        recent: "voucher_already_redeemed",
    }.items():
        assert client.redeem(code).json["code"] == reason


def test_a_voucher_with_an_open_hold_stays(client, make, sql, run, places):
    code = make.voucher(max_redemptions=2)
    client.hold(code)
    sql("UPDATE vouchers SET expires_at = now() - interval '91 days'")
    assert run(*moves) == "Archived 0 vouchers."
    end_holds(sql)
    assert run(*moves) == "Archived 1 voucher."
    assert lookup(client, code)["holds"] == []


def test_it_answers_as_before_on_every_route(client, used, make):
    body = {"code": used.lower().replace("-", " "), "email": ana}
    refused = client.post("/vouchers/validate", json=body)
    assert (refused.status_code, refused.json["code"]) == (409, "voucher_already_redeemed")
    assert client.post("/vouchers/hold", json=body).json["code"] == "voucher_already_redeemed"
    checked = client.post("/vouchers/check", json=body).json
    assert checked == {"redeemable": False, "reason": "voucher_already_redeemed"}
    assert client.get(f"/vouchers?email={ana}").json == []


def test_one_of_many_uses_answers_that_its_limit_is_reached(client, make, run):
    code = make.voucher(max_redemptions=2)
    assert [client.redeem(code).status_code for _ in range(3)] == [201, 201, 409]
    make.older(130)
    run(*moves)
    assert client.redeem(code).json["code"] == "redemption_limit_reached"


def test_an_order_that_is_repeated_gets_its_redemption(client, used):
    first = client.redeem(used, order_ref="o", order_amount=80)
    assert first.status_code == 201
    assert first.json["discount_amount"] == 17.68
    assert client.redeem(used, order_ref="o", order_amount=81).json["code"] == "order_mismatch"
    other = client.redeem(used, order_ref="p")
    assert other.json["code"] == "voucher_already_redeemed"


def test_a_strangers_archived_voucher_answers_like_an_unknown_code(client, used, make, sql):
    make.customer(ben)
    foreign, unknown = (
        client.redeem(code, ben, order_ref="o") for code in (used, "ZZZZ-ZZZZ-ZZZZ")
    )
    assert foreign.status_code == unknown.status_code == 404
    same = {"request_id": None}
    assert foreign.json | same == unknown.json | same
    assert sql("SELECT max(failed_count) FROM failed_attempts") == [(2,)]


@pytest.mark.one_machine("on a cluster each machine has a now() of its own")
def test_support_sees_all_of_it(client, used, sql):
    shown = lookup(client, used)
    assert shown["archived_at"] is not None
    assert shown["redemption_count"] == 1
    assert [row["order_ref"] for row in shown["redemptions"]] == ["o"]
    assert shown["used_at"] == shown["redemptions"][0]["redeemed_at"]


def test_its_code_is_not_issued_again(client, make, run):
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    body["code"] = "SUMMER-26"
    assert client.post("/vouchers/generate", json=body).status_code == 201
    make.older(130)
    run(*moves)
    again = client.post("/vouchers/generate", json=body | {"code": "summer 26"})
    assert (again.status_code, again.json["code"]) == (409, "voucher_exists")


def test_it_knows_which_codes_are_taken(app, used):
    with app.app_context():
        assert archived.archived_codes([codes.normal_form(used), "ZZZZ"]) == {
            codes.normal_form(used)
        }
        assert archived.archived_codes([]) == set()


closed = (409, "voucher_archived")


def test_nothing_changes_it_any_more(client, used, places):
    (row,) = client.get("/redemptions?order_ref=o").json["items"]
    record = lookup(client, used)
    by_id = client.post(f"/redemptions/{row['id']}/reverse")
    assert outcome(by_id) == outcome(client.post("/redemptions/reverse", json={"order_ref": "o"}))
    assert outcome(by_id) == closed
    assert row["id"] in by_id.json["detail"]
    for route in ("disable", "enable"):
        assert outcome(client.post(f"/vouchers/{route}", json={"code": used})) == closed
    assert places() == (0, 0, 1, 1)
    assert lookup(client, used) == record
    assert client.post("/vouchers/disable", json={"code": "ZZZZ"}).status_code == 404


def test_what_was_reversed_before_answers_the_same(client, make, run, places):
    code = make.voucher()
    redemption = client.redeem(code, order_ref="o").json["redemption_id"]
    first = client.post("/redemptions/reverse", json={"order_ref": "o"}).json
    make.older(130)
    run(*moves)
    assert places() == (0, 0, 1, 1)
    again = client.post("/redemptions/reverse", json={"order_ref": "o"}).json
    assert [row["id"] for row in again["items"]] == [row["id"] for row in first["items"]]
    by_id = client.post(f"/redemptions/{redemption}/reverse")
    assert (by_id.status_code, by_id.json) == (200, again["items"][0])
    assert client.redeem(code, order_ref="o").json["code"] == "redemption_reversed"
    assert client.redeem(code).json["code"] == "voucher_expired"


def test_an_order_with_a_redemption_in_the_archive_is_not_reversed_at_all(client, used, make):
    second = make.voucher()
    client.redeem(second, order_ref="o")
    archived, hot = client.get("/redemptions?order_ref=o").json["items"]
    answer = client.post("/redemptions/reverse", json={"order_ref": "o"})
    assert outcome(answer) == closed
    assert archived["id"] in answer.json["detail"]
    assert client.get("/redemptions?order_ref=o").json["items"] == [archived, hot]
    given = client.post(f"/redemptions/{hot['id']}/reverse").json
    assert given["reversed_at"] is not None


def test_what_was_reversed_before_it_was_archived_keeps_the_order_open(client, make, run):
    client.redeem(make.voucher(), order_ref="o")
    client.post("/redemptions/reverse", json={"order_ref": "o"})
    make.older(130)
    run(*moves)
    client.redeem(make.voucher(), order_ref="o")
    answer = client.post("/redemptions/reverse", json={"order_ref": "o"})
    assert answer.status_code == 200
    assert all(row["reversed_at"] for row in answer.json["items"])


def test_the_ledger_goes_on_over_both_in_order(client, used, make, sql):
    for _ in range(4):
        client.redeem(make.voucher(), order_ref="o")
    whole = client.get(f"/redemptions?email={ana}").json["items"]
    assert whole[0]["code"] == used
    assert [row["redeemed_at"] for row in whole] == sorted(row["redeemed_at"] for row in whole)
    assert len(client.get("/redemptions?order_ref=o").json["items"]) == 5
    pages, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/redemptions?email={ana}&limit=2{cursor}").json
        pages += page["items"]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert pages == whole


def test_an_unknown_redemption_is_404(client, used):
    assert client.post(f"/redemptions/{uuid.uuid4()}/reverse").status_code == 404
    assert client.post("/redemptions/reverse", json={"order_ref": "x"}).status_code == 404


def test_the_limit_per_customer_knows_archived_and_purged_redemptions(client, used, make, run, sql):
    sql("UPDATE offers SET max_redemptions_per_customer = 1")
    assert client.redeem(make.voucher()).json["code"] == "customer_limit_reached"
    let_a_month_pass(sql, 25)
    assert run("purge", "--older-than", "2y") == "Purged 1 voucher."
    assert client.redeem(make.voucher()).json["code"] == "customer_limit_reached"
    assert client.redeem(used).json["code"] == "voucher_not_found"


def let_a_month_pass(sql, count):
    """Move the archive's only partitions so many months into the past."""
    for table in ("archived_vouchers", "archived_redemptions"):
        ((partition, month),) = sql(
            "SELECT relname, to_date(right(relname, 7), 'YYYY_MM') FROM pg_inherits"
            " JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass(:table)",
            table=table,
        )
        past = f"interval '{count} months'"
        sql(f"ALTER TABLE {table} DETACH PARTITION {partition}")
        ((name, start, end),) = sql(
            f"SELECT :table || to_char(:month - {past}, '_YYYY_MM'),"
            f" :month - {past}, :month - {past} + interval '1 month'",
            table=table,
            month=month,
        )
        sql(f"UPDATE {partition} SET archived_at = :then", then=start)
        sql(f"ALTER TABLE {partition} RENAME TO {name}")
        sql(
            f"ALTER TABLE {table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{start:%Y-%m-%d}Z') TO ('{end:%Y-%m-%d}Z')"
        )


def test_a_purge_forgets_whole_months_only_and_keeps_the_totals(client, used, make, run, sql):
    redemption = client.get("/redemptions?order_ref=o").json["items"][0]
    let_a_month_pass(sql, 1)
    assert run("purge", "--older-than", "2y") == "Purged 0 vouchers."
    let_a_month_pass(sql, 24)
    assert run("purge", "--older-than", "2y") == "Purged 1 voucher."
    assert run("purge", "--older-than", "2y") == "Purged 0 vouchers."
    assert sql("SELECT * FROM pg_class WHERE relispartition AND relname LIKE 'archived%'") == []
    assert client.post(f"/redemptions/{redemption['id']}/reverse").status_code == 404
    assert sql("SELECT redemption_count FROM customer_totals") == [(1,)]


def test_an_offers_statistics_stay_as_they_were(client, make, run, sql):
    for number in (1, 2):
        for order in ("o", "p"):
            client.redeem(make.voucher(), order_ref=f"{order}{number}", order_amount=80)
        client.post("/redemptions/reverse", json={"order_ref": f"p{number}"})
        make.voucher(), make.voucher(days=400)
        make.older(130)
        whole = client.get("/offers/1/stats").json
        assert (whole["issued"], whole["expired"], whole["open"]) == (
            4 * number,
            2 * number,
            number,
        )
        assert (whole["redeemed"], whole["reversed"]) == (2 * number, number)
        assert whole["discounted"] == [{"currency": None, "amount": 35.36 * number}]
        assert whole["given_back"] == [{"currency": None, "amount": 17.68 * number}]
        run(*moves)
        assert client.get("/offers/1/stats").json == whole
    assert sql("SELECT redemption_count FROM customer_totals") == [(2,)]
    let_a_month_pass(sql, 25)
    run("purge", "--older-than", "2y")
    assert client.get("/offers/1/stats").json == whole


def test_a_claim_that_is_repeated_gets_its_voucher_until_it_is_purged(client, make, run, sql):
    make.voucher(customer_id=None)
    body = {"email": ana, "offer_name": "KOI", "claim_ref": "c"}
    first = client.post("/vouchers/claim", json=body)
    assert first.status_code == 201
    make.older(130)
    run(*moves)
    again = client.post("/vouchers/claim", json=body)
    assert (again.status_code, again.json["code"]) == (201, first.json["code"])
    let_a_month_pass(sql, 25)
    run("purge", "--older-than", "2y")
    assert client.post("/vouchers/claim", json=body).json["code"] == "voucher_not_found"


@pytest.mark.parametrize("age", ["90", "0d", "2 y", "1h", "-1d", "100y", "10000d", ""])
def test_an_age_that_makes_no_sense_is_refused_with_what_it_should_be(app, age):
    result = app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", age])
    assert result.exit_code == 2
    assert "90d or 2y" in result.output


@pytest.fixture
def rounds(monkeypatch):
    """Let the worker begin its rounds again."""
    monkeypatch.setattr(worker, "to_archive", worker.DailyWalk())
    monkeypatch.setattr(worker, "to_purge", worker.DailyWalk())


def test_a_batch_of_more_than_a_transaction_takes_is_archived_in_several(
    app, make, run, rounds, places, monkeypatch
):
    take_two = text(picking.of_blocks.text.replace("FOR UPDATE", "LIMIT 2 FOR UPDATE"))
    monkeypatch.setattr(picking, "of_blocks", take_two)
    monkeypatch.setattr(picking, "vouchers_at_once", 2)
    for _ in range(5):
        make.voucher(days=-100)
    assert run(*moves) == "Archived 5 vouchers."
    for _ in range(5):
        make.voucher(days=-100)
    with app.app_context():
        assert worker.archive_a_batch(timedelta(days=90))
    assert places() == (0, 0, 10, 0)


def test_the_worker_archives_and_purges_once_a_day_where_it_is_configured(
    app, make, sql, rounds, places
):
    days_90, years_2 = timedelta(days=90), timedelta(days=730)
    make.voucher(days=-100)
    with app.app_context():
        assert not worker.archive_a_batch(None)
        assert worker.archive_a_batch(days_90)
        assert not worker.archive_a_batch(days_90)
        assert places() == (0, 0, 1, 0)
        let_a_month_pass(sql, 25)
        assert not worker.purge_a_month(None)
        assert worker.purge_a_month(years_2)
        assert not worker.purge_a_month(years_2)
    assert places() == (0, 0, 0, 0)
    make.voucher(days=-100)
    with app.app_context():
        assert not worker.archive_a_batch(days_90)


def test_a_short_code_of_a_batch_is_not_that_of_an_archived_voucher(
    app, client, make, run, monkeypatch
):
    make.voucher(code="KOI0123456789", days=-100)
    run(*moves)
    drawn = iter([{"K010123456789": "KOI0123456789"}, {"K019876543210": "KOI9876543210"}])
    monkeypatch.setattr(codes, "of_pattern", lambda pattern, count: next(drawn))
    body = {"count": 1, "expiry": in_days(1), "code": {"pattern": "KOI##########"}}
    assert client.post("/offers/1/batches", json=body).status_code == 202
    with app.app_context():
        assert worker.add_chunk_to_batch()
    assert lookup(client, "KOI9876543210")["archived_at"] is None
