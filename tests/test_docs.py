"""The pages name files, links and headings that exist."""

import re

import pytest

from voucherpool.config.settings import checkout
from voucherpool.vouchers.checkout import redeem_sql

pages = [*sorted(checkout.glob("*.md")), *sorted(checkout.glob("docs/*.md"))]
pages += [checkout / "bench" / "README.md", checkout / "client" / "README.md"]


def anchors(page):
    for heading in re.findall("^#+ (.*)", page.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(checkout)))
def test_links_lead_to_a_file_and_a_heading(page):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(checkout)))
def test_modules_that_are_named_exist(page):
    for name in re.findall(r"`([\w/]+/\w+\.py)`", page.read_text()):
        folder = (
            checkout if name.startswith(("tests/", "bench/", "docs/")) else checkout / "voucherpool"
        )
        assert (folder / name).exists(), name


def test_the_statement_of_a_redemption_is_shown_as_it_runs():
    page = (checkout / "docs" / "architecture.md").read_text()
    [shown] = re.findall("<!-- redeem -->\n```sql\n(.*?)```", page, re.DOTALL)
    assert shown.split() == redeem_sql.redeem_short.split()
