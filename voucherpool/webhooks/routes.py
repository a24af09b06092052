"""The webhooks' routes."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec

from flask import Response, current_app

from voucherpool.database.paging import Page
from voucherpool.errors import SecretKeyNotConfigured, WebhookDisabled, WebhookNotFound
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write
from voucherpool.input.schemas import PageRequest
from voucherpool.webhooks import schemas, service
from voucherpool.webhooks.addresses import Policy

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[Fields, Arguments], Response]

blueprint = Blueprint(
    "webhooks",
    __name__,
    url_prefix="/webhooks",
    description="Endpoints that events are sent to, signed.",
)


def checked(view: View[Arguments]) -> View[Arguments]:
    """Resolve and check the body's URL before the view opens its transaction."""

    @wraps(view)
    def run(body: Fields, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
        if "url" in body:
            Policy(current_app.config["WEBHOOKS_ALLOW"]).require(body["url"])
        return view(body, *args, **kwargs)

    return run


@blueprint.post("")
@blueprint.guarded("admin", SecretKeyNotConfigured, service.TooManyWebhooks)
@blueprint.arguments(schemas.NewWebhook())
@checked
@write
@blueprint.response(201, schemas.WebhookWithSecret())
def create_webhook(body: Fields) -> Mapping[str, object]:
    """Create a webhook; only this answer shows its secret.

    A repeat under the same Idempotency-Key shows null: rotate the secret if the answer was lost.
    There may be at most 100 webhooks.
    """
    return service.create(**body, keys=current_app.config["SECRET_KEYS"])


@blueprint.get("")
@blueprint.guarded("admin")
@blueprint.arguments(PageRequest(), location="query")
@blueprint.response(200, schemas.webhooks_page)
def list_webhooks(query: Fields) -> Page:
    """List the webhooks, the oldest first."""
    return service.list_webhooks(query["limit"], query.get("cursor"))


@blueprint.post("/<id:webhook_id>/rotate-secret")
@blueprint.guarded("admin", WebhookNotFound, SecretKeyNotConfigured)
@blueprint.arguments(schemas.Rotation(), required=False)
@write
@blueprint.response(200, schemas.WebhookWithSecret())
def rotate_webhook_secret(body: Fields, webhook_id: int) -> Mapping[str, object]:
    """Give a webhook a new secret; the previous one signs too for a while."""
    return service.rotate_secret(webhook_id, **body, keys=current_app.config["SECRET_KEYS"])


@blueprint.post("/<id:webhook_id>/replay")
@blueprint.guarded("admin", WebhookNotFound, WebhookDisabled)
@blueprint.arguments(schemas.Replay())
@write
@blueprint.response(202, schemas.Queued())
def replay_events(body: Fields, webhook_id: int) -> Fields:
    """Queue the events of a webhook's types again, from a moment on; delivered ones too.

    They are queued in the background. Switching the webhook off ends that.
    """
    return {"queued": service.replay(webhook_id, body["since"])}


@blueprint.get("/<id:webhook_id>/deliveries")
@blueprint.guarded("admin", WebhookNotFound)
@blueprint.arguments(schemas.DeliveriesRequest(), location="query")
@blueprint.response(200, schemas.deliveries_page)
def list_deliveries(query: Fields, webhook_id: int) -> Page:
    """List the deliveries of a webhook, the newest event first."""
    return service.list_deliveries(
        webhook_id, query["limit"], query.get("state"), query.get("cursor")
    )


@blueprint.get("/<id:webhook_id>")
@blueprint.guarded("admin", WebhookNotFound)
@blueprint.response(200, schemas.Webhook())
def read_webhook(webhook_id: int) -> service.Shown:
    """Read a webhook."""
    return service.read(webhook_id)


@blueprint.patch("/<id:webhook_id>")
@blueprint.guarded("admin", WebhookNotFound)
@blueprint.arguments(schemas.WebhookChanges(), required=False)
@checked
@write
@blueprint.response(200, schemas.Webhook())
def change_webhook(body: Fields, webhook_id: int) -> service.Shown:
    """Change a webhook's address or types, or disable or enable it.

    Switching off parks what waits, in the background; nothing is sent meanwhile. More types, and
    switching on, move `active_from`.
    """
    return service.change(webhook_id, **body)


@blueprint.delete("/<id:webhook_id>")
@blueprint.guarded("admin", WebhookNotFound)
@write
@blueprint.response(204)
def delete_webhook(webhook_id: int) -> None:
    """Delete a webhook; its deliveries are deleted in the background."""
    service.remove(webhook_id)
