"""All pages of the console, and what adds them to the application."""

from flask import Flask

from voucherpool.console import edge
from voucherpool.console.pages import (  # noqa: F401 (each adds its pages to the blueprint)
    activity,
    campaigns,
    changes,
    customers,
    offers,
    overview,
    redemptions,
    signing_in,
    vouchers,
)
from voucherpool.console.users import sessions


def init_app(app: Flask) -> None:
    """Add the console, unless the configuration leaves it out."""
    if app.config["CONSOLE"]:
        sessions.init_app(app)
        app.jinja_env.globals |= edge.for_macros
        app.register_blueprint(edge.blueprint)
