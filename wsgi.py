"""The application as a WSGI server loads it."""

from voucherpool import create_app

app = create_app()
