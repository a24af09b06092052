"""Reminders of vouchers that expire soon."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, in_days, moved
from tests.erasure.test_erasure import dumped
from tests.mail.conftest import until_idle
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.mail import queue, reminders


@pytest.fixture
def offer(client):
    """Return a function that makes an offer whose customers are reminded."""

    def run(*days, name="KOI"):
        body = {"name": name, "discount": 22.1, "reminder_days": list(days)}
        answer = client.post("/offers", json=body)
        assert answer.status_code == 201
        return answer.json["id"]

    return run


@pytest.fixture
def voucher(make, sql):
    """Return a function that makes a voucher that was issued a year ago."""

    def run(email=ana, days=5, **changes):
        code = make.voucher(email, days=days, **changes)
        sql("UPDATE vouchers SET created_at = now() - interval '1 year'")
        return code

    return run


@pytest.fixture
def tomorrow(sql):
    """Return a function that lets days pass, with their messages due."""

    def run(days):
        changes = (f"{column} = {moved(column, -days)}" for column in ("expires_at", "created_at"))
        sql(f"UPDATE vouchers SET {', '.join(changes)}")
        sql(f"UPDATE reminders SET expires_at = {moved('expires_at', -days)}")
        sql(f"UPDATE reminder_progress SET expires_until = {moved('expires_until', -days)}")

    return run


@pytest.fixture
def remind(app):
    """Return a function that makes all reminders that are due, and sends nothing."""

    def run(mail=True):
        with app.app_context():
            until_idle(lambda: reminders.remind_some(mail=mail))

    return run


def text_of(message):
    return message.get_body(("plain",)).get_content()


def test_a_voucher_is_announced_once_for_each_of_the_days(
    offer, voucher, work, inbox, tomorrow, sql
):
    offer(7, 2)
    code = voucher(days=10)
    work()
    assert inbox.messages == []
    for days, sent in ((2, 0), (2, 1), (2, 1), (2.5, 2), (1, 2), (1, 2)):
        tomorrow(days)
        work()
        work()
        assert len(inbox.messages) == sent
    for message in inbox.messages:
        assert message["Subject"] == "Your voucher expires soon"
        assert code in text_of(message)
    assert [tuple(row) for row in sql("SELECT days_before FROM reminders ORDER BY 1")] == [
        (2,),
        (7,),
    ]


def test_a_voucher_that_was_extended_is_announced_again_before_its_new_expiry(
    client, offer, voucher, work, inbox, tomorrow
):
    offer(7)
    code = voucher(days=5)
    work()
    work()
    assert len(inbox.messages) == 1
    terms = {"code": code, "expires_at": in_days(30)}
    assert client.post("/vouchers/change", json=terms).status_code == 200
    for days, sent in ((20, 1), (5, 2), (1, 2)):
        tomorrow(days)
        work()
        work()
        assert len(inbox.messages) == sent


def test_a_voucher_that_never_expires_is_never_announced_as_expiring(
    client, offer, voucher, work, inbox
):
    offer(7)
    client.post("/vouchers/change", json={"code": voucher(days=5), "expires_at": None})
    work()
    work()
    assert inbox.messages == []


def test_vouchers_within_the_days_when_an_offer_gets_them_are_announced_too(
    client, offer, voucher, work, inbox
):
    koi = offer(1)
    voucher(days=5)
    work()
    assert inbox.messages == []
    changed = client.patch(f"/offers/{koi}", json={"reminder_days": [7, 1]})
    assert changed.json["reminder_days"] == [7, 1]
    work()
    work()
    assert len(inbox.messages) == 1


def test_a_customer_gets_one_message_for_many_vouchers_and_days(offer, voucher, work, inbox):
    offer(7, 6, 30)
    offer(7, name="ORCHID")
    codes = [voucher(days=5, offer=name) for name in ("KOI", "KOI", "ORCHID")]
    voucher(ben, days=5)
    work()
    assert inbox.recipients == {ana: 1, ben: 1}
    [message] = [message for message in inbox.messages if message["To"] == ana]
    assert message["Subject"] == "3 of your vouchers expire soon"
    assert all(text_of(message).count(code) == 1 for code in codes)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vouchers SET redemption_count = 1, used_at = now()",
        "UPDATE vouchers SET disabled_at = now()",
        f"UPDATE vouchers SET expires_at = {moved('expires_at', 1)}",
        "UPDATE offers SET starts_at = now() + interval '1 day'",
        "INSERT INTO opt_outs SELECT id FROM customers",
        "UPDATE customers SET email = NULL, email_key = NULL, erased_at = now()",
    ],
)
def test_what_changed_since_the_reminder_is_not_announced(
    offer, voucher, work, remind, inbox, sql, states, change
):
    offer(7)
    voucher()
    remind()
    assert states() == [("waiting", 0)]
    assert sql("SELECT due_at > now() + interval '4 minutes' FROM messages") == [(True,)]
    sql(change)
    work()
    assert inbox.messages == []
    assert states() == [("skipped", 1)]


def test_what_the_customer_can_redeem_no_more_by_the_offers_limit_is_not_announced(
    client, offer, voucher, work, remind, inbox, states
):
    koi = offer(7)
    code = voucher()
    voucher()
    remind()
    client.patch(f"/offers/{koi}", json={"max_redemptions_per_customer": 1})
    assert client.redeem(code).status_code == 201
    work()
    assert states() == [("skipped", 1)]


def test_what_nobody_can_redeem_because_the_budget_is_used_up_is_not_announced(
    client, make, offer, voucher, work, remind, inbox, states
):
    koi = offer(7)
    voucher()
    make.customer("bob@example.org")
    other = make.voucher("bob@example.org")
    client.patch(f"/offers/{koi}", json={"max_redemptions": 1})
    remind()
    assert client.redeem(other, email="bob@example.org").status_code == 201
    work()
    assert inbox.messages == []
    assert states() == [("skipped", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"customer_id": None},
        {"redemption_count": 1, "used_at": "now()"},
        {"disabled_at": "now()"},
        {"days": -1},
        {"days": 8},
    ],
)
def test_of_other_vouchers_nobody_is_reminded(offer, voucher, remind, sql, changes):
    offer(7)
    voucher(**changes)
    remind()
    assert sql("SELECT * FROM reminders") == []
    assert sql("SELECT * FROM messages") == []


def test_who_got_a_voucher_within_the_days_is_not_reminded(offer, make, remind, sql):
    offer(7)
    make.voucher(days=6.9)
    remind()
    assert sql("SELECT * FROM reminders") == []


def test_vouchers_that_expire_together_are_walked_in_several_steps(
    offer, voucher, work, inbox, sql, monkeypatch
):
    monkeypatch.setattr(reminders, "vouchers_at_once", 3)
    offer(7)
    for number in range(10):
        voucher(f"c{number}@example.org")
    sql("UPDATE vouchers SET expires_at = now() + interval '5 days'")
    work()
    assert sorted(inbox.recipients.values()) == [1] * 10


def test_a_walk_that_another_worker_has_begun_is_left_to_it(app, offer, voucher, sql):
    offer(7)
    voucher()
    with app.app_context():
        with transaction():
            db.session.execute(reminders.begin)
        with db.engine.connect() as other, other.begin():
            other.exec_driver_sql("BEGIN")
            other.execute(text("SELECT FROM reminder_progress FOR UPDATE"))
            assert not reminders.remind_some(mail=True)
            other.exec_driver_sql("ROLLBACK")
        assert reminders.remind_some(mail=True)


def test_a_reminder_that_is_made_while_the_message_is_leased_gets_a_message_of_its_own(
    app, mail, offer, voucher, remind, work, inbox, sql
):
    offer(7)
    offer(7, name="ORCHID")
    first = voucher()
    remind()
    sql("UPDATE messages SET due_at = now()")
    with app.app_context(), transaction():
        leased = queue.lease()
        assert leased.attempts == 1
    second = voucher(offer="ORCHID")
    sql("UPDATE reminder_progress SET expires_until = now(), issue_number = 0")
    remind()
    sql("UPDATE messages SET due_at = now()")
    work()
    assert sorted(first in text_of(message) for message in inbox.messages) == [False, True]
    assert sorted(second in text_of(message) for message in inbox.messages) == [False, True]


def test_events_are_recorded_where_a_webhook_listens_and_no_message_without_mail(
    offer, voucher, remind, sql
):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('https://example.org', '{voucher.expiring}', '', now())"
    )
    offer(7)
    code = voucher()
    remind(mail=False)
    [(type_, data)] = sql("SELECT type, data FROM events")
    assert type_ == "voucher.expiring"
    assert (data["voucher"]["code"], data["days_before"]) == (code, 7)
    assert sql("SELECT * FROM messages") == []


def test_nothing_due_costs_no_write(app, offer, voucher, remind, sql):
    offer(7)
    voucher(days=300)
    remind()
    before = sql("SELECT xmin::text, ctid::text FROM reminder_progress")
    remind()
    assert sql("SELECT xmin::text, ctid::text FROM reminder_progress") == before


@pytest.mark.parametrize(
    "days", [[], [0], [366], [1.5], [True], ["7"], [7, 7], [7, 7.0], list(range(1, 12)), 7, "7"]
)
def test_wrong_reminder_days_are_refused(client, days):
    body = {"name": "KOI", "discount": 5, "reminder_days": days}
    answer = client.post("/offers", json=body)
    assert answer.status_code == 422
    assert "reminder_days" in answer.json["errors"]


def test_reminder_days_can_be_taken_away(client, offer, voucher, remind, sql):
    koi = offer(7, 1)
    remind()
    sql("UPDATE reminder_progress SET expires_until = now()")
    answer = client.patch(f"/offers/{koi}", json={"reminder_days": None})
    assert answer.json["reminder_days"] is None
    voucher()
    remind()
    assert sql("SELECT * FROM reminders") == []


def test_erasing_a_customer_takes_messages_reminders_and_the_opt_out(
    client, offer, voucher, remind, sql, inbox
):
    offer(7)
    for email in (ana, ben):
        voucher(email)
    remind()
    sql("INSERT INTO opt_outs SELECT id FROM customers")
    assert client.delete("/customers/1").status_code == 204
    for table in ("messages", "reminders", "opt_outs"):
        assert [tuple(row) for row in sql(f"SELECT customer_id FROM {table}")] == [(2,)]


def test_after_an_erasure_no_table_knows_the_e_mail(
    client, offer, voucher, work, remind, inbox, sql
):
    offer(7, 1)
    voucher()
    work()
    voucher(days=0.5)
    remind()
    client.put("/customers/1/opt-out")
    assert ana in dumped(sql)
    assert client.delete("/customers/1").status_code == 204
    assert ana not in dumped(sql).lower()
    assert len(inbox.messages) == 1
    work()
    assert len(inbox.messages) == 1


def test_a_message_that_a_walk_joins_is_not_leased_before_the_walk_commits(
    app, mail, offer, voucher, remind, sql
):
    offer(7)
    voucher()
    remind()
    sql("UPDATE messages SET due_at = now()")

    def lease(_):
        with app.app_context(), transaction():
            return queue.lease()

    with app.app_context(), transaction():
        reminders._let_wait({1})
        with ThreadPoolExecutor(1) as other:
            assert [*other.map(lease, [1])] == [None]
    assert lease(1).customer_id == 1
