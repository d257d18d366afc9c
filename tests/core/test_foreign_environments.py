"""Tests with foreign environments: an absent program is a failure where it is required, else a skip."""

import pytest
from foreign_environments import REQUIRED, unavailable


@pytest.mark.parametrize(("variable", "value"), REQUIRED.items())
def test_an_absent_program_fails_a_test_where_it_is_required(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(pytest.fail.Exception, match="required, but absent: no browser"):
        unavailable("no browser")


def test_an_absent_program_skips_a_test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in REQUIRED:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        unavailable("no browser")
