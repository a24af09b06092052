"""Self-hosted voucher service: issues, hands out, checks and redeems discount vouchers."""

import os

from flask import Flask
from flask_migrate import Migrate

import voucherpool.apikeys.commands
import voucherpool.archive.commands
import voucherpool.batches.commands
import voucherpool.changes.commands
import voucherpool.console.users.commands
import voucherpool.erasure.commands
import voucherpool.files.commands
import voucherpool.mail.commands
import voucherpool.offers.commands
import voucherpool.operations.commands
import voucherpool.schedules.commands
import voucherpool.statistics.commands
import voucherpool.support.commands
import voucherpool.webhooks.commands  # noqa: F401 (each adds its commands to voucherpool.cli)
from voucherpool import cli
from voucherpool.batches import routes as batches
from voucherpool.changes import routes as changes
from voucherpool.claims import routes as claims
from voucherpool.config.settings import Config, beside
from voucherpool.console import routes as console
from voucherpool.customers import routes as customers
from voucherpool.database import connections
from voucherpool.database.model import db
from voucherpool.erasure import routes as erasing
from voucherpool.erasure import service as erasure
from voucherpool.events import routes as notifications
from voucherpool.files import routes as files
from voucherpool.http import (
    audit_log,
    authentication,
    bodies,
    probes,
    problems,
    request_metrics,
    throttle,
)
from voucherpool.http.documentation import document, page, pages
from voucherpool.http.exchange import Exchange
from voucherpool.http.files import transfers
from voucherpool.http.idempotency import keys as idempotency
from voucherpool.http.routes import IdConverter
from voucherpool.mail import routes as mail
from voucherpool.offers import routes as offers
from voucherpool.redemptions import routes as redemptions
from voucherpool.schedules import routes as schedules
from voucherpool.statistics import routes as statistics
from voucherpool.support import routes as support
from voucherpool.vouchers import routes as vouchers
from voucherpool.webhooks import routes as webhooks


class Application(Flask):
    """Flask with our checks of a request's body."""

    request_class = bodies.Request


def create_app(config: Config | None = None) -> Flask:
    """Return the application; without a `config`, the environment configures it.

    Raises ConfigurationError when an environment variable is missing or wrong.
    """
    app = Application(__name__, static_folder=None)
    app.config.from_mapping((config or Config.from_environment(os.environ)).for_flask())
    app.config["MAX_CONTENT_LENGTH"] = bodies.most_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # Behind a proxy a redirect names http: a client would repeat codes and e-mails in the clear.
    app.url_map.merge_slashes = False
    db.init_app(app)
    with app.app_context():
        connections.set_up(db.engine)
    app.wsgi_app = Exchange(app.wsgi_app, app.config["LOG"])  # type: ignore[method-assign]
    Migrate(app, db, directory=str(beside("migrations")))
    authentication.init_app(app)
    throttle.init_app(app)
    idempotency.init_app(app, erasure.redacted)
    transfers.init_app(app)
    probes.init_app(app)
    app.url_map.converters["id"] = IdConverter
    if app.config["DOCS"]:
        for documented in (document, page, pages):
            documented.init_app(app)
    for part in (
        # In the order of the documentation.
        *(vouchers, claims, redemptions, support, offers, statistics, batches, changes, files),
        *(schedules, customers, erasing, mail, notifications, webhooks, audit_log, probes),
        request_metrics,
    ):
        app.register_blueprint(part.blueprint)
    console.init_app(app)
    problems.init_app(app)
    cli.init_app(app)
    return app
