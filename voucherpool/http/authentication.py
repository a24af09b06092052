"""Authentication: a request needs an API key with the scope that its route names."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

from flask import Flask
from werkzeug.exceptions import NotFound

from voucherpool.apikeys import service as apikeys
from voucherpool.apikeys.errors import ApiKeyInvalid, ApiKeyRequired, ScopeMissing
from voucherpool.audit import actor
from voucherpool.http.bodies import Request, current_request
from voucherpool.http.routes import public
from voucherpool.input.errors import InvalidInput

View = TypeVar("View", bound=Callable[..., object])

forwarding_headers = re.compile(
    r"Forwarded|Via|CDN-Loop|X-Forwarded.*|X-Original-.*|X-Envoy-.*|CF-.*|Fastly-.*|Tailscale-.*"
    r"|X-Real-Ip|X-Client-Ip|X-Cluster-Client-Ip|True-Client-Ip|X-Amzn-Trace-Id",
    re.IGNORECASE,
)
"""The headers that proxies and tunnels add, by the names that they are known for."""
acceptable_actor = re.compile("[!-~](?:[ -~]{0,253}[!-~])?")
local_hosts = ("127.0.0.1", "localhost", "[::1]")


def open_to_all(view: View) -> View:
    """Mark a page that needs no API key; a Route says so by its scope."""
    view.scope = public  # type: ignore[attr-defined]
    return view


def init_app(app: Flask) -> None:
    """Check every request before its body is read; a route without a scope refuses everybody.

    It is a hook, so that no view can forget it.
    """
    app.extensions["apikeys"] = apikeys.KnownKeys()
    app.before_request(lambda: _check(app))
    if app.config["OPEN_MODE"]:
        app.logger.warning("Open mode: clients on this machine are served without an API key.")


def _check(app: Flask) -> None:
    request = current_request()
    # Flask takes `//` at the beginning for one slash, but a proxy knows rules for another path.
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound
    view = app.view_functions.get(request.endpoint or "")
    if view is None:
        return  # Flask answers 404 or 405
    scope = getattr(view, "scope", None)
    if scope == public:
        return
    grant = _grant(app, request)
    request.api_key_id, request.scope = grant.key_id, scope
    if scope not in grant.scopes and getattr(view, "or_scope", None) not in grant.scopes:
        raise ScopeMissing(f"The API key lacks the scope that this route needs: {scope}.")
    actor.name(actor.Actor(grant.key_id, grant.name, _named_actor(request)))


def _named_actor(request: Request) -> str | None:
    """Return the person for whom the shop sends the request, if it names one."""
    given: str | None = request.environ.get("HTTP_VOUCHERPOOL_ACTOR")
    if given is None or acceptable_actor.fullmatch(given):
        return given
    raise InvalidInput({"Voucherpool-Actor": ["Must be 1 to 255 printable ASCII characters."]})


def _grant(app: Flask, request: Request) -> apikeys.Grant:
    header = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        if app.config["OPEN_MODE"] and is_local(request):
            return apikeys.Grant(None, None, tuple(apikeys.scopes))
        raise ApiKeyRequired
    scheme, _, key = header.partition(" ")
    memory: apikeys.KnownKeys = app.extensions["apikeys"]
    grant = apikeys.grant(key.strip(), memory) if scheme.lower() == "bearer" else None
    if grant is None:
        raise ApiKeyInvalid
    return grant


def is_local(request: Request) -> bool:
    """Tell whether the request comes from a program on this machine, not through it.

    A forwarding header means a proxy, and a foreign Host a rebound name.
    """
    return (
        ip_address(request.remote_addr or "0.0.0.0").is_loopback  # noqa: S104
        and not any(map(forwarding_headers.fullmatch, request.headers.keys()))
        and request.host.rsplit(":", 1)[0] in local_hosts
        and not _is_cross_site(request)
    )


def _is_cross_site(request: Request) -> bool:
    """Tell whether a page of another origin caused the request, by each sign that browsers give.

    They are Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/), in which another port of this
    machine is `same-site`, and Origin and Referer, which older browsers send.
    """
    headers, own = request.headers, request.host_url
    return (
        headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        or f"{headers.get('Origin', own.rstrip('/'))}/" != own
        or not headers.get("Referer", own).startswith(own)
    )
