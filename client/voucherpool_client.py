"""A client of voucherpool in one file, which needs nothing but Python 3.11 or newer.

    client = Client("https://vouchers.example.com", "vp_…")
    try:
        client.redeem_voucher(code="CFZG-G4HZ-T15C", email="ana@example.com", order_ref="1001")
    except Refused as refused:
        print(refused.code)

Each write has one Idempotency-Key, which its repeats keep: sent often, it is done once.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import sleep
from typing import (
    Any,
    Generic,
    Literal,
    NotRequired,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)
from urllib.parse import parse_qs, quote, urlencode, urlsplit

Number = Decimal | int
"""A number of an answer; amounts are exact, never floats."""

Amount = Decimal | float | str
"""An amount of a request in major units: 19.99 is nineteen euros and 99 cents."""

Item = TypeVar("Item")
Given = ParamSpec("Given")
next_page = re.compile('<([^>]*)>; rel="next"')
first_pause_seconds, longest_pause_seconds = 0.2, 10


class Failure(Exception):
    """A request that had no success.

    `idempotency_key` is the key of a write: to repeat it later, give the same key. The service asks
    to wait for `retry_after_seconds`, unless it is None.
    """

    idempotency_key: str | None = None
    retry_after_seconds: int | None = None


class Refused(Failure):
    """The service refused the request; `code` says why, and never changes.

    `errors` has the reasons by field.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code: str = problem.get("code", "unexpected_answer")
        self.detail: str = problem.get("detail", "")
        super().__init__(f"{self.code}: {self.detail}")
        self.request_id: str | None = problem.get("request_id")
        self.errors: dict[str, Any] = problem.get("errors", {})


class NoAnswer(Failure):
    """The service gave no answer, to the repeats neither: a write may have been done or not."""


class Page(TypedDict, Generic[Item]):
    """A page of a list; `next` is the cursor of the next one, None at the end."""

    items: list[Item]
    next: str | None


class Linked(list[Item]):
    """A page that is a bare list; `next` is the cursor of the next one, None at the end."""

    next: str | None = None


@overload
def all_items(
    call: Callable[Given, Linked[Item]], *args: Given.args, **more: Given.kwargs
) -> Iterator[Item]: ...
@overload
def all_items(
    call: Callable[Given, Page[Item]], *args: Given.args, **more: Given.kwargs
) -> Iterator[Item]: ...
def all_items(call: Callable[..., Any], *args: Any, **more: Any) -> Iterator[Any]:
    """Yield the items of all pages of a list: `all_items(client.list_offers, part="KOI")`."""
    while True:
        page = call(*args, **more)
        is_linked = isinstance(page, Linked)
        yield from page if is_linked else page["items"]
        cursor = page.next if is_linked else page["next"]
        if cursor is None:
            return
        more["cursor"] = cursor


class Connection:
    """Where the service is and how to ask it; each request has a connection of its own.

    So threads and forks share nothing. `timeout_seconds` is for connecting and for each wait for
    bytes; `attempts` is how often a request is sent if the service does not answer or cannot serve.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 5,
        attempts: int = 4,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a service, such as https://…: {url}")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._is_plain = parts.scheme == "http"
        self._headers = {"User-Agent": f"voucherpool-client/{__version__}"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout_seconds, self._attempts = timeout_seconds, attempts

    def _write(
        self, method: str, path: str, *ids: object, key: str | None, actor: str | None, **more: Any
    ) -> Any:
        """Send a request that changes something, under one key."""
        headers = {"Idempotency-Key": str(uuid.uuid4()) if key is None else key}
        if actor is not None:
            headers["Voucherpool-Actor"] = actor
        return self._send(method, path, *ids, headers=headers, **more)

    def _send(
        self,
        method: str,
        path: str,
        *ids: object,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, with the ids in the gaps of its path, and return what is answered."""
        target = self._prefix + path.format(*(quote(str(one), safe="") for one in ids))
        if asked := {name: one for name, one in (query or {}).items() if one is not None}:
            target += "?" + urlencode({name: _in_address(one) for name, one in asked.items()})
        if isinstance(body, Mapping):
            # A field is `from_` where Python has no `from`.
            named = {name.rstrip("_"): value for name, value in body.items()}
            body = json.dumps(named, default=_exact)
        content = body.encode() if isinstance(body, str) else body
        sent = {**self._headers, "Content-Type": content_type, **(headers or {})}
        return self._repeat(method, target, content, sent)

    def _repeat(self, method: str, target: str, content: bytes | None, sent: dict[str, str]) -> Any:
        """Send a request until it is answered, or refused for another reason than a 503.

        Raises Refused and NoAnswer.
        """
        attempt = 1
        while True:
            try:
                return self._exchange(method, target, content, sent)
            except Failure as failure:
                failure.idempotency_key = sent.get("Idempotency-Key")
                pause = failure.retry_after_seconds or first_pause_seconds * 2**attempt
                is_final = isinstance(failure, Refused) and failure.status != 503
                if is_final or attempt >= self._attempts or pause > longest_pause_seconds:
                    raise
            sleep(pause)
            attempt += 1

    def _exchange(
        self, method: str, target: str, content: bytes | None, sent: dict[str, str]
    ) -> Any:
        connect = HTTPConnection if self._is_plain else HTTPSConnection
        connection = connect(self._host, self._port, timeout=self._timeout_seconds)
        try:
            with closing(connection):
                connection.request(method, target, content, sent)
                answer = connection.getresponse()
                received = answer.read()
        except (OSError, HTTPException) as error:
            raise NoAnswer(f"no answer from {self._host}: {error!r}") from error
        if answer.status >= 300:
            raise _failure(answer.status, answer.reason, answer.headers, received)
        return _value(answer.headers, received)


def _in_address(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _exact(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"not a value of JSON: {value!r}")


def _failure(status: int, reason: str, headers: Message, content: bytes) -> Failure:
    failure: Failure
    if headers.get_content_type() == "application/problem+json":
        failure = Refused(status, json.loads(content))
    elif status >= 500:
        failure = NoAnswer(f"{status} {reason}, from a proxy")
    else:
        detail = f"{status} {reason}, which is no answer of voucherpool"
        failure = Refused(status, {"detail": detail})
    waits = headers.get("Retry-After", "")
    failure.retry_after_seconds = int(waits) if waits.isdecimal() else None
    return failure


def _value(headers: Message, content: bytes) -> Any:
    if not content:
        return None
    if headers.get_content_type() != "application/json":
        return content.decode()
    value = json.loads(content, parse_float=Decimal)
    if isinstance(value, list):
        value = Linked(value)
        if found := next_page.search(headers.get("Link", "")):
            [value.next] = parse_qs(urlsplit(found[1]).query)["cursor"]
    return value


# --- From here on `make client` writes this file, from the service's OpenAPI document. ---

__version__ = "0.2.0"


class Problem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: NotRequired[dict[str, Any]]


class GenerateRequest(TypedDict):
    email: str | None
    offer_name: str
    discount: NotRequired[Amount | None]
    expiry: str | None
    code: NotRequired[str | None]
    max_redemptions: NotRequired[int | None]
    freeze_discount: NotRequired[bool | None]
    notify: NotRequired[bool | None]
    create_customer: NotRequired[bool | None]


class IssuedVoucher(TypedDict):
    code: str


class RedeemRequest(TypedDict):
    code: str
    email: str
    order_amount: NotRequired[Amount | None]
    currency: NotRequired[str | None]
    create_customer: NotRequired[bool | None]
    client_ref: NotRequired[str | None]
    order_ref: NotRequired[str | None]
    hold_id: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]


class RedemptionResult(TypedDict):
    discount: Number
    discount_type: NotRequired[str]
    currency: NotRequired[str]
    discount_amount: NotRequired[Number]
    redemption_id: str
    redeemed_at: str
    metadata: NotRequired[dict[str, str]]


class CheckRequest(TypedDict):
    code: str
    email: NotRequired[str | None]
    order_amount: NotRequired[Amount | None]
    currency: NotRequired[str | None]
    create_customer: NotRequired[bool | None]
    client_ref: NotRequired[str | None]
    order_ref: NotRequired[str | None]
    hold_id: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]


class CheckResult(TypedDict):
    discount: NotRequired[Number]
    discount_type: NotRequired[str]
    currency: NotRequired[str]
    discount_amount: NotRequired[Number]
    redeemable: bool
    reason: NotRequired[str]
    offer_name: NotRequired[str]
    expires_at: NotRequired[str]


class HoldRequest(TypedDict):
    code: str
    email: str
    order_amount: NotRequired[Amount | None]
    currency: NotRequired[str | None]
    create_customer: NotRequired[bool | None]
    client_ref: NotRequired[str | None]
    ttl_seconds: NotRequired[int | None]


class Hold(TypedDict):
    hold_id: str
    held_until: str


class ReleaseRequest(TypedDict):
    hold_id: str


class ListedVoucher(TypedDict):
    discount: Number
    discount_type: NotRequired[str]
    currency: NotRequired[str]
    discount_amount: NotRequired[Number]
    code: str
    offer_name: str
    expires_at: str | None


class ClaimRequest(TypedDict):
    email: str
    offer_name: str
    claim_ref: NotRequired[str | None]
    create_customer: NotRequired[bool | None]
    client_ref: NotRequired[str | None]


class ClaimedVoucher(TypedDict):
    code: str
    expires_at: str | None
    offer_name: str


class Redemption(TypedDict):
    id: str
    code: str
    email: str | None
    offer_name: str
    order_ref: str | None
    order_amount: Number | None
    discount: Number
    discount_type: str
    currency: str | None
    discount_amount: Number | None
    redeemed_at: str
    reversed_at: str | None
    kind: Literal["redeemed", "imported"]
    metadata: dict[str, str] | None


class Money(TypedDict):
    currency: str | None
    amount: Number


class RedemptionSearch(TypedDict):
    limit: NotRequired[int | None]
    order: NotRequired[Literal["ascending", "descending"] | None]
    code: NotRequired[str | None]
    offer_id: NotRequired[int | None]
    offer_name: NotRequired[str | None]
    batch_id: NotRequired[int | None]
    email: NotRequired[str | None]
    order_ref: NotRequired[str | None]
    from_: NotRequired[str | None]
    to: NotRequired[str | None]
    by: NotRequired[Literal["redeemed_at", "reversed_at"] | None]
    cursor: NotRequired[str | None]


class RedemptionExport(TypedDict):
    code: NotRequired[str | None]
    offer_id: NotRequired[int | None]
    offer_name: NotRequired[str | None]
    batch_id: NotRequired[int | None]
    email: NotRequired[str | None]
    order_ref: NotRequired[str | None]
    from_: NotRequired[str | None]
    to: NotRequired[str | None]
    by: NotRequired[Literal["redeemed_at", "reversed_at"] | None]
    bom: NotRequired[bool | None]


class Reversal(TypedDict):
    reason: NotRequired[str | None]


class OrderRequest(TypedDict):
    order_ref: str
    reason: NotRequired[str | None]


class LookupRequest(TypedDict):
    code: str
    cursor: NotRequired[str | None]


class VoucherHold(TypedDict):
    hold_id: str
    email: str
    held_until: str


class RecordedChange(TypedDict):
    action: str
    api_key: str | None
    actor: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    created_at: str


class RefusedAttempt(TypedDict):
    action: str | None
    order_ref: str | None
    email: str | None
    reason: str
    attempted_at: str


class VoucherChange(TypedDict):
    code: str
    starts_at: NotRequired[str | None]
    expiry: NotRequired[str | None]
    max_redemptions: NotRequired[int | None]
    email: NotRequired[str | None]
    disabled: NotRequired[bool | None]
    reason: NotRequired[str | None]


class SwitchRequest(TypedDict):
    code: str
    reason: NotRequired[str | None]


class VoucherSearch(TypedDict):
    limit: NotRequired[int | None]
    order: NotRequired[Literal["ascending", "descending"] | None]
    email: NotRequired[str | None]
    offer_id: NotRequired[int | None]
    offer_name: NotRequired[str | None]
    batch_id: NotRequired[int | None]
    state: NotRequired[
        Literal[
            "redeemable",
            "customer_not_found",
            "redemption_limit_reached",
            "voucher_already_redeemed",
            "voucher_expired",
            "voucher_disabled",
            "voucher_not_started",
            "offer_not_active",
            "voucher_held",
            "customer_limit_reached",
            "offer_budget_exhausted",
        ]
        | None
    ]
    code_part: NotRequired[str | None]
    expires_from: NotRequired[str | None]
    expires_to: NotRequired[str | None]
    cursor: NotRequired[str | None]


class FoundVoucher(TypedDict):
    code: str
    state: str
    email: str | None
    offer_name: str
    batch_id: int | None
    discount: Number
    discount_type: str
    currency: str | None
    expires_at: str | None
    max_redemptions: int
    redemption_count: int
    used_at: str | None
    disabled_at: str | None
    created_at: str
    claimed_at: str | None
    archived_at: str | None


class NewOffer(TypedDict):
    name: str
    discount: Amount
    discount_locked: NotRequired[bool | None]
    currency: NotRequired[str | None]
    currency_optional: NotRequired[bool | None]
    min_order_amount: NotRequired[Amount | None]
    max_discount_amount: NotRequired[Amount | None]
    starts_at: NotRequired[str | None]
    ends_at: NotRequired[str | None]
    max_redemptions_per_customer: NotRequired[int | None]
    max_redemptions: NotRequired[int | None]
    max_discount_total: NotRequired[Amount | None]
    max_claims_per_customer: NotRequired[int | None]
    pool_low_at: NotRequired[int | None]
    reminder_days: NotRequired[list[int] | None]
    metadata: NotRequired[dict[str, str] | None]
    discount_type: NotRequired[Literal["percentage", "fixed_amount"] | None]
    allow_similar_name: NotRequired[bool | None]


class Offer(TypedDict):
    id: int
    name: str
    discount: Number
    discount_locked: bool
    discount_type: str
    currency: str | None
    currency_optional: bool
    min_order_amount: Number | None
    max_discount_amount: Number | None
    starts_at: str | None
    ends_at: str | None
    max_redemptions_per_customer: int | None
    max_redemptions: int | None
    max_discount_total: Number | None
    max_claims_per_customer: int | None
    pool_low_at: int | None
    reminder_days: list[int] | None
    metadata: dict[str, str] | None
    created_at: str
    updated_at: str


class OfferChanges(TypedDict):
    name: NotRequired[str | None]
    discount: NotRequired[Amount | None]
    discount_locked: NotRequired[bool | None]
    currency: NotRequired[str | None]
    currency_optional: NotRequired[bool | None]
    min_order_amount: NotRequired[Amount | None]
    max_discount_amount: NotRequired[Amount | None]
    starts_at: NotRequired[str | None]
    ends_at: NotRequired[str | None]
    max_redemptions_per_customer: NotRequired[int | None]
    max_redemptions: NotRequired[int | None]
    max_discount_total: NotRequired[Amount | None]
    max_claims_per_customer: NotRequired[int | None]
    pool_low_at: NotRequired[int | None]
    reminder_days: NotRequired[list[int] | None]
    metadata: NotRequired[dict[str, str] | None]


class Budget(TypedDict):
    redemption_count: int
    discount_total: Number
    remaining_redemptions: int | None
    remaining_discount_total: Number | None


class CodePattern(TypedDict):
    length: NotRequired[int | None]
    prefix: NotRequired[str | None]
    pattern: NotRequired[str | None]


class Batch(TypedDict):
    id: int
    offer_id: int
    state: Literal["pending", "running", "done", "failed", "cancelled"]
    requested: int
    created: int
    rate: int | None
    valid_for: str | None
    notify: bool
    metadata: dict[str, str] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: str | None


class NewChange(TypedDict):
    expiry: NotRequired[str | None]
    disabled: NotRequired[bool | None]
    only: NotRequired[Literal["all", "unused", "unclaimed"] | None]
    reason: NotRequired[str | None]
    dry_run: NotRequired[bool | None]


class Change(TypedDict):
    id: int
    offer_id: int
    batch_id: int | None
    state: Literal["pending", "running", "done", "failed", "cancelled"]
    changes: dict[str, Any]
    only: Literal["all", "unused", "unclaimed"]
    reason: str | None
    dry_run: bool
    matched: int | None
    changed: int
    skipped: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: str | None


class ImportResult(TypedDict):
    imported: int
    skipped: int
    skipped_lines: list[int]
    customers_created: int


class NewSchedule(TypedDict):
    name: str
    offer_name: str
    cron: str
    timezone: str
    audience: Literal["pool", "all_customers"] | list[str]
    valid_for: str
    count: NotRequired[int | None]
    discount: NotRequired[Amount | None]
    notify: NotRequired[bool | None]
    paused: NotRequired[bool | None]
    catch_up: NotRequired[str | None]


class Schedule(TypedDict):
    id: int
    name: str
    offer_name: str
    cron: str
    timezone: str
    audience: Literal["pool", "all_customers"] | list[str]
    valid_for: str
    count: int
    discount: Number | None
    notify: bool
    paused: bool
    catch_up: str
    next_at: str | None
    created_at: str
    updated_at: str


class SchedulePreviewRequest(TypedDict):
    cron: str
    timezone: str
    after: NotRequired[str | None]


class SchedulePreview(TypedDict):
    occurrences: list[str]


class ScheduleRun(TypedDict):
    occurrence: str
    state: Literal["done", "skipped", "failed"]
    batch_id: int | None
    error: str | None
    created_at: str


class ScheduleChanges(TypedDict):
    name: NotRequired[str | None]
    offer_name: NotRequired[str | None]
    cron: NotRequired[str | None]
    timezone: NotRequired[str | None]
    audience: NotRequired[Literal["pool", "all_customers"] | list[str] | None]
    valid_for: NotRequired[str | None]
    count: NotRequired[int | None]
    discount: NotRequired[Amount | None]
    notify: NotRequired[bool | None]
    paused: NotRequired[bool | None]
    catch_up: NotRequired[str | None]


class NewCustomer(TypedDict):
    email: str
    name: NotRequired[str | None]
    language: NotRequired[str | None]


class Customer(TypedDict):
    id: int
    email: str | None
    name: str | None
    language: str | None
    created_at: str


class CustomerChanges(TypedDict):
    email: NotRequired[str | None]
    name: NotRequired[str | None]
    language: NotRequired[str | None]


class OptOut(TypedDict):
    opted_out_at: str | None


class Event(TypedDict):
    number: int
    id: str
    type: Literal[
        "voucher.issued",
        "voucher.claimed",
        "voucher.redeemed",
        "voucher.changed",
        "voucher.disabled",
        "voucher.expiring",
        "redemption.reversed",
        "batch.finished",
        "pool.low",
        "budget.low",
        "budget.exhausted",
        "webhook.disabled",
    ]
    created_at: str
    data: dict[str, Any]


class NewWebhook(TypedDict):
    url: str
    event_types: list[
        Literal[
            "voucher.issued",
            "voucher.claimed",
            "voucher.redeemed",
            "voucher.changed",
            "voucher.disabled",
            "voucher.expiring",
            "redemption.reversed",
            "batch.finished",
            "pool.low",
            "budget.low",
            "budget.exhausted",
            "webhook.disabled",
        ]
    ]


class WebhookWithSecret(TypedDict):
    id: int
    url: str
    event_types: list[
        Literal[
            "voucher.issued",
            "voucher.claimed",
            "voucher.redeemed",
            "voucher.changed",
            "voucher.disabled",
            "voucher.expiring",
            "redemption.reversed",
            "batch.finished",
            "pool.low",
            "budget.low",
            "budget.exhausted",
            "webhook.disabled",
        ]
    ]
    active_from: str
    created_at: str
    updated_at: str
    failing_since: str | None
    disabled_at: str | None
    disabled_reason: str | None
    secret: str | None


class Webhook(TypedDict):
    id: int
    url: str
    event_types: list[
        Literal[
            "voucher.issued",
            "voucher.claimed",
            "voucher.redeemed",
            "voucher.changed",
            "voucher.disabled",
            "voucher.expiring",
            "redemption.reversed",
            "batch.finished",
            "pool.low",
            "budget.low",
            "budget.exhausted",
            "webhook.disabled",
        ]
    ]
    active_from: str
    created_at: str
    updated_at: str
    failing_since: str | None
    disabled_at: str | None
    disabled_reason: str | None


class SecretRotation(TypedDict):
    previous_valid_for_seconds: NotRequired[int | None]


class Replay(TypedDict):
    since: str


class ReplayResult(TypedDict):
    queued: int


class Delivery(TypedDict):
    number: int
    event_id: str | None
    type: str | None
    state: Literal["waiting", "delivered", "parked", "cancelled"]
    attempts: int
    due_at: str
    attempted_at: str | None
    status: int | None
    error: str | None
    finished_at: str | None


class WebhookChanges(TypedDict):
    url: NotRequired[str | None]
    event_types: NotRequired[
        list[
            Literal[
                "voucher.issued",
                "voucher.claimed",
                "voucher.redeemed",
                "voucher.changed",
                "voucher.disabled",
                "voucher.expiring",
                "redemption.reversed",
                "batch.finished",
                "pool.low",
                "budget.low",
                "budget.exhausted",
                "webhook.disabled",
            ]
        ]
        | None
    ]
    disabled: NotRequired[bool | None]


class AuditEntry(TypedDict):
    id: int
    created_at: str
    api_key_id: int | None
    api_key: str | None
    actor: str | None
    request_id: str | None
    action: str
    subject: str
    subject_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None


class LivenessStatus(TypedDict):
    status: Literal["alive"]


class ReadinessStatus(TypedDict):
    status: Literal["ready", "not ready"]
    reason: NotRequired[str]


class EventVoucher(TypedDict):
    code: str
    customer_id: int | None
    offer_id: int
    offer_name: str
    discount: Number
    discount_type: str
    currency: str | None
    expires_at: str | None
    max_redemptions: int
    redemption_count: int
    disabled_at: str | None
    batch_id: int | None


class EventRedemption(TypedDict):
    id: str
    customer_id: int
    order_ref: str | None
    order_amount: Number | None
    currency: str | None
    discount: Number
    discount_amount: Number | None
    redeemed_at: str
    reversed_at: str | None
    metadata: dict[str, str] | None


class EventBatch(TypedDict):
    id: int
    offer_id: int
    requested: int
    state: str
    metadata: dict[str, str] | None


class EventOffer(TypedDict):
    id: int
    name: str
    pool_low_at: int
    metadata: dict[str, str] | None


class EventBudget(TypedDict):
    id: int
    name: str
    currency: str | None
    max_redemptions: int | None
    redemption_count: int
    max_discount_total: Number | None
    discount_total: Number
    metadata: dict[str, str] | None


class EventWebhook(TypedDict):
    id: int
    reason: str


class FoundRedemptions(TypedDict):
    items: list[Redemption]
    next: str | None


class OrderRedemptions(TypedDict):
    items: list[Redemption]


class Redemptions(TypedDict):
    items: list[Redemption]
    next: str | None
    discounted: list[Money] | None


class DayTotals(TypedDict):
    issued: int
    claimed: int
    redeemed: int
    reversed: int
    discounted: list[Money]
    given_back: list[Money]
    turnover: list[Money]
    turnover_given_back: list[Money]
    day: str


class OfferTotals(TypedDict):
    issued: int
    claimed: int
    redeemed: int
    reversed: int
    discounted: list[Money]
    given_back: list[Money]
    turnover: list[Money]
    turnover_given_back: list[Money]
    offer_id: int
    offer_name: str


class VoucherRecord(TypedDict):
    code: str
    email: str | None
    offer_name: str
    discount: Number
    discount_type: str
    currency: str | None
    frozen: bool
    starts_at: str | None
    expires_at: str | None
    max_redemptions: int
    redemption_count: int
    used_at: str | None
    disabled_at: str | None
    created_at: str
    claimed_at: str | None
    batch_id: int | None
    claim_ref: str | None
    archived_at: str | None
    holds: list[VoucherHold]
    redemptions: list[Redemption]
    next_redemptions: str | None
    changes: list[RecordedChange]
    refused_attempts: list[RefusedAttempt]


class FoundVouchers(TypedDict):
    items: list[FoundVoucher]
    next: str | None


class Offers(TypedDict):
    items: list[Offer]
    next: str | None


class NewBatch(TypedDict):
    count: NotRequired[int | None]
    expiry: str | None
    code: NotRequired[CodePattern | None]
    max_redemptions: NotRequired[int | None]
    freeze_discount: NotRequired[bool | None]
    valid_for: NotRequired[str | None]
    audience: NotRequired[Literal["pool", "all_customers"] | list[str] | None]
    notify: NotRequired[bool | None]
    metadata: NotRequired[dict[str, str] | None]


class Batches(TypedDict):
    items: list[Batch]
    next: str | None


class Changes(TypedDict):
    items: list[Change]
    next: str | None


class Schedules(TypedDict):
    items: list[Schedule]
    next: str | None


class ScheduleRuns(TypedDict):
    items: list[ScheduleRun]
    next: str | None


class Customers(TypedDict):
    items: list[Customer]
    next: str | None


class Events(TypedDict):
    items: list[Event]
    next: int


class Webhooks(TypedDict):
    items: list[Webhook]
    next: str | None


class Deliveries(TypedDict):
    items: list[Delivery]
    next: str | None


class AuditEntries(TypedDict):
    items: list[AuditEntry]
    next: str | None


class VoucherIssuedEventData(TypedDict):
    voucher: EventVoucher
    email: str | None


class VoucherClaimedEventData(TypedDict):
    voucher: EventVoucher
    email: str | None


class VoucherChangedEventData(TypedDict):
    voucher: EventVoucher
    email: str | None


class VoucherDisabledEventData(TypedDict):
    voucher: EventVoucher
    email: str | None


class VoucherExpiringEventData(TypedDict):
    voucher: EventVoucher
    days_before: int
    email: str | None


class VoucherRedeemedEventData(TypedDict):
    voucher: EventVoucher
    redemption: EventRedemption
    email: str | None


class RedemptionReversedEventData(TypedDict):
    voucher: EventVoucher
    redemption: EventRedemption
    email: str | None


class BatchFinishedEventData(TypedDict):
    batch: EventBatch
    email: str | None


class PoolLowEventData(TypedDict):
    offer: EventOffer
    email: str | None


class BudgetLowEventData(TypedDict):
    offer: EventBudget
    percent: int
    email: str | None


class BudgetExhaustedEventData(TypedDict):
    offer: EventBudget
    percent: int
    email: str | None


class WebhookDisabledEventData(TypedDict):
    webhook: EventWebhook
    email: str | None


class Statistics(TypedDict):
    issued: int
    claimed: int
    redeemed: int
    reversed: int
    discounted: list[Money]
    given_back: list[Money]
    turnover: list[Money]
    turnover_given_back: list[Money]
    expired: int
    open: int
    budget: Budget | None
    days: list[DayTotals]


class AllStatistics(TypedDict):
    issued: int
    claimed: int
    redeemed: int
    reversed: int
    discounted: list[Money]
    given_back: list[Money]
    turnover: list[Money]
    turnover_given_back: list[Money]
    offers: list[OfferTotals]
    days: list[DayTotals]


class VoucherIssuedEvent(TypedDict):
    type: Literal["voucher.issued"]
    timestamp: str
    number: int
    data: VoucherIssuedEventData


class VoucherClaimedEvent(TypedDict):
    type: Literal["voucher.claimed"]
    timestamp: str
    number: int
    data: VoucherClaimedEventData


class VoucherChangedEvent(TypedDict):
    type: Literal["voucher.changed"]
    timestamp: str
    number: int
    data: VoucherChangedEventData


class VoucherDisabledEvent(TypedDict):
    type: Literal["voucher.disabled"]
    timestamp: str
    number: int
    data: VoucherDisabledEventData


class VoucherExpiringEvent(TypedDict):
    type: Literal["voucher.expiring"]
    timestamp: str
    number: int
    data: VoucherExpiringEventData


class VoucherRedeemedEvent(TypedDict):
    type: Literal["voucher.redeemed"]
    timestamp: str
    number: int
    data: VoucherRedeemedEventData


class RedemptionReversedEvent(TypedDict):
    type: Literal["redemption.reversed"]
    timestamp: str
    number: int
    data: RedemptionReversedEventData


class BatchFinishedEvent(TypedDict):
    type: Literal["batch.finished"]
    timestamp: str
    number: int
    data: BatchFinishedEventData


class PoolLowEvent(TypedDict):
    type: Literal["pool.low"]
    timestamp: str
    number: int
    data: PoolLowEventData


class BudgetLowEvent(TypedDict):
    type: Literal["budget.low"]
    timestamp: str
    number: int
    data: BudgetLowEventData


class BudgetExhaustedEvent(TypedDict):
    type: Literal["budget.exhausted"]
    timestamp: str
    number: int
    data: BudgetExhaustedEventData


class WebhookDisabledEvent(TypedDict):
    type: Literal["webhook.disabled"]
    timestamp: str
    number: int
    data: WebhookDisabledEventData


class Client(Connection):
    """The operations of the service."""

    def generate_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[GenerateRequest],
    ) -> IssuedVoucher:
        """Issue a voucher."""
        answer: IssuedVoucher = self._write(
            "POST", "/vouchers/generate", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def redeem_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[RedeemRequest],
    ) -> RedemptionResult:
        """Redeem one use of a voucher; a hold of the customer is used up."""
        answer: RedemptionResult = self._write(
            "POST", "/vouchers/redeem", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def check_voucher(self, **body: Unpack[CheckRequest]) -> CheckResult:
        """Check whether a voucher can be redeemed now, without using it."""
        answer: CheckResult = self._send("POST", "/vouchers/check", body=body)
        return answer

    def hold_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[HoldRequest],
    ) -> Hold:
        """Reserve one use of a voucher, or extend the customer's open hold."""
        answer: Hold = self._write(
            "POST", "/vouchers/hold", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def release_hold(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[ReleaseRequest],
    ) -> None:
        """Release a hold; this succeeds even if the hold is over."""
        self._write("POST", "/vouchers/release", key=idempotency_key, actor=actor, body=body)

    def list_vouchers(
        self, *, limit: int | None = None, cursor: str | None = None, email: str
    ) -> Linked[ListedVoucher]:
        """List the vouchers that a customer can redeem now, earliest expiry first."""
        answer: Linked[ListedVoucher] = self._send(
            "GET", "/vouchers", query={"limit": limit, "cursor": cursor, "email": email}
        )
        return answer

    def claim_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[ClaimRequest],
    ) -> ClaimedVoucher:
        """Claim the voucher of an offer's pool that expires first, for a customer."""
        answer: ClaimedVoucher = self._write(
            "POST", "/vouchers/claim", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_redemptions(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        email: str | None = None,
        order_ref: str | None = None,
    ) -> Redemptions:
        """List the redemptions of an order, of a customer, or of both, the oldest first."""
        answer: Redemptions = self._send(
            "GET",
            "/redemptions",
            query={"limit": limit, "cursor": cursor, "email": email, "order_ref": order_ref},
        )
        return answer

    def search_redemptions(self, **body: Unpack[RedemptionSearch]) -> FoundRedemptions:
        """Search the redemptions, the oldest first; codes are in no address."""
        answer: FoundRedemptions = self._send("POST", "/redemptions/search", body=body)
        return answer

    def export_redemptions(self, **body: Unpack[RedemptionExport]) -> str:
        """Export the redemptions that a search finds as a file, the oldest first."""
        answer: str = self._send("POST", "/redemptions/export", body=body)
        return answer

    def reverse_redemption(
        self,
        redemption_id: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[Reversal],
    ) -> Redemption:
        """Give back a redemption; a repeat changes nothing."""
        answer: Redemption = self._write(
            "POST",
            "/redemptions/{}/reverse",
            redemption_id,
            key=idempotency_key,
            actor=actor,
            body=body,
        )
        return answer

    def reverse_order(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[OrderRequest],
    ) -> OrderRedemptions:
        """Give back all redemptions of an order."""
        answer: OrderRedemptions = self._write(
            "POST", "/redemptions/reverse", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def lookup_voucher(self, **body: Unpack[LookupRequest]) -> VoucherRecord:
        """Look up a voucher's record, for service."""
        answer: VoucherRecord = self._send("POST", "/vouchers/lookup", body=body)
        return answer

    def change_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[VoucherChange],
    ) -> VoucherRecord:
        """Change the window, the limit or the customer of a voucher; disable or enable it."""
        answer: VoucherRecord = self._write(
            "POST", "/vouchers/change", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def disable_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[SwitchRequest],
    ) -> VoucherRecord:
        """Disable a voucher until it is enabled."""
        answer: VoucherRecord = self._write(
            "POST", "/vouchers/disable", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def enable_voucher(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[SwitchRequest],
    ) -> VoucherRecord:
        """Enable a disabled voucher."""
        answer: VoucherRecord = self._write(
            "POST", "/vouchers/enable", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def search_vouchers(self, **body: Unpack[VoucherSearch]) -> FoundVouchers:
        """Search vouchers, including the archive, and say why each would not redeem."""
        answer: FoundVouchers = self._send("POST", "/vouchers/search", body=body)
        return answer

    def list_customers_vouchers(
        self, customer_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> FoundVouchers:
        """List all vouchers of a customer, and why each would not redeem; earliest expiry first."""
        answer: FoundVouchers = self._send(
            "GET", "/customers/{}/vouchers", customer_id, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def create_offer(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewOffer],
    ) -> Offer:
        """Create an offer."""
        answer: Offer = self._write("POST", "/offers", key=idempotency_key, actor=actor, body=body)
        return answer

    def list_offers(
        self, *, limit: int | None = None, cursor: str | None = None, part: str | None = None
    ) -> Offers:
        """List the offers, the oldest first; all, or those with a part of a name."""
        answer: Offers = self._send(
            "GET", "/offers", query={"limit": limit, "cursor": cursor, "part": part}
        )
        return answer

    def read_offer(self, offer_id: int) -> Offer:
        """Read an offer."""
        answer: Offer = self._send("GET", "/offers/{}", offer_id)
        return answer

    def change_offer(
        self,
        offer_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[OfferChanges],
    ) -> Offer:
        """Change terms of an offer; this affects its vouchers, except frozen discounts."""
        answer: Offer = self._write(
            "PATCH", "/offers/{}", offer_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def delete_offer(
        self, offer_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> None:
        """Delete an offer, its batches and its vouchers, if none was ever redeemed or is held."""
        self._write("DELETE", "/offers/{}", offer_id, key=idempotency_key, actor=actor)

    def read_statistics(
        self, offer_id: int, *, from_: str | None = None, to: str | None = None
    ) -> Statistics:
        """Count an offer's vouchers and redemptions, in total and by day, the newest day first."""
        answer: Statistics = self._send(
            "GET", "/offers/{}/stats", offer_id, query={"from": from_, "to": to}
        )
        return answer

    def read_all_statistics(
        self, *, from_: str | None = None, to: str | None = None
    ) -> AllStatistics:
        """Count the events of all offers in a period, in total, by offer, and by day."""
        answer: AllStatistics = self._send("GET", "/stats", query={"from": from_, "to": to})
        return answer

    def create_batch(
        self,
        offer_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewBatch],
    ) -> Batch:
        """Request vouchers in bulk; a worker generates them in the background."""
        answer: Batch = self._write(
            "POST", "/offers/{}/batches", offer_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_batches(
        self, offer_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> Batches:
        """List the batches of an offer, the oldest first."""
        answer: Batches = self._send(
            "GET", "/offers/{}/batches", offer_id, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def cancel_batch(
        self, batch_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> Batch:
        """Cancel a batch; the vouchers that it has issued stay."""
        answer: Batch = self._write(
            "POST", "/batches/{}/cancel", batch_id, key=idempotency_key, actor=actor
        )
        return answer

    def read_batch(self, batch_id: int) -> Batch:
        """Read a batch and its progress."""
        answer: Batch = self._send("GET", "/batches/{}", batch_id)
        return answer

    def delete_batch(
        self, batch_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> None:
        """Delete a batch and its vouchers, if none was ever redeemed or is held."""
        self._write("DELETE", "/batches/{}", batch_id, key=idempotency_key, actor=actor)

    def change_batch(
        self,
        batch_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewChange],
    ) -> Change:
        """Change or disable the vouchers of a batch; a worker does it in the background."""
        answer: Change = self._write(
            "POST", "/batches/{}/changes", batch_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def change_vouchers_of_offer(
        self,
        offer_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewChange],
    ) -> Change:
        """Change or disable the vouchers of an offer; a worker does it in the background."""
        answer: Change = self._write(
            "POST", "/offers/{}/changes", offer_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_changes(
        self, offer_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> Changes:
        """List the changes of an offer and its batches, the oldest first."""
        answer: Changes = self._send(
            "GET", "/offers/{}/changes", offer_id, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def read_change(self, change_id: int) -> Change:
        """Read a change and its progress."""
        answer: Change = self._send("GET", "/changes/{}", change_id)
        return answer

    def cancel_change(
        self, change_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> Change:
        """Cancel a change; what it has changed stays changed."""
        answer: Change = self._write(
            "POST", "/changes/{}/cancel", change_id, key=idempotency_key, actor=actor
        )
        return answer

    def export_offer(self, offer_id: int, *, bom: bool | None = None) -> str:
        """Export the vouchers of an offer as a file, in the order of issue."""
        answer: str = self._send("GET", "/offers/{}/codes", offer_id, query={"bom": bom})
        return answer

    def export_batch(self, batch_id: int, *, bom: bool | None = None) -> str:
        """Export the vouchers of a batch as a file, in the order of issue."""
        answer: str = self._send("GET", "/batches/{}/codes", batch_id, query={"bom": bom})
        return answer

    def import_vouchers(
        self,
        offer_id: int,
        content: str | bytes,
        *,
        expiry: str | None = None,
        timezone: str | None = None,
        encoding: Literal[
            "utf-8",
            "utf-16",
            "windows-1250",
            "windows-1251",
            "windows-1252",
            "windows-1253",
            "windows-1254",
        ]
        | None = None,
        on_conflict: Literal["refuse", "skip"] | None = None,
        create_customers: bool | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> ImportResult:
        """Issue the vouchers of a file, all of them or none; `expiry` is for lines without one."""
        answer: ImportResult = self._write(
            "POST",
            "/offers/{}/imports",
            offer_id,
            body=content,
            content_type="text/csv",
            query={
                "expiry": expiry,
                "timezone": timezone,
                "encoding": encoding,
                "on_conflict": on_conflict,
                "create_customers": create_customers,
            },
            key=idempotency_key,
            actor=actor,
        )
        return answer

    def create_schedule(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewSchedule],
    ) -> Schedule:
        """Create a schedule, which issues vouchers of an offer regularly."""
        answer: Schedule = self._write(
            "POST", "/schedules", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_schedules(self, *, limit: int | None = None, cursor: str | None = None) -> Schedules:
        """List the schedules, the oldest first."""
        answer: Schedules = self._send(
            "GET", "/schedules", query={"limit": limit, "cursor": cursor}
        )
        return answer

    def preview_schedule(self, **body: Unpack[SchedulePreviewRequest]) -> SchedulePreview:
        """Preview the next ten occurrences of a cron expression in a time zone."""
        answer: SchedulePreview = self._send("POST", "/schedules/preview", body=body)
        return answer

    def list_schedule_runs(
        self, schedule_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> ScheduleRuns:
        """List the runs of a schedule, the newest first."""
        answer: ScheduleRuns = self._send(
            "GET", "/schedules/{}/runs", schedule_id, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def read_schedule(self, schedule_id: int) -> Schedule:
        """Read a schedule."""
        answer: Schedule = self._send("GET", "/schedules/{}", schedule_id)
        return answer

    def change_schedule(
        self,
        schedule_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[ScheduleChanges],
    ) -> Schedule:
        """Change a schedule; the vouchers that it issued stay as they are."""
        answer: Schedule = self._write(
            "PATCH", "/schedules/{}", schedule_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def delete_schedule(
        self, schedule_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> None:
        """Delete a schedule and its runs; the batches and vouchers stay."""
        self._write("DELETE", "/schedules/{}", schedule_id, key=idempotency_key, actor=actor)

    def create_customer(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewCustomer],
    ) -> Customer:
        """Create a customer."""
        answer: Customer = self._write(
            "POST", "/customers", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_customers(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        email: str | None = None,
        part: str | None = None,
    ) -> Customers:
        """List the customers, the oldest first; by their e-mail, or a part of e-mail or name."""
        answer: Customers = self._send(
            "GET",
            "/customers",
            query={"limit": limit, "cursor": cursor, "email": email, "part": part},
        )
        return answer

    def read_customer(self, customer_id: int) -> Customer:
        """Read a customer."""
        answer: Customer = self._send("GET", "/customers/{}", customer_id)
        return answer

    def change_customer(
        self,
        customer_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[CustomerChanges],
    ) -> Customer:
        """Change a customer's e-mail, name or language."""
        answer: Customer = self._write(
            "PATCH", "/customers/{}", customer_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def erase_customer(
        self, customer_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> None:
        """Erase a customer's e-mail and name; vouchers and redemptions stay under the id."""
        self._write("DELETE", "/customers/{}", customer_id, key=idempotency_key, actor=actor)

    def export_customer(self, customer_id: int) -> dict[str, list[dict[str, Any]]]:
        """Export all that is kept about a customer: by table, the rows about this person."""
        answer: dict[str, list[dict[str, Any]]] = self._send(
            "GET", "/customers/{}/export", customer_id
        )
        return answer

    def read_opt_out(self, customer_id: int) -> OptOut:
        """Read whether a customer has opted out of e-mails."""
        answer: OptOut = self._send("GET", "/customers/{}/opt-out", customer_id)
        return answer

    def opt_out(
        self, customer_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> OptOut:
        """Opt a customer out of e-mails."""
        answer: OptOut = self._write(
            "PUT", "/customers/{}/opt-out", customer_id, key=idempotency_key, actor=actor
        )
        return answer

    def opt_in(
        self, customer_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> OptOut:
        """Send a customer e-mails again."""
        answer: OptOut = self._write(
            "DELETE", "/customers/{}/opt-out", customer_id, key=idempotency_key, actor=actor
        )
        return answer

    def list_events(self, *, after: int | None = None, limit: int | None = None) -> Events:
        """List events; new ones always come after those already listed."""
        answer: Events = self._send("GET", "/events", query={"after": after, "limit": limit})
        return answer

    def create_webhook(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[NewWebhook],
    ) -> WebhookWithSecret:
        """Create a webhook; only this answer shows its secret."""
        answer: WebhookWithSecret = self._write(
            "POST", "/webhooks", key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_webhooks(self, *, limit: int | None = None, cursor: str | None = None) -> Webhooks:
        """List the webhooks, the oldest first."""
        answer: Webhooks = self._send("GET", "/webhooks", query={"limit": limit, "cursor": cursor})
        return answer

    def rotate_webhook_secret(
        self,
        webhook_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[SecretRotation],
    ) -> WebhookWithSecret:
        """Give a webhook a new secret; the previous one signs too for a while."""
        answer: WebhookWithSecret = self._write(
            "POST",
            "/webhooks/{}/rotate-secret",
            webhook_id,
            key=idempotency_key,
            actor=actor,
            body=body,
        )
        return answer

    def replay_events(
        self,
        webhook_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[Replay],
    ) -> ReplayResult:
        """Queue the events of a webhook's types again, from a moment on; delivered ones too."""
        answer: ReplayResult = self._write(
            "POST", "/webhooks/{}/replay", webhook_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def list_deliveries(
        self,
        webhook_id: int,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        state: Literal["waiting", "delivered", "parked", "cancelled"] | None = None,
    ) -> Deliveries:
        """List the deliveries of a webhook, the newest event first."""
        answer: Deliveries = self._send(
            "GET",
            "/webhooks/{}/deliveries",
            webhook_id,
            query={"limit": limit, "cursor": cursor, "state": state},
        )
        return answer

    def read_webhook(self, webhook_id: int) -> Webhook:
        """Read a webhook."""
        answer: Webhook = self._send("GET", "/webhooks/{}", webhook_id)
        return answer

    def change_webhook(
        self,
        webhook_id: int,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        **body: Unpack[WebhookChanges],
    ) -> Webhook:
        """Change a webhook's address or types, or disable or enable it."""
        answer: Webhook = self._write(
            "PATCH", "/webhooks/{}", webhook_id, key=idempotency_key, actor=actor, body=body
        )
        return answer

    def delete_webhook(
        self, webhook_id: int, *, idempotency_key: str | None = None, actor: str | None = None
    ) -> None:
        """Delete a webhook; its deliveries are deleted in the background."""
        self._write("DELETE", "/webhooks/{}", webhook_id, key=idempotency_key, actor=actor)

    def list_audit_log(
        self,
        *,
        action: str | None = None,
        subject: str | None = None,
        subject_id: str | None = None,
        actor: str | None = None,
        api_key_id: int | None = None,
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AuditEntries:
        """List the administrative writes, the newest first."""
        answer: AuditEntries = self._send(
            "GET",
            "/audit-log",
            query={
                "action": action,
                "subject": subject,
                "subject_id": subject_id,
                "actor": actor,
                "api_key_id": api_key_id,
                "from": from_,
                "to": to,
                "limit": limit,
                "cursor": cursor,
            },
        )
        return answer

    def export_audit_log(
        self,
        *,
        action: str | None = None,
        subject: str | None = None,
        subject_id: str | None = None,
        actor: str | None = None,
        api_key_id: int | None = None,
        from_: str | None = None,
        to: str | None = None,
        bom: bool | None = None,
    ) -> str:
        """Export the administrative writes as a file, the newest first."""
        answer: str = self._send(
            "GET",
            "/audit-log/export",
            query={
                "action": action,
                "subject": subject,
                "subject_id": subject_id,
                "actor": actor,
                "api_key_id": api_key_id,
                "from": from_,
                "to": to,
                "bom": bom,
            },
        )
        return answer

    def show_metrics(self) -> str:
        """Show the metrics of all processes in Prometheus' text format."""
        answer: str = self._send("GET", "/metrics")
        return answer
