"""`make mutants`: breaks one condition of the service after another; the tests must notice each.

`mutants.toml` lists them. Each is put into a copy of the tree, where its tests run so many times;
in every run one of them must fail. Without a mutant all of them pass as often.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import flask_migrate
from sqlalchemy.engine import URL

from tests.conftest import config, fast, memory
from voucherpool import create_app
from voucherpool.config.settings import checkout
from voucherpool.database.model import db
from voucherpool.local.postgres import LocalPostgres

parts = ("voucherpool", "migrations", "seeds", "tests", "setup.cfg", "gunicorn.conf.py", "wsgi.py")
at_once = 2


@dataclass(frozen=True)
class Mutant:
    """A condition, Python or SQL, of a function, a method or a name of a module; what replaces it.

    The condition's words stand there once, with any blanks and line breaks between them. The tests
    must notice its absence.
    """

    file: str
    place: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file} {self.place}: {self.old} -> {self.new or 'nothing'}"

    def put_into(self, tree: Path) -> None:
        """Break the condition in the tree's file; raise ValueError unless it stands there once."""
        text = (tree / self.file).read_text()
        lines, place = text.splitlines(keepends=True), lines_of(self.place, text)
        broken, found = re.subn(spelt_anyhow(self.old), lambda _: self.new, "".join(lines[place]))
        if found != 1:
            raise ValueError(f"{self}: it stands there {found} times instead of once")
        lines[place] = [broken]
        (tree / self.file).write_text("".join(lines))


def lines_of(place: str, text: str) -> slice:
    """Return the lines of a function with its decorators, of a method, or of a module's name."""
    node: ast.AST = _parsed(text)
    for name in place.split("."):
        [node] = [child for child in ast.iter_child_nodes(node) if name in names_of(child)]
    first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
    return slice(first - 1, node.end_lineno)


@lru_cache(1)
def _parsed(text: str) -> ast.AST:
    return ast.parse(text)


def names_of(node: ast.AST) -> Collection[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def spelt_anyhow(condition: str) -> str:
    """Return the pattern of a condition's words, whatever blanks and line breaks are between."""
    return r"\s*".join(map(re.escape, re.findall(r"\w+|\S", condition)))


def listed() -> list[Mutant]:
    """Return the mutants of mutants.toml, in its order."""
    with (checkout / "tests" / "mutants.toml").open("rb") as file:
        groups = tomllib.load(file)["group"]
    return [
        Mutant(group["file"], place, old, new, tuple(f"tests/{test}" for test in group["tests"]))
        for group in groups
        for place, old, new in group["mutants"]
    ]


@contextmanager
def copy() -> Iterator[Path]:
    """Copy what the tests need of the tree into a folder of its own."""
    with TemporaryDirectory(prefix="voucherpool-mutant-") as folder:
        for part in parts:
            kind = shutil.copytree if (checkout / part).is_dir() else shutil.copy
            kind(checkout / part, Path(folder, part))
        yield Path(folder)


def migrate(template: URL) -> None:
    """Build the tables where each new database copies them from: no mutant is in a migration."""
    with create_app(config(template)).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()


def run(tree: Path, tests: Sequence[str], runs: int) -> subprocess.CompletedProcess[str]:
    """Run the tests so many times in the tree, each run until its first failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.repeat", f"--runs={runs}"]
    command += ["-p", "no:hypothesispytest", "-p", "no:xdist"]  # half of the start, for nothing
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [*command, *tests],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def passing(tests: Collection[str], runs: int) -> bool:
    """Tell whether the tests pass in every run without a mutant, and print what was seen."""
    begun = time.monotonic()
    with copy() as tree:
        seen = run(tree, sorted(tests), runs)
    word = "FAIL" if seen.returncode else "pass"
    click.echo(f"the tests {word}, {time.monotonic() - begun:.0f} s: no mutant")
    if seen.returncode:
        click.echo(seen.stdout[-8000:] + seen.stderr)
    return not seen.returncode


def killed(mutant: Mutant, runs: int) -> bool:
    """Tell whether every run notices the mutant, and print what was seen."""
    begun = time.monotonic()
    with copy() as tree:
        mutant.put_into(tree)
        seen = run(tree, mutant.tests, runs)
    noticed = re.search(rf"^noticed in (\d+) of {runs} runs by (.*)$", seen.stdout, re.MULTILINE)
    times, by = (int(noticed[1]), noticed[2]) if noticed else (0, "none")
    word = "killed" if times == runs else "SURVIVED"
    click.echo(f"{word} {times}/{runs}, {time.monotonic() - begun:.0f} s: {mutant}, by {by}")
    if not noticed:
        click.echo(seen.stdout[-4000:] + seen.stderr[-4000:])
    return times == runs


@click.command()
@click.option("--runs", default=10, help="How often each must be noticed.")
@click.argument("words", nargs=-1)
def main(runs: int, words: tuple[str, ...]) -> None:
    """Run the mutants whose file, place and condition contain all WORDS."""
    mutants = [mutant for mutant in listed() if all(word in str(mutant) for word in words)]
    begun = time.monotonic()
    with memory("mutants") as home:
        postgres = LocalPostgres(home / "postgres", **fast)
        postgres.start()
        migrate(postgres.url().set(database="template1"))
        os.environ["TEST_DATABASE_URL"] = postgres.url().render_as_string(hide_password=False)
        with ThreadPoolExecutor(at_once) as pool:
            sound = pool.submit(
                passing, {test for mutant in mutants for test in mutant.tests}, runs
            )
            fates = list(pool.map(lambda mutant: killed(mutant, runs), mutants))
    minutes = (time.monotonic() - begun) / 60
    click.echo(f"{len(fates)} mutants, {sum(fates)} killed {runs} times, {minutes:.0f} minutes")
    sys.exit(not (all(fates) and sound.result()))


if __name__ == "__main__":
    main()
