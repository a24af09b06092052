"""The demo's calls of the service."""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import click

from voucherpool.local.start import host

actor = "ana@shop.example"
seconds_between_looks = 0.2
refused = 400


class Client:
    """Calls the service on this machine, in the name of a colleague."""

    def __init__(self, port: int, api_key: str | None = None) -> None:
        self._port = port
        self._headers = {"Voucherpool-Actor": actor}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the value of an answer. Raises OSError."""
        with closing(HTTPConnection(host, self._port, timeout=10)) as connection:
            sent = json.dumps(body) if body else None
            connection.request(method, path, sent, self._headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def make(self, path: str, body: Mapping[str, object]) -> Any:
        """POST the body and return the answer's value. Raises ClickException if it is refused."""
        status, value = self.call("POST", path, body)
        if status >= refused:
            raise click.ClickException(f"POST {path} was refused: {value}")
        return value

    def wait_for(self, path: str) -> Any:
        """Return the answer about work in the background when it is done."""
        while True:
            _, value = self.call("GET", path)
            if value["finished_at"]:
                return value
            time.sleep(seconds_between_looks)
