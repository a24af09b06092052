"""The webhooks' routes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask import current_app

from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.input.schemas import PageRequest
from voucherpool.webhooks import schemas, service
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.errors import SecretKeyNotConfigured, WebhookDisabled, WebhookNotFound
from voucherpool.webhooks.payloads import payloads

blueprint = Blueprint(
    "webhooks",
    __name__,
    url_prefix="/webhooks",
    description="Endpoints that events are sent to, signed.",
    payloads=payloads,
)


@contextmanager
def checked(fields: Fields, webhook_id: int = 0) -> Iterator[Fields]:
    """Resolve and check the body's URL before the transaction, which would wait for it."""
    if "url" in fields:
        Policy(current_app.config["WEBHOOKS_ALLOW"]).require(fields["url"])
    yield fields


@blueprint.post(
    "",
    scope="admin",
    body=schemas.NewWebhook(),
    answer=(201, schemas.WebhookWithSecret()),
    refuses=(SecretKeyNotConfigured, service.TooManyWebhooks),
    writes=True,
    around=checked,
)
def create_webhook(body: Fields) -> Mapping[str, object]:
    """Create a webhook; only this answer shows its secret.

    A repeat under the same Idempotency-Key shows null: rotate the secret if the answer was lost.
    There may be at most 100 webhooks.
    """
    return service.create(**body, keys=current_app.config["SECRET_KEYS"])


@blueprint.get("", scope="admin", query=PageRequest(), answer=(200, schemas.webhooks_page))
def list_webhooks(query: Fields) -> Page:
    """List the webhooks, the oldest first."""
    return service.list_webhooks(query["limit"], query.get("cursor"))


@blueprint.post(
    "/<id:webhook_id>/rotate-secret",
    scope="admin",
    body=schemas.SecretRotation(),
    body_is_optional=True,
    answer=(200, schemas.WebhookWithSecret()),
    refuses=(WebhookNotFound, SecretKeyNotConfigured),
    writes=True,
)
def rotate_webhook_secret(body: Fields, webhook_id: int) -> Mapping[str, object]:
    """Give a webhook a new secret; the previous one signs too for a while."""
    return service.rotate_secret(webhook_id, **body, keys=current_app.config["SECRET_KEYS"])


@blueprint.post(
    "/<id:webhook_id>/replay",
    scope="admin",
    body=schemas.Replay(),
    answer=(202, schemas.ReplayResult()),
    refuses=(WebhookNotFound, WebhookDisabled),
    writes=True,
)
def replay_events(body: Fields, webhook_id: int) -> Fields:
    """Queue the events of a webhook's types again, from a moment on; delivered ones too.

    They are queued in the background. Switching the webhook off ends that.
    """
    return {"queued": service.replay(webhook_id, body["since"])}


@blueprint.get(
    "/<id:webhook_id>/deliveries",
    scope="admin",
    query=schemas.DeliveriesRequest(),
    answer=(200, schemas.deliveries_page),
    refuses=(WebhookNotFound,),
)
def list_deliveries(query: Fields, webhook_id: int) -> Page:
    """List the deliveries of a webhook, the newest event first."""
    return service.list_deliveries(
        webhook_id, query["limit"], query.get("state"), query.get("cursor")
    )


@blueprint.get(
    "/<id:webhook_id>", scope="admin", answer=(200, schemas.Webhook()), refuses=(WebhookNotFound,)
)
def read_webhook(webhook_id: int) -> service.Shown:
    """Read a webhook."""
    return service.read(webhook_id)


@blueprint.patch(
    "/<id:webhook_id>",
    scope="admin",
    body=schemas.WebhookChanges(),
    body_is_optional=True,
    answer=(200, schemas.Webhook()),
    refuses=(WebhookNotFound,),
    writes=True,
    around=checked,
)
def change_webhook(body: Fields, webhook_id: int) -> service.Shown:
    """Change a webhook's address or types, or disable or enable it.

    Switching off parks what waits, in the background; nothing is sent meanwhile. More types, and
    switching on, move `active_from`.
    """
    return service.change(webhook_id, **body)


@blueprint.delete(
    "/<id:webhook_id>", scope="admin", answer=(204, None), refuses=(WebhookNotFound,), writes=True
)
def delete_webhook(webhook_id: int) -> None:
    """Delete a webhook; its deliveries are deleted in the background."""
    service.remove(webhook_id)
