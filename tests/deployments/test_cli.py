"""Bad arguments end in one line on standard error and exit code 2, before anything starts."""

import errno
from pathlib import Path

import pytest
from ingest_samples import textured, write_slices

from deployments.command_line.commands import load_commands
from deployments.command_line.main import build_program, keep_commas, main, plain_numbers
from deployments.run_parameters import network_parameter
from spherovem_core.stages import STAGE_NAMES
from spherovem_core.synthetic.phantom import SCENES, read_truth

EARLY, LATE = STAGE_NAMES[1], STAGE_NAMES[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command, and return its exit code and the one line it wrote to standard error."""
    code = main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("\n") <= 1, error
    return code, error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "subcommand is required"),
        (("bogus",), "invalid choice: 'bogus'"),
        (("process",), "required: SOURCE"),
        (("process", "SOURCE", "--bogus", "1"), "--bogus"),
        (("process", "SOURCE"), "no results root: give --results-root"),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "10", "10"),
            "got 10 10; expected three",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "0", "10", "10"),
            "got 0 10 10; expected",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "-5", "1", "1"),
            "got -5 1 1; expected",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "a", "1", "1"),
            "--spacing-nm: input",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "nan", "1", "1"),
            "--spacing-nm: got nan; expected numbers that are finite",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--set", f"{network_parameter('cells')[:-1]}=x"),
            "did you mean network?",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--set", "registration.levels=0"),
            "greater than or equal",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--parameters", "/absent.yaml"),
            "/absent.yaml cannot be read",
        ),
        (("process", "SOURCE", "--results-root", "ROOT", "--device", "gpu"), "--device: string should match"),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--workers", "-1"),
            "--workers: input should be greater",
        ),
        (("process", "SOURCE", "--results-root", "ROOT", "--name", "a/b"), "name: string should match"),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--start-at", "segmentations"),
            "--start-at: input should be",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--start-at", LATE, "--stop-after", EARLY),
            f"stop_after {EARLY}, which comes before it",
        ),
        (("process", "SOURCE", "--results-root", "ROOT", "--roi", "1:2", "3"), "expected three ranges"),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--roi", "9:2", ":", ":"),
            "z from 9 to 2 holds nothing",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "50", "1e-5", "10"),
            "got 50 1e-05 10; expected sizes from 0.01 to 1e+06 nm",
        ),
        (
            ("process", "SOURCE", "--results-root", "ROOT", "--spacing-nm", "1e308", "10", "10"),
            "got 1e+308 10 10; expected sizes from 0.01 to 1e+06 nm",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"SOURCE": tmp_path / "source", "ROOT": tmp_path / "results"}
    code, error = run(capsys, *(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert message in error
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("options", [("0.5", "99.5"), ("0.5,99.5",)])
@pytest.mark.parametrize("command", ["finetune", "cut-slices"])
def test_percentiles_are_two_numbers(
    command: str, options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = run(
        capsys, command, "--normalise-percentiles", *options, "--seed", "1", tmp_path / "a", "b"
    )
    assert code == 1
    assert str(tmp_path / "a") in error
    for wrong, message in ((("99", "1"), "99, 1 must rise within 0 and 100"), (("nan", "1"), "finite")):
        code, error = run(capsys, command, "a", "b", "--normalise-percentiles", *wrong)
        assert code == 2
        assert message in error


def test_a_region_outside_the_acquisition_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_slices(tmp_path / "source", textured())
    region = ("--roi", ":", "20:50", ":", "--spacing-nm", "50", "10", "12")
    code, error = run(capsys, "process", source, "--results-root", tmp_path / "results", *region)
    assert code == 2
    assert "roi: y from 20 to 50 reaches beyond the acquisition, which has 40 voxels along y" in error
    assert not (tmp_path / "results").exists()


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["process", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in (
        "--results-root",
        "--spacing-nm",
        "--network",
        "--parameters",
        "--set",
        "--device",
        "--workers",
    ):
        assert option in shown


def test_a_wrong_setting_of_the_environment_is_a_bad_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPHEROVEM_WORKERS", "-3")
    code, error = run(capsys, "process", tmp_path, "--results-root", tmp_path)
    assert code == 2
    assert "workers: input should be greater" in error


def test_values_of_set_keep_their_commas() -> None:
    assert keep_commas(["--set", "a.b=[1,2]", "--set=c.d=1,2", "x,y"]) == [
        "--set",
        '["a.b=[1,2]"]',
        "--set",
        '["c.d=1,2"]',
        "x,y",
    ]


@pytest.mark.parametrize(
    "value",
    [
        'a.b=["4: fold", "5-6: x"]',
        'a.b={"4": "f"}',
        "a.b=C:\\x\\",
        "a.b=/Größe.ckpt",
        "a.b='\\\"q\\\"'",
        "a.b=x\ty",
    ],
)
def test_quotes_reach_the_parameters(value: str) -> None:
    arguments = keep_commas(["process", "source", "--set", value, "--set", "c.d=1"])
    program = build_program(load_commands())(_cli_parse_args=arguments, _cli_exit_on_error=False)
    assert program.process.set == [value, "c.d=1"]  # type: ignore[attr-defined]


def test_numbers_of_lists_may_lack_their_zero() -> None:
    given = [
        "labels",
        "import",
        "007",
        "--spacing-nm",
        ".5",
        "050",
        "1e1",
        "--offset-um=-.5",
        "0",
        "+1.",
        "--name",
        "007",
    ]
    assert plain_numbers(given) == [
        *("labels", "import", "007", "--spacing-nm", "0.5", "50.0", "10.0"),
        *("--offset-um=-0.5", "0.0", "1.0", "--name", "007"),
    ]


def test_report_refuses_an_unfinished_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "report", tmp_path)
    assert code == 1
    assert "no finished acquisition" in error


def test_phantom_refuses_an_empty_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "phantom", tmp_path / "out", "--shape", 0, 32, 32)
    assert code == 2
    assert "shape" in error
    assert not (tmp_path / "out").exists()


def test_phantom_is_written_with_its_truth_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(
        capsys, "phantom", tmp_path / "out", "--shape", 4, 48, 40, "--spacing-nm", 50, 10, 10, "--seed", 3
    )
    assert code == 0
    assert len(list((tmp_path / "out").glob("*.tif"))) == 4
    assert (tmp_path / "out.truth.npz").exists()


def test_phantom_takes_scenes_and_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--shape", 4, 48, 40, "--scene", "resin,sixteen-bit", "--set", "resin_grey=190")
    code, _ = run(capsys, "phantom", tmp_path / "out", *options)
    assert code == 0
    parameters = read_truth(tmp_path / "out.truth.npz").parameters
    assert (parameters.resin_fraction, parameters.resin_grey, parameters.bits) == (0.25, 190, 16)
    assert '"dtype": "uint16"' in (tmp_path / "out" / "acquisition.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scene", "resinn"), "did you mean resin"),
        (("--set", "resin_gray=190"), "did you mean resin_grey"),
        (("--set", "resin_fraction=2"), "resin_fraction"),
    ],
)
def test_phantom_refuses_unknown_scenes_and_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    code, error = run(capsys, "phantom", tmp_path / "out", *options)
    assert code == 2
    assert message in error
    assert not (tmp_path / "out").exists()


def test_phantom_without_a_folder_names_the_ways_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "phantom")
    assert code == 2
    assert "--list-scenes" in error


def test_phantom_lists_every_scene(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", "--list-scenes"]) == 0
    shown = capsys.readouterr().out
    for scene in SCENES.values():
        assert any(line.startswith(scene.name) and scene.summary in line for line in shown.splitlines())


def test_a_full_disk_is_no_error_of_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/file")

    monkeypatch.setattr("deployments.command_line.main.CliApp.run", refuse)
    code, error = run(capsys, "status", tmp_path)
    assert code == 1
    assert "/data/file could not be written (No space left on device)" in error
    assert "report it" not in error
