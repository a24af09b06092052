"""The errors of webhooks."""

from voucherpool.errors import Conflict, NotFound


class WebhookNotFound(NotFound):
    detail = "No webhook has this id."


class WebhookDisabled(Conflict):
    detail = "This webhook is disabled: enable it first."


class SecretKeyNotConfigured(Conflict):
    detail = (
        "This needs a key: set VOUCHERPOOL_SECRET_KEY to what `voucherpool secret-key` prints,"
        " for the service and its workers."
    )
