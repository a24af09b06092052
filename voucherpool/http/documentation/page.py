"""The page at /docs, on which people read the API and try it: Swagger UI."""

import importlib.util
from pathlib import Path

from flask import Flask, Response, send_from_directory, url_for

from voucherpool.http.authentication import open_to_all

own_files = Path(__file__).with_name("page")
own_names = {file.name for file in own_files.iterdir()}
page = (own_files / "index.html").read_text()
policy = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def init_app(app: Flask) -> None:
    """Serve the page with all of its files from this process; / leads to it."""
    swagger_ui = _swagger_ui()

    @app.get("/")
    @open_to_all
    def home() -> Response:
        """Lead to the page."""
        return Response(status=302, headers={"Location": url_for("docs")})

    @app.get("/docs")
    @open_to_all
    def docs() -> Response:
        """Serve the page."""
        return Response(page, headers={"Content-Security-Policy": policy}, mimetype="text/html")

    @app.get("/docs/assets/<string:name>")
    @open_to_all
    def docs_asset(name: str) -> Response:
        """Serve a file of Swagger UI, or one of the page's own."""
        folder = own_files if name in own_names else swagger_ui
        return send_from_directory(folder, name, max_age=86400)


def _swagger_ui() -> Path:
    # Do not import the package: its own blueprint is not needed.
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise RuntimeError("flask-swagger-ui is not installed: run `make run` again")
    return Path(spec.origin).parent / "dist"
