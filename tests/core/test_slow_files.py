import subprocess
from pathlib import Path

import pytest
import slow_files

TESTS = {
    "test_good.py": "import pytest\n@pytest.mark.slow\ndef test_it():\n    pass\n\ndef test_quick():\n    pass\n",
    "test_bad.py": "import pytest\n@pytest.mark.slow\ndef test_it():\n    assert False\n",
    "test_absent.py": "import pytest\n@pytest.mark.slow\ndef test_it():\n    pytest.skip('no\\nprogram')\n",
    "test_quick.py": "def test_it():\n    pass\n",
    "test_ends.py": "import os, pytest\n@pytest.mark.slow\ndef test_it():\n    os._exit(3)\n",
}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project under git with test files, in which the script works."""
    (tmp_path / "tests").mkdir()
    for name, text in TESTS.items():
        (tmp_path / "tests" / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: x\n    environment: x\n")
    (tmp_path / ".gitignore").write_text("build/\n__pycache__/\n.pytest_cache/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "begin")
    monkeypatch.setattr(slow_files, "ROOT", tmp_path)
    monkeypatch.setattr(slow_files, "LIST", tmp_path / "build" / "slow-tests.tsv")
    return tmp_path


def rows(project: Path) -> dict[str, list[str]]:
    """Last row of each file, without commit and seconds."""
    lines = [line.split("\t") for line in (project / "build" / "slow-tests.tsv").read_text().splitlines()[1:]]
    assert all(row[0] == slow_files.commit() for row in lines)
    assert all(int(row[7]) >= 0 for row in lines)
    return {row[1]: [*row[2:7], row[8]] for row in lines}


def test_the_list_has_each_slow_file_with_what_became_of_its_tests(project: Path) -> None:
    assert slow_files.main([]) == 1
    assert rows(project) == {
        "tests/test_absent.py": ["passed", "1", "0", "0", "1", "no program"],
        "tests/test_bad.py": ["failed (1)", "1", "0", "1", "0", ""],
        "tests/test_ends.py": ["failed (3)", "?", "?", "?", "?", ""],
        "tests/test_good.py": ["passed", "1", "1", "0", "0", ""],
    }


def test_what_passed_at_the_same_commit_is_not_run_again(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["tests/test_good.py", "tests/test_bad.py"]
    assert slow_files.main(names) == 1
    capsys.readouterr()
    assert slow_files.main(names) == 1
    told = capsys.readouterr().out
    assert "tests/test_good.py: passed at" in told
    assert "tests/test_bad.py: passed at" not in told
    # A change that is not committed, and another commit, are other states.
    (project / "tests" / "test_bad.py").write_text(TESTS["test_good.py"])
    assert slow_files.main(names) == 0
    assert "passed at" not in capsys.readouterr().out
    git(project, "commit", "-q", "-a", "-m", "mend")
    assert slow_files.main(names) == 0
    assert "passed at" not in capsys.readouterr().out
    assert slow_files.main(names) == 0
    assert capsys.readouterr().out.count("passed at") == 2
