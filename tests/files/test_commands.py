"""`voucherpool vouchers export` and `import`."""

import stat
from contextlib import contextmanager
from functools import partial

import click
import pytest

from tests.builders import in_days
from voucherpool.files import importing


@pytest.fixture
def run(app, client):
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("vouchers", *map(str, arguments)))


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "codes.csv"
    file.write_text("code\nSUMMER-1\nSUMMER-2\n")
    return file


def test_what_a_file_brings_in_comes_out_again(run, client, file, tmp_path):
    result = run("import", file, "--offer", "KOI", "--expiry", in_days(1))
    assert result.stdout == "Imported 2 vouchers.\n"
    printed = run("export", "--offer", "KOI").stdout_bytes
    with client.get("/offers/1/codes") as answer:
        assert printed == answer.data
    written = tmp_path / "out.csv"
    told = run("export", "--offer", "KOI", "--output", written).stderr.splitlines()[-1]
    assert told == f"Wrote 2 vouchers to {written}."
    assert written.read_bytes() == printed
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_file_that_all_could_read_is_its_owners_alone_once_codes_are_in_it(run, tmp_path):
    written = tmp_path / "out.csv"
    written.touch(mode=0o644)
    assert run("export", "--offer", "KOI", "--output", written).exit_code == 0
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_batch_comes_out_by_its_id(run):
    run("issue", "KOI", "--count", "3", "--expiry", in_days(1))
    assert run("export", "--batch", "1").stdout_bytes.count(b"\r\n") == 4


def test_wrong_lines_are_told_one_by_one_and_nothing_is_imported(run, file, sql):
    file.write_text("code,email\nX!,\nSUMMER-1,nobody@example.org\n")
    result = run("import", file, "--offer", "KOI", "--expiry", in_days(1))
    assert result.exit_code == 1
    lines = result.stderr.strip().splitlines()[-4:]
    assert lines[0].startswith("line 2: code: Must be 1 to 64")
    assert lines[1:] == [
        "line 3: email: No customer has this e-mail.",
        "file: 2 lines are wrong.",
        "Error: Nothing was imported.",
    ]
    assert sql("SELECT * FROM vouchers") == []


def test_no_bar_is_full_while_an_import_goes_on(run, file, monkeypatch):
    shown = []

    def issue_all(*_, **__):
        shown.append("issued")
        return importing.Imported(2, 0, [], 0)

    monkeypatch.setattr(importing, "issue_all", issue_all)
    monkeypatch.setattr(click, "progressbar", partial(recorded, click.progressbar, shown))
    run("import", file, "--offer", "KOI", "--expiry", in_days(1))
    assert shown == ["Reading", "over", "Copying", "over", "issued"]


@contextmanager
def recorded(progressbar, shown, **options):
    """Show a bar, and record when it begins and is over."""
    shown.append(options["label"])
    with progressbar(**options) as bar:
        yield bar
    assert bar.finished
    shown.append("over")


@pytest.mark.parametrize("step", ["copy", "issue_all"])
def test_an_interrupted_import_says_that_nothing_is_half_done(run, file, sql, monkeypatch, step):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, step, interrupt)
    ended = run("import", file, "--offer", "KOI", "--expiry", in_days(1))
    assert ended.exit_code == 130
    last = ended.stderr.splitlines()[-1]
    assert last == f"Interrupted. All of {file} is imported or nothing: run it again."
    assert sql("SELECT * FROM vouchers") == []


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["export"], 2, "--offer"),
        (["export", "--offer", "KOI", "--batch", "1"], 2, "--offer"),
        (["export", "--offer", "NEW"], 1, "offer"),
        (["export", "--batch", "7"], 1, "batch"),
        (["export", "--offer", "KOI", "--output", "/nowhere/codes.csv"], 1, "/nowhere/codes.csv"),
        (["import", "/nowhere/codes.csv", "--offer", "KOI"], 2, "/nowhere/codes.csv"),
        (["import", __file__, "--offer", "NEW"], 1, "offer"),
        (["import", __file__, "--offer", "KOI", "--expiry", "soon"], 1, "expiry"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(run, arguments, code, word):
    result = run(*arguments)
    assert result.exit_code == code
    assert word in result.stderr
