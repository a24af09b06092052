"""Sends what the OpenAPI document allows and forbids, and gathers what is answered wrongly."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import schemathesis
import werkzeug
from flask import Flask
from hypothesis.strategies._internal import regex
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from voucherpool.input import formats
from voucherpool.schedules import occurrences

# A case would build the strategy of each of its patterns again, which takes longer than sending it.
regex.regex_strategy = cache(regex.regex_strategy)

# Refusals of data that keep the schema: what a schema cannot say is what the clock, the rows and
# two fields together say. Any other reason for a 422 means that the schema promises too much.
refusals_by_state = {"order_below_minimum", "idempotency_key_reused"}
reasons_by_state = {
    "Must be in the future.",  # by the clock
    # A schema counts no bytes.
    "Must have at most 64 bytes before the @.",
    "Must have a shorter domain, or shorter parts of it.",
    "Must be a date and time that exist.",  # 30 February has the form of a day
    "Must be from 2000-01-01 to 2199-12-31T23",
    *("Must not be before from.", "Must not be before expires_from."),
    "Must be before the expiry.",
    "In a query, write + as %2B.",  # no schema says how a client writes a blank
    # A schema gives numbers limits, but not the same amount as a text.
    "Must be greater than or equal to 0 and less than or equal to 1000000000000.",
    "Must be greater than or equal to 0.0001 and less than or equal to 1000000000000.",
    "Must be greater than or equal to 0.01 and less than or equal to 100.",
    "Must not be given beside expiry, its other name.",
    "Must be the cursor of the previous page.",
    "A new offer needs a discount.",
    "Give an email, an order_ref, or both.",
    "Name its subject, unless that is a voucher",  # look its code up instead
    *("A fixed amount needs a currency.", "A budget of money needs a currency"),
    *("Must be given, or another term to change.", "Must be given, or disabled."),
    "Must say why the vouchers are disabled.",
    "Must have 1 to 40 characters.",  # the name of a text, for which the cases have no dictionary
    "A percentage must be at most 100.",
    "Must be after starts_at.",
    "Must stay as it is",  # the currency that the offer has
    "Must not be given with length or prefix.",
    "The pool needs a count.",
    "Must result in 1 to 5000000 vouchers",
    "Must be a cron expression with a next run, such as 0 9 * * 1.",
    *(f"Wrong {field.replace('-', ' ')}" for field in occurrences.allowed),
    "Must be a time zone of IANA, such as Europe/Berlin.",
    *("Must be at most 31d.", "Must be at most 3650d."),
    "Must not lead to a private or reserved address that VOUCHERPOOL_WEBHOOKS_ALLOW does not name.",
    "Must have a host whose name can be resolved.",
    "No customers",  # the unknown ones are named after a colon
    *(f"Must have at most {decimals} decimals." for decimals in range(5)),  # by the currency
}
opt_out = "/customers/{customer_id}/opt-out"


@schemathesis.check
def refuses_valid_data_by_its_state_alone(_: Any, response: Any, case: Any) -> None:
    """Fail where data that keep the schema are refused for a reason that the schema could name."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.media_type == "text/csv":
        return  # no schema says what the lines of a file are
    if response.status_code == 422:
        problem = response.json()
        named = _reasons(problem.get("errors", {}))
        reasons = {re.split(":|, not ", reason)[0] for reason in named}
        assert problem["code"] in refusals_by_state or (reasons and reasons <= reasons_by_state)


def _reasons(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [reason for named in errors.values() for reason in _reasons(named)]
    return list(errors)


class Client(werkzeug.Client):
    """A client for schemathesis, which gives some of its requests the settings of a socket."""

    def open(self, *args: Any, **options: Any) -> Any:
        """Send a request without them, and take its whole answer, as a server does."""
        for setting in ("max_redirects", "verify", "cert"):
            options.pop(setting, None)
        return super().open(*args, buffered=True, **options)


@dataclass
class Findings:
    """How many requests were sent, how the routes answered, and what was wrong."""

    cases: int = 0
    server_errors: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    met: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    breaks: dict[Any, str] = field(default_factory=dict)

    @property
    def never_accepted(self) -> set[str]:
        """Return the routes that answered nothing with a 2xx."""
        return self.met - self.accepted

    def add(self, event: Any) -> None:
        """Take what an event of the engine tells."""
        if isinstance(event, events.NonFatalError):
            self.breaks[event.label, str(event.value)] = str(event.info)
        if isinstance(event, events.ScenarioFinished):
            for case, exchange in event.recorder.interactions.items():
                self._add_answer(event.recorder.cases[case].value, exchange.response.status_code)
            for case, checks in event.recorder.checks.items():
                for check in checks:
                    self._add_check(event.recorder, case, check)

    def _add_answer(self, case: Any, status: int) -> None:
        self.cases += 1
        self.server_errors += status >= 500
        self.met.add(case.operation.label)
        if 200 <= status < 300 and case.method.lower() == case.operation.method.lower():
            self.accepted.add(case.operation.label)

    def _add_check(self, recorder: Any, case: str, check: Any) -> None:
        self.checks[check.name] += 1
        if check.failure_info:
            failure = check.failure_info.failure
            answer = recorder.interactions[failure.case_id or case].response.text
            sample = f"{failure.message}\n{check.failure_info.code_sample}\n{answer}"
            self.breaks.setdefault((check.name, failure.operation), sample)


def explore(
    app: Flask,
    key: str,
    known: dict[str, list[str]],
    findings: Findings,
    *,
    seed: int,
    examples: int,
    borders: bool = True,
) -> None:
    """Send cases to the app, half of them with values that it knows, and add to the findings.

    `examples` are the random cases of each route, and the chains of routes; `borders` are all cases
    just within and just beyond what the document allows. `known` are values by the place and the
    name of what takes them, such as `body.email`.
    """
    accepted = {"expected-statuses": ["2xx", "404", "409", "410", "422"]}
    config = {
        "seed": seed,
        "auth": {"openapi": {"apiKey": {"bearer": key}}},
        "checks": {"positive_data_acceptance": accepted},
        "operations": [
            # After the deletion it says that the customer has not opted out.
            {"include-path": opt_out, "checks": {"use_after_free": {"enabled": False}}}
        ],
        "suppress-health-check": ["too_slow"],  # a busy machine is no fault
        "generation": {"max-examples": examples, "database": "none"},
        "cache": {"enabled": False},  # a run must not depend on the one before
        "dictionaries": {name: {"values": values} for name, values in known.items()},
        "phases": {"coverage": {"enabled": borders}},
        "parameters": {name: {"dictionary": name, "probability": 0.5} for name in known},
    }
    schema = schemathesis.openapi.from_wsgi(
        "/openapi.json", app, config=SchemathesisConfig.from_dict(config)
    )

    @schema.hook
    def filter_case(_: Any, case: Any) -> bool:
        is_positive = case.meta is not None and case.meta.generation.mode.is_positive
        return not is_positive or _keeps_property_names(case.body)

    for event in from_schema(schema).execute():
        findings.add(event)


def _keeps_property_names(body: Any) -> bool:
    """Tell whether metadata has the names that its schema allows, which the cases do not heed."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return all(formats.line.fullmatch(name) for name in metadata or ())
