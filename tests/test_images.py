"""The steps of the images that need no container engine, run for real; and that all parts name the same."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm_chart import CHART

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINS = ROOT / "constraints.txt"
FLOORS = ("geo", "migrations", "platform", "serving", "training")


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as an image's build would, with this interpreter as its python."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        [str(word) for word in command],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel, built by the script that the Dockerfile runs."""
    folder = tmp_path_factory.mktemp("wheels")
    # Here hatchling is installed; in the image it is fetched into an environment of its own.
    done = run(ROOT / "docker/build_wheel.sh", ROOT, folder, "--no-build-isolation")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as the API's image has it, without what it needs, which this environment has."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--no-index", "--no-deps", "--target", folder)
    done = run(ROOT / "docker/install.sh", "api", "cpu", wheels, PINS, *options)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_holds_every_file_of_the_floors(wheels: Path) -> None:
    """Weights, cards, SQL and web assets too: what git keeps there is in the wheel."""
    (wheel,) = wheels.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    patterns = [f"{floor}/pavemap" for floor in FLOORS]
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    kept = {line.partition("/")[2] for line in listed.stdout.splitlines() if (ROOT / line).exists()}
    assert len(kept) > 100
    assert kept <= held, kept - held
    assert not [name for name in held if "test" in name.split("/")[0]]


def test_the_installed_api_starts_where_there_is_no_torch(installed: Path) -> None:
    """Only the wheel and site-packages are seen: not this checkout, and neither torch nor Ray."""
    site = sysconfig.get_paths()["purelib"]
    program = (
        "import sys; sys.modules['torch'] = sys.modules['ray'] = None\n"
        "from pavemap.platform.api.main import create_app\n"
        "from pavemap.platform import trial_survey\n"
        "create_app()\n"
        "print(trial_survey.__file__)"
    )
    done = run(
        sys.executable,
        "-S",
        "-c",
        program,
        PYTHONPATH=f"{installed}:{site}",
        PAVEMAP_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        PAVEMAP_HOME=str(installed / "home"),
        HOME="/proc/nowhere",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))


@pytest.mark.parametrize("target", ["api", "ray"])
def test_all_that_an_image_needs_is_pinned(target: str) -> None:
    done = run(sys.executable, ROOT / "docker/check.py", target, "cpu", PINS)
    assert done.returncode == 0, done.stderr


def test_a_version_that_is_not_the_pinned_one_is_seen(tmp_path: Path) -> None:
    changed = tmp_path / "constraints.txt"
    changed.write_text(PINS.read_text().replace("httpx==", "httpx==99."))
    done = run(sys.executable, ROOT / "docker/check.py", "api", "cpu", changed)
    assert done.returncode == 1
    assert re.search(r"^httpx is [\d.]+, not 99\.", done.stderr)


def test_the_gpu_image_takes_the_same_torch_as_built_for_cuda() -> None:
    pins = {
        device: run(ROOT / "docker/constraints.sh", device, PINS).stdout
        for device in ("cpu", "gpu")
    }
    (cpu,) = re.findall(r"^torch==.*$", pins["cpu"], re.MULTILINE)
    (gpu,) = re.findall(r"^torch==.*$", pins["gpu"], re.MULTILINE)
    assert cpu == f"{gpu}+cpu"
    assert pins["cpu"].replace(cpu, gpu) == pins["gpu"]
    assert run(ROOT / "docker/constraints.sh", "tpu", PINS).returncode == 2


def test_the_dockerfile_copies_what_is_there_and_let_in() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert set(FLOORS) <= set(copied)
    let_in = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / source).exists() for source in copied)
    assert not any(fnmatch.fnmatch(".venv", pattern) for pattern in let_in)


def test_no_image_runs_as_root() -> None:
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[2:]:
        users = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
        assert users == ["1000"], stage
        assert stage.index("USER 1000") > stage.rindex("RUN "), "all is installed before"


def test_ray_is_the_same_everywhere() -> None:
    (pinned,) = re.findall(r"^ray==(.*)$", PINS.read_text(), re.MULTILINE)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["serving"]["rayVersion"] == pinned
    assert set(re.findall(r"rayproject/ray:([\d.]+)-py311", DOCKERFILE)) == {pinned}
    assert {row["ray"].split("-")[0] for row in matrix()} == {pinned}


def test_the_workflow_builds_the_images_that_the_chart_takes() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    wanted = {values[use]["repository"].rsplit("/", 1)[1] for use in ("api", "ray", "rayGpu")}
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    assert {row["name"] for row in matrix()} == wanted
    assert {row["target"] for row in matrix()} <= stages
    for row in matrix():
        assert (
            row["name"].endswith("-gpu") == (row["device"] == "gpu") == row["ray"].endswith("-gpu")
        )


def matrix() -> list[dict[str, Any]]:
    """Return the images that the workflow builds."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/images.yaml").read_text())
    rows: list[dict[str, Any]] = workflow["jobs"]["image"]["strategy"]["matrix"]["include"]
    return rows
