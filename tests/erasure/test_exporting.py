"""Access by a person: the export has all that an erasure forgets or keeps under the id."""

import json
import stat

import pytest

from tests.builders import ana, ben, in_days
from tests.erasure.test_erasure import former, given, live, name, post, traces
from voucherpool.database.model import db
from voucherpool.erasure.personal_data import places

of_the_list = {place.table for place in places}
columns_that_name_customers = {"customer_id", "customer_ids"}


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("customers", *map(str, arguments)))


@pytest.fixture
def everywhere(client, make, sql):
    """Let Ana leave traces in every table that can name her, and Ben in some; return her id."""
    made, _ = live(client, make)
    client.post("/offers/1/batches", json={"audience": [given], "expiry": in_days(1)})
    schedule = {"name": "1", "offer_name": "KOI", "audience": [given, make.customer(ben)]}
    schedule |= {"cron": "0 9 * * 1", "timezone": "UTC", "valid_for": "7d"}
    post(client, "/schedules", schedule, "s")
    client.put(f"/customers/{made['id']}/opt-out")
    unlimited = {"email": given, "offer_name": "KOI", "expiry": None}
    client.post("/vouchers/generate", json=unlimited)
    hold = make.voucher(customer_id=None, max_redemptions=2)
    for email in (given, ben):
        client.hold(hold, email)
    fillings = (
        "INSERT INTO messages (kind, customer_id) VALUES ('issued', :id)",
        "INSERT INTO reminders (code_key, days_before, customer_id, expires_at)"
        " VALUES ('A', 7, :id, now())",
        "INSERT INTO budget_holds (offer_id, code_key, hold_id, customer_id, held_until)"
        " VALUES (1, 'A', 'h', :id, now())",
        "INSERT INTO customer_totals VALUES (:id, 1, 3)",
        "INSERT INTO events (code_key, type, customer_id, data)"
        " VALUES ('A', 'voucher.issued', :id, '{}')",
        "INSERT INTO numbered_events (id, type, customer_id, data, created_at)"
        " VALUES (gen_random_uuid(), 'voucher.issued', :id, '{}', now())",
    )
    for filling in fillings:
        sql(filling, id=made["id"])
    return made["id"]


def exported(client, customer_id):
    """Return the text of a customer's export."""
    with client.get(f"/customers/{customer_id}/export") as answer:
        named = f'attachment; filename="customer-{customer_id}.json"'
        assert answer.headers["Content-Disposition"] == named
        return answer.get_data(as_text=True)


def test_every_table_that_names_a_customer_is_in_the_list(app):
    naming = {
        table.name
        for table in db.metadata.tables.values()
        if table.name == "customers"
        or columns_that_name_customers & set(table.columns.keys())
        or any(key.column.table.name == "customers" for key in table.foreign_keys)
    }
    assert naming > {"customers", "vouchers", "archived_redemptions", "idempotency_keys"}
    assert naming <= of_the_list
    assert of_the_list - naming == {"holds", "failed_attempts", "audit_log"}


def test_every_table_with_a_trace_of_a_person_is_in_the_list(everywhere, sql):
    found = set()
    for table in db.metadata.tables:
        values = sql(f"SELECT value FROM {table} AS t, json_each_text(row_to_json(t))")
        dump = "\n".join(value for (value,) in values if value is not None)
        if traces(dump, given, name, *former):
            found.add(table)
    assert found >= {"customers", "idempotency_keys", "failed_attempts"}
    assert found <= of_the_list


def test_the_export_has_the_rows_of_every_table(client, everywhere, sql):
    tables = json.loads(exported(client, everywhere))
    assert [*tables] == [place.table for place in places]
    archived = {"archived_vouchers", "archived_redemptions"}
    assert {table for table, rows in tables.items() if not rows} == archived
    for table, rows in tables.items():
        if "customer_id" in getattr(db.metadata.tables.get(table), "columns", ()):
            counted = f"SELECT count(*) FROM {table} WHERE customer_id = {everywhere}"
            assert sql(counted) == [(len(rows),)], table
    [customer] = tables["customers"]
    assert (customer["email"], customer["name"]) == (given, f"{name} 1")
    assert sorted(customer["former_emails"]) == sorted(former)
    assert {row["offer_name"] for row in tables["vouchers"]} == {"KOI"}
    assert tables["schedules"][0]["name"] == "1"
    assert None in [row["expires_at"] for row in tables["vouchers"]]


def test_the_archive_is_exported_too(client, make, run):
    code = make.voucher()
    client.redeem(code)
    make.older(100)
    archived = client.application.test_cli_runner()
    archived.invoke(args=["vouchers", "archive", "--older-than", "90d"])
    tables = json.loads(run("export", ana).stdout)
    [voucher], [redemption] = tables["archived_vouchers"], tables["archived_redemptions"]
    assert (voucher["code"], redemption["discount"]) == (code, 22.1)
    assert tables["vouchers"] == tables["redemptions"] == []


def test_the_export_tells_nothing_about_others(client, make, everywhere):
    stolen = make.voucher(ben)
    client.check(stolen, given)
    told = exported(client, everywhere)
    assert ben not in told
    assert stolen.replace("-", "") not in told.replace("-", "")
    assert "bound_to_another_customer" not in told
    [schedule] = json.loads(told)["schedules"]
    assert "customer_ids" not in schedule
    shown = [row["body"] for row in json.loads(told)["idempotency_keys"]]
    assert [given] in [body.get("audience") for body in shown]


def test_after_the_erasure_there_is_nothing_to_export(client, make, run):
    make.customer()
    client.delete("/customers/1")
    assert client.get("/customers/1/export").json["code"] == "customer_not_found"
    assert run("export", ana).output == "Error: No customer has this e-mail or id.\n"


def test_the_command_writes_the_same_to_a_file_for_its_owner_alone(
    client, everywhere, run, tmp_path
):
    file = tmp_path / "ana.json"
    assert run("export", given, "--output", file).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == exported(client, everywhere)


def test_a_customer_is_shown_with_vouchers_and_redemptions(client, make, run):
    make.voucher()
    client.redeem(make.voucher(), order_ref="A-1")
    lines = run("show", ana.upper()).output.splitlines()
    assert ["email", ana] in [line.split() for line in lines]
    for title in ("Vouchers:", "Redemptions:"):
        headings, row = lines[lines.index(title) + 1 : lines.index(title) + 3]
        assert "OFFER NAME" in headings
        assert "KOI" in row
    shown = json.loads(run("show", ana, "--json").output)
    assert (shown["email"], len(shown["vouchers"])) == (ana, 2)
    assert shown["redemptions"][0]["order_ref"] == "A-1"
