"""The list of mutants that `make mutants` puts into the service."""

import pytest

from tests.mutate import Mutant, listed
from voucherpool.config.settings import checkout


@pytest.mark.parametrize("mutant", listed(), ids=str)
def test_every_mutant_finds_its_condition_once_and_its_tests(tmp_path, mutant):
    copied = tmp_path / mutant.file
    copied.parent.mkdir(parents=True)
    copied.write_text((checkout / mutant.file).read_text())
    mutant.put_into(tmp_path)
    compile(copied.read_text(), mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (checkout / file).read_text()


module = """
take = '''
    WHERE code = :key
        AND disabled_at
            IS NULL'''


class Door:
    def opens(self, key):
        return fits(
            key, self
        )

    def closes(self, key):
        return fits(key, self) and fits(key, self)
"""


def test_a_condition_is_found_in_its_place_however_it_is_wrapped(tmp_path):
    (tmp_path / "door.py").write_text(module)
    for place, condition in (
        ("take", "AND disabled_at IS NULL"),
        ("Door.opens", "fits(key, self)"),
    ):
        Mutant("door.py", place, condition, "True", ()).put_into(tmp_path)
    wanted = module.replace("AND disabled_at\n            IS NULL", "True")
    wanted = wanted.replace("fits(\n            key, self\n        )", "True")
    assert (tmp_path / "door.py").read_text() == wanted


def test_a_condition_that_is_gone_or_stands_twice_is_refused(tmp_path):
    (tmp_path / "door.py").write_text(module)
    for place in ("take", "Door.closes"):
        with pytest.raises(ValueError, match="instead of once"):
            Mutant("door.py", place, "fits(key, self)", "True", ()).put_into(tmp_path)
