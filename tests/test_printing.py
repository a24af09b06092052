"""How commands print what they show."""

import json

from voucherpool.printing import print_record, print_rows


def test_columns_line_up_under_their_headings_in_any_script(capsys):
    rows = [
        {"id": 1, "name": "KOI", "locked": True, "days": [1, 7], "hidden": "x"},
        {"id": 22, "name": "春節", "locked": False, "days": [], "hidden": "x"},
        {"id": 3, "name": "Ü" + "n\u0303o", "locked": None, "days": None, "hidden": "x"},
    ]
    print_rows(rows, ("id", "name", "locked", "days"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "ID  NAME  LOCKED  DAYS",
        "1   KOI   yes     1, 7",
        "22  春節  no      -",
        "3   Üño   -       -".replace("ño", "n\u0303o"),
    ]


def test_json_has_all_fields_with_their_types(capsys):
    rows = [{"id": 1, "name": "Ünal", "locked": True, "none": None}]
    print_rows(rows, ("id",), as_json=True)
    assert json.loads(capsys.readouterr().out) == rows
    print_record(rows[0], {}, as_json=True)
    assert json.loads(capsys.readouterr().out) == rows[0]


def test_a_list_without_rows_has_headings_still(capsys):
    print_rows([], ("id", "created_at"), as_json=False)
    assert capsys.readouterr().out == "ID  CREATED AT\n"
    print_rows([], ("id",), as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_a_record_is_a_line_for_each_field_and_a_table_for_each_list(capsys):
    record = {
        "name": "KOI",
        "discounted": [{"currency": "EUR", "amount": 15}, {"currency": None, "amount": 2}],
        "days": [{"day": "2026-11-30", "issued": 2, "hidden": 1}],
        "holds": [],
    }
    print_record(record, {"days": ("day", "issued"), "holds": ("id",)}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "name        KOI",
        "discounted  EUR 15, 2",
        "",
        "Days:",
        "DAY         ISSUED",
        "2026-11-30  2",
    ]
