"""The environment."""

import re

import pytest

from voucherpool import create_app
from voucherpool.config.settings import Config, checkout, misspelt
from voucherpool.database.model import db
from voucherpool.errors import ConfigurationError

url = "postgresql://user:secret@db:5432/voucherpool"
fernet_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_psycopg2_is_the_driver_whatever_spelling_the_url_has(scheme):
    app = create_app(Config.from_environment({"DATABASE_URL": f"{scheme}://db/voucherpool"}))
    with app.app_context():
        assert db.engine.dialect.driver == "psycopg2"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "postgresql+asyncpg://user:secret@db/voucherpool"),
        ("DATABASE_URL", "postgresql://user:secret@db:port/voucherpool"),
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "５０００"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "-1"),
        ("VOUCHERPOOL_THREADS", "many"),
        ("VOUCHERPOOL_OPEN_MODE", "1"),
        ("VOUCHERPOOL_TOLERATE_OFF", "autovacuum"),
        ("VOUCHERPOOL_TIMEOUTS", "none"),
        ("VOUCHERPOOL_ARCHIVE_OLDER_THAN", "90"),
        ("VOUCHERPOOL_PURGE_OLDER_THAN", "0y"),
        ("VOUCHERPOOL_WORKER_METRICS", "9100"),
        ("VOUCHERPOOL_WORKER_METRICS", "localhost:0"),
        ("VOUCHERPOOL_SECRET_KEY", "secret"),
        ("VOUCHERPOOL_SECRET_KEY", f"{fernet_key},secret"),
        ("VOUCHERPOOL_SECRET_KEY", f"{fernet_key} {fernet_key}"),
        ("VOUCHERPOOL_WEBHOOKS_ALLOW", "localhost"),
        ("VOUCHERPOOL_WEBHOOKS_ALLOW", "127.0.0.0/8,10.1.0.1/16"),
        ("VOUCHERPOOL_CONSOLE", "no"),
        ("VOUCHERPOOL_CONSOLE_USER_HEADER", "X User"),
        ("VOUCHERPOOL_CONSOLE_PROXIES", "proxy.example"),
    ],
)
def test_nonsense_is_refused_with_the_variables_name_and_no_password(variable, value):
    with pytest.raises(ConfigurationError) as refusal:
        Config.from_environment({"DATABASE_URL": url, variable: value})
    assert str(refusal.value).startswith(f"{variable} must be ")
    assert "secret" not in str(refusal.value).replace("secret-key", "")
    assert fernet_key not in str(refusal.value)
    assert "\n" not in str(refusal.value)


mail = {
    "VOUCHERPOOL_SMTP_URL": "smtp://shop:p%40ss@relay.example:2525",
    "VOUCHERPOOL_MAIL_FROM": "Läden <vouchers@shop.example>",
    "VOUCHERPOOL_PUBLIC_URL": "https://shop.example/vouchers/",
    "VOUCHERPOOL_SECRET_KEY": "c2VjcmV0" * 5 + "c2U=",
}


def test_mail_is_read_from_its_variables():
    found = Config.from_environment({"DATABASE_URL": url} | mail).mail
    assert found.relay == ("smtp", "relay.example", 2525, "shop", "p@ss")
    assert (found.sender.display_name, found.sender.addr_spec) == ("Läden", "vouchers@shop.example")
    assert (found.public_url, found.per_minute) == ("https://shop.example/vouchers", 600)
    assert Config.from_environment({"DATABASE_URL": url}).mail is None
    only_key = {"VOUCHERPOOL_SECRET_KEY": mail["VOUCHERPOOL_SECRET_KEY"]}
    assert Config.from_environment({"DATABASE_URL": url} | only_key).mail is None
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize(
    ("address", "port"), [("smtp://h", 587), ("smtps://h", 465), ("smtp+plain://h", 25)]
)
def test_each_kind_of_relay_has_its_usual_port(address, port):
    environ = {"DATABASE_URL": url} | mail | {"VOUCHERPOOL_SMTP_URL": address}
    relay = Config.from_environment(environ).mail.relay
    assert (relay.port, relay.user, relay.password) == (port, None, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("VOUCHERPOOL_SMTP_URL", wrong) for wrong in (
            "secret", "relay:25", "http://u:secret@h", "smtp://", "smtp://u:secret@", "smtp://u@h",
            "smtp://:secret@h", "smtp://u:secret@h:0", "smtp://u:secret@h:99999", "smtp://h/secret",
            "smtp://u:se/cret@h", "smtp://h?tls=secret", "smtp+plain://u:secret@h", "smtp://h#secret",
            "smtp://u:secret@h\nX", "smtp://u:secret@[h",
        )),
        *(("VOUCHERPOOL_MAIL_FROM", wrong) for wrong in (
            "shop", "Shop <shop>", "ä@shop.example", "a@shop.example, b@shop.example",
            "a@shop.example\nBcc: b@shop.example",
        )),
        *(("VOUCHERPOOL_PUBLIC_URL", wrong) for wrong in (
            "shop.example", "http://shop.example", "https://shop.example/?a", "https://a b",
            "https://u:secret@shop.example", "https://",
        )),
        ("VOUCHERPOOL_MAIL_RATE", "0"),
        ("VOUCHERPOOL_MAIL_RATE", "fast"),
        ("VOUCHERPOOL_LANGUAGE", "deu"),
        ("VOUCHERPOOL_TIMEZONE", "Berlin"),
        ("VOUCHERPOOL_TIMEZONE", "CET+1"),
        ("VOUCHERPOOL_LANGUAGE", "it"),
        ("VOUCHERPOOL_TEMPLATES", "/nonexistent"),
        ("VOUCHERPOOL_SECRET_KEY", "secret"),
        *((missing, "") for missing in mail),
    ],
)  # fmt: skip
def test_wrong_or_missing_settings_of_mail_are_named_without_a_password(variable, value):
    with pytest.raises(ConfigurationError) as refusal:
        Config.from_environment({"DATABASE_URL": url} | mail | {variable: value})
    assert str(refusal.value).startswith(f"{variable} must be ")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value).replace("secret-key", "")


def test_a_language_of_the_shops_own_templates_is_known(tmp_path):
    (tmp_path / "it.jinja").touch()
    own = {"VOUCHERPOOL_LANGUAGE": "it", "VOUCHERPOOL_TEMPLATES": str(tmp_path)}
    assert Config.from_environment({"DATABASE_URL": url} | own).texts[:2] == ("it", tmp_path)


def test_the_pool_holds_two_connections_for_each_thread():
    app = create_app(Config.from_environment({"DATABASE_URL": url, "VOUCHERPOOL_THREADS": "7"}))
    with app.app_context():
        assert db.engine.pool.size() == 14


def test_what_the_address_says_of_the_connection_stands():
    settings = Config.from_environment({"DATABASE_URL": url}).connection_settings()
    assert "statement_timeout" in settings["options"]
    assert settings["target_session_attrs"] == "read-write"
    given = Config.from_environment({"DATABASE_URL": f"{url}?connect_timeout=9"})
    assert "connect_timeout" not in given.connection_settings()


def test_timeouts_may_be_left_to_the_role():
    config = Config.from_environment({"DATABASE_URL": url, "VOUCHERPOOL_TIMEOUTS": "role"})
    assert "options" not in config.connection_settings()


def test_ages_are_days_or_years_and_unset_by_default():
    ages = {"VOUCHERPOOL_ARCHIVE_OLDER_THAN": "90d", "VOUCHERPOOL_PURGE_OLDER_THAN": "2y"}
    config = Config.from_environment({"DATABASE_URL": url} | ages)
    assert (config.archive_older_than.days, config.purge_older_than.days) == (90, 730)
    assert Config.from_environment({"DATABASE_URL": url}).archive_older_than is None


def test_keys_and_networks_are_lists_and_no_key_is_shown():
    other = fernet_key.replace("A", "B", 1)
    given = {
        "VOUCHERPOOL_SECRET_KEY": f"{fernet_key}, {other}",
        "VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8, ::1",
    }
    config = Config.from_environment({"DATABASE_URL": url} | given)
    assert config.secret_keys == (fernet_key, other)
    assert [str(network) for network in config.webhooks_allow] == ["127.0.0.0/8", "::1/128"]
    assert fernet_key not in repr(config)


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("VOUCHERPOOL_THREAD", "VOUCHERPOOL_THREADS"),
        ("VOUCHERPOOL_MAIL_FORM", "VOUCHERPOOL_MAIL_FROM"),
        ("VOUCHERPOOL_PORT", "PORT"),
        ("VOUCHERPOOL_WEB_CONCURRENCY", "WEB_CONCURRENCY"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_nearest(variable, setting):
    [warning] = misspelt({variable: "8", "VOUCHERPOOL_LOG": "json", "OTHERS": "8"})
    assert warning == f"{variable} is not a setting and is ignored: do you mean {setting}?"


def test_every_setting_that_is_documented_is_read():
    page = (checkout / "docs" / "operations.md").read_text()
    documented = re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)
    assert len(documented) > 15
    assert misspelt(dict.fromkeys(documented, "")) == []


def test_a_header_that_names_the_consoles_user_needs_trusted_proxies():
    named = {"DATABASE_URL": url, "VOUCHERPOOL_CONSOLE_USER_HEADER": "X-User"}
    with pytest.raises(ConfigurationError, match=r"^VOUCHERPOOL_CONSOLE_PROXIES must be "):
        Config.from_environment(named)
    found = Config.from_environment(named | {"VOUCHERPOOL_CONSOLE_PROXIES": "10.1.0.5"})
    assert found.console_user_header == "X-User"
    assert [str(network) for network in found.console_proxies] == ["10.1.0.5/32"]
