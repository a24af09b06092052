"""Puts pgbouncer, or a slow wire, between gunicorn and PostgreSQL.

As a program it is that wire: `python -m tests.faults.between PORT SOCKET SECONDS`.
"""

import asyncio
import subprocess
import sys
from typing import Any

from sqlalchemy.engine import URL

from tests.faults.run import Run, require
from tests.patience import until
from tests.server import free_port, is_listening
from voucherpool.local.postgres import LocalPostgres

timeouts = """
    ALTER ROLE postgres SET statement_timeout = '3s';
    ALTER ROLE postgres SET lock_timeout = '2s';
    ALTER ROLE postgres SET idle_in_transaction_session_timeout = '5s';
    ALTER ROLE postgres SET default_transaction_isolation = 'read committed';
    ALTER ROLE postgres SET timezone = 'UTC'"""
"""As docs/operations.md has them."""

settings = """
[databases]
postgres = host={run} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
user = nobody
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
query_wait_timeout = 2
server_connect_timeout = 2
server_login_retry = 1
"""


def pgbouncer(run: Run, server: LocalPostgres) -> URL:
    """Start pgbouncer in front of a PostgreSQL and return its address."""
    require("pgbouncer")
    run.sql(timeouts)
    port = free_port()
    file = run.folder() / "pgbouncer.ini"
    file.write_text(settings.format(run=server.run, port=port))
    return started(run, port, "pgbouncer", str(file))


def slow(run: Run, server: LocalPostgres, seconds: float) -> URL:
    """Start a wire to a PostgreSQL that takes so long each way, and return its address."""
    port, socket = free_port(), str(server.run / ".s.PGSQL.5432")
    wire = (sys.executable, "-m", "tests.faults.between", str(port), socket, str(seconds))
    return started(run, port, *wire)


def started(run: Run, port: int, *command: str) -> URL:
    """Start what listens on a port, and return the address of PostgreSQL behind it."""
    silent: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **silent)
    run.running.callback(process.wait)
    run.running.callback(process.kill)
    until(lambda: is_listening(port))
    return run.url.difference_update_query(["host", "port"]).set(host="127.0.0.1", port=port)


async def carry(reader: Any, writer: Any, seconds: float) -> None:
    """Pass on what arrives, each piece so long after it came."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def deliver() -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                return writer.close()
            writer.write(piece)

    delivering = asyncio.create_task(deliver())
    piece = b"-"
    while piece:
        try:
            piece = await reader.read(65536)
        except ConnectionError:
            piece = b""
        pieces.put_nowait((loop.time() + seconds, piece))
    await delivering


async def serve(port: str, socket: str, seconds: str) -> None:
    """Be the wire."""

    async def connect(reader: Any, writer: Any) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        pause = float(seconds)
        await asyncio.gather(carry(reader, back, pause), carry(there, writer, pause))

    server = await asyncio.start_server(connect, "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
