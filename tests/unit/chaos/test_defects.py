from pathlib import Path

import pytest

from deploy.chaos import defects


@pytest.mark.parametrize("name", defects.names())
def test_each_defect_fits_the_code_as_it_is(name: str, tmp_path: Path) -> None:
    changed = defects.with_defect(name, tmp_path)
    assert (changed / "services").is_dir()


def test_there_is_a_defect_for_each_guarantee() -> None:
    assert len(defects.names()) >= 6
