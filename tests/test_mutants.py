"""The list of mutants that `make mutants` puts into the service."""

import pytest

from tests.mutate import listed
from voucherpool.config import checkout


@pytest.mark.parametrize("mutant", listed(), ids=str)
def test_every_mutant_finds_its_text_once_and_its_tests(tmp_path, mutant):
    copied = tmp_path / mutant.file
    copied.parent.mkdir(parents=True)
    copied.write_text((checkout / mutant.file).read_text())
    mutant.put_into(tmp_path)
    compile(copied.read_text(), mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (checkout / file).read_text()
