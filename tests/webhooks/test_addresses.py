"""Where a webhook may not lead: when it is set, when it is changed, and when it is called."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from tests.shop import outcome
from voucherpool.webhooks.delivery import sending
from voucherpool.webhooks.delivery.addresses import Policy, endpoint_of, is_public

types = ["voucher.issued"]
refused = "Must not lead to a private or reserved address"
inside = (
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.0.9", "192.0.2.1"),
    *("192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1"),
    *("2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1"),
    *("fd12:3456::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1"),
)
outside = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1")


@pytest.mark.parametrize("address", inside)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", outside)
def test_a_public_address_is_permitted(address):
    assert is_public(ip_address(address))


spellings = (
    *("127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "localhost"),
    *("169.254.169.254", "0.0.0.0", "0", "10.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]"),
    *("[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]"),
)


@pytest.mark.parametrize("host", spellings)
def test_a_webhook_cannot_be_set_or_changed_to_an_address_inside(client, host, sql):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://8.8.8.8/', '{voucher.issued}', '', now())"
    )
    url = f"http://{host}:8080/latest/meta-data"
    for answer in (
        client.post("/webhooks", json={"url": url, "event_types": types}),
        client.patch("/webhooks/1", json={"url": url}),
    ):
        assert outcome(answer) == (422, "validation_failed")
        assert answer.json["errors"]["url"][0].startswith(refused)
    assert sql("SELECT url FROM webhooks") == [("http://8.8.8.8/",)]


@pytest.mark.parametrize("host", ["no.such.name.invalid", "a..b", "x" * 64, "[1:2]", "256.1.1.1"])
def test_a_name_without_an_address_is_refused(client, host, monkeypatch):
    # No resolver outside of this machine is asked.
    real = socket.getaddrinfo

    def resolve(name, port, **options):
        return real(name, port, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    body = {"url": f"http://{host}/", "event_types": types}
    answer = client.post("/webhooks", json=body)
    assert outcome(answer) == (422, "validation_failed")
    assert "can be resolved" in answer.json["errors"]["url"][0]


def test_a_network_that_is_allowed_is_permitted_and_no_other():
    policy = Policy((ip_network("127.0.0.0/8"), ip_network("10.1.0.0/16")))
    assert [policy.permits(it) for it in ("127.0.0.1", "10.1.9.9", "8.8.8.8")] == [True] * 3
    assert [policy.permits(it) for it in ("10.2.0.1", "::1", "::ffff:127.0.0.1")] == [False] * 3


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]]
)
def test_a_name_that_changed_its_address_is_refused_when_it_is_called(receiver, addresses):
    answers = iter([["8.8.8.8"], addresses])
    policy = Policy((), lambda host, port: next(answers))
    url = f"http://hook.example:{receiver.port}/"
    policy.require(url)
    assert sending.post(policy, url, {}, "{}") == (None, "address_refused")
    assert receiver.all() == []


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_called(receiver):
    answers = iter([["127.0.0.1"]])  # a second question would raise StopIteration
    policy = Policy((ip_network("127.0.0.0/8"),), lambda host, port: next(answers))
    url = f"http://hook.example:{receiver.port}/path?query"
    assert sending.post(policy, url, {}, "{}") == (200, None)
    request = receiver.next()
    assert request.path == "/path?query"
    assert request.headers["Host"] == f"hook.example:{receiver.port}"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://example.org", ("http", "example.org", 80, "/")),
        ("https://example.org?a=@b", ("https", "example.org", 443, "/?a=@b")),
        ("https://[2606:4700::1111]:8443/a//b", ("https", "2606:4700::1111", 8443, "/a//b")),
        ("http://a.example/@127.0.0.1/", ("http", "a.example", 80, "/@127.0.0.1/")),
    ],
)
def test_an_address_is_taken_apart_as_it_was_checked(url, parts):
    assert endpoint_of(url) == parts
