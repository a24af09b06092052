"""The drawing of the imports in docs/architecture.md."""

from graphlib import CycleError

import pytest

from docs import drawing


def test_the_drawing_shows_the_imports_of_the_code():
    page = drawing.page.read_text()
    assert "-->" in drawing.drawing()
    assert drawing.drawn(page) == page, "it is out of date: run `make drawing`"


def test_an_arrow_is_left_out_where_a_longer_way_leads():
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert drawing.without_detours(imports) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_packages_that_import_each_other_cannot_be_drawn():
    with pytest.raises(CycleError):
        drawing.without_detours({"a": {"b"}, "b": {"a"}})
