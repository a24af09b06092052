"""`voucherpool webhooks`, `voucherpool secret-key`, and the key of `make run`."""

import json

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from tests.tables import columns
from voucherpool.__main__ import main
from voucherpool.local.data import kept_key
from voucherpool.operations.worker import number_events


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=["webhooks", *map(str, arguments)])


def test_the_list_shows_every_webhook_and_no_secret(create, client, run):
    first = create("http://127.0.0.1:9/a", "voucher.issued", "pool.low")
    second = create("http://127.0.0.1:9/b", "voucher.issued")
    client.patch(f"/webhooks/{second['id']}", json={"disabled": True})
    assert columns(run("list").output) == [
        ["ID", "URL", "EVENT TYPES", "FAILING SINCE", "DISABLED REASON"],
        [str(first["id"]), "http://127.0.0.1:9/a", "voucher.issued, pool.low", "-", "-"],
        [str(second["id"]), "http://127.0.0.1:9/b", "voucher.issued", "-", "requested"],
    ]
    listed = json.loads(run("list", "--json").output)
    assert listed == client.get("/webhooks").json["items"]


def test_a_test_event_says_what_became_of_it(create, receiver, run, sql):
    webhook = create(receiver.url)
    receiver.statuses = [204, 503]
    result = run("test", webhook["id"])
    assert (result.exit_code, result.output) == (0, "Delivered: status 204.\n")
    assert receiver.next().verified(webhook["secret"])["type"] == "webhook.test"
    result = run("test", webhook["id"])
    assert (result.exit_code, result.output) == (1, "Error: It failed: rejected (status 503).\n")
    assert sql("SELECT 1 FROM deliveries") == []
    assert "No webhook has this id." in run("test", 99).output


def test_deliveries_are_listed_and_parked_ones_are_sent_again(
    create, receiver, disable, deliver, run, sql, states
):
    webhook = create(receiver.url)
    receiver.statuses = [500, 200]
    for _ in range(2):
        disable()
        deliver()
    sql("UPDATE deliveries SET state = 'parked', finished_at = now() WHERE state = 'waiting'")
    lines = columns(run("deliveries", webhook["id"]).output)
    assert [(line[0], *line[2:4], *line[5:]) for line in lines] == [
        ("NUMBER", "STATE", "ATTEMPTS", "STATUS", "ERROR"),
        ("2", "delivered", "1", "200", "-"),
        ("1", "parked", "1", "500", "rejected"),
    ]
    assert len(run("deliveries", webhook["id"], "--state", "parked").output.splitlines()) == 2
    assert run("retry", webhook["id"]).output == "Queued 1 delivery.\n"
    assert run("retry", webhook["id"], 2).output == "Queued 1 delivery.\n"
    deliver()
    assert [state for state, *_ in states()] == ["delivered"] * 2
    assert len(receiver.all()) == 4


def test_secrets_are_encrypted_again_by_the_first_key(
    app, create, client, receiver, disable, deliver, deliverer, run, monkeypatch
):
    old, new = app.config["SECRET_KEYS"][0], Fernet.generate_key().decode()
    webhook = create(receiver.url)
    rotated = client.post(f"/webhooks/{webhook['id']}/rotate-secret").json
    monkeypatch.setitem(app.config, "SECRET_KEYS", (new,))
    assert "No key of VOUCHERPOOL_SECRET_KEY reads the secret." in run("encrypt").output
    monkeypatch.setitem(app.config, "SECRET_KEYS", (new, old))
    assert run("encrypt").output == "Encrypted the secrets of 1 webhook.\n"
    deliverer._keys = (new,)
    disable()
    deliver()
    request = receiver.next()
    for secret in (webhook["secret"], rotated["secret"]):
        request.verified(secret)


def test_a_worker_without_a_key_says_once_that_webhooks_wait(
    app, create, receiver, disable, deliverer, states, caplog
):
    create(receiver.url)
    deliverer._keys = ()
    disable()
    with app.app_context():
        number_events()
        assert [deliverer.start_due() for _ in "12"] == [False, False]
    assert caplog.text.count("VOUCHERPOOL_SECRET_KEY") == 1
    assert states() == [("waiting", 0, None, None)]


def test_a_secret_key_is_printed_without_a_database():
    ran = CliRunner().invoke(main, ["secret-key"], env={"DATABASE_URL": None})
    assert ran.exit_code == 0, ran.output
    Fernet(ran.stdout.strip())


def test_make_run_keeps_one_key_that_only_its_owner_may_read(tmp_path):
    file = tmp_path / "secret.key"
    key = kept_key(tmp_path)
    Fernet(key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept_key(tmp_path) == key
