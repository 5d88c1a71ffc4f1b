"""The house stays as it is drawn: four floors in one namespace, each importing only what is below it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ["geo", "training", "serving", "platform"]
NEVER_IN_GEO = {"torch", "ray", "fastapi", "uvicorn", "typer"}
NAMES = {"Kubernetes", "Ray"}


def modules(floor: str) -> list[Path]:
    found = sorted((ROOT / floor / "pavemap").rglob("*.py"))
    assert found, f"no module on the floor {floor}"
    return found


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that floors can be seen"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("floor", FLOORS)
def test_each_floor_imports_only_what_is_below_it(floor: str) -> None:
    above = FLOORS[FLOORS.index(floor) + 1 :]
    for path in modules(floor):
        for name in imports(path):
            for other in above:
                assert not f"{name}.".startswith(f"pavemap.{other}."), f"{path} imports {name}"


def part(path: Path, floor: str) -> str:
    """The package of a floor that a module lies in; a module in none is a part of its own."""
    inside = path.relative_to(ROOT / floor / "pavemap" / floor)
    return inside.parts[0].removesuffix(".py")


@pytest.mark.parametrize("floor", FLOORS)
def test_the_packages_of_a_floor_do_not_import_each_other_in_a_circle(floor: str) -> None:
    below: dict[str, set[str]] = {}
    for path in modules(floor):
        me = part(path, floor)
        used = {
            name.split(".")[2] for name in imports(path) if name.startswith(f"pavemap.{floor}.")
        }
        below.setdefault(me, set()).update(used - {me})
    TopologicalSorter(below).prepare()  # raises CycleError with the names of the circle


def test_geo_needs_neither_torch_nor_ray() -> None:
    for path in modules("geo"):
        used = {name.split(".")[0] for name in imports(path)}
        assert not used & NEVER_IN_GEO, f"{path} imports {used & NEVER_IN_GEO}"


def test_only_the_namespace_parts_are_packages() -> None:
    for folder in [*FLOORS, "migrations"]:
        assert not (ROOT / folder / "__init__.py").exists()
        assert not (ROOT / folder / "pavemap" / "__init__.py").exists()
        assert (ROOT / folder / "pavemap" / folder / "__init__.py").is_file()


def test_the_standard_library_platform_is_not_hidden() -> None:
    code = "import platform; print(platform.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert str(ROOT / "platform") not in found.stdout


def test_every_module_opens_with_one_sentence() -> None:
    for floor in FLOORS:
        for path in modules(floor):
            doc = ast.get_docstring(ast.parse(path.read_text()))
            assert doc, f"{path} does not say what it is for"
            assert doc.splitlines()[0].rstrip().endswith((".", ":")), (
                f"{path}: {doc.splitlines()[0]}"
            )


def messages(path: Path) -> Iterator[str]:
    """The texts of the errors that a module makes; what is put into them is left as {}."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for given in node.exc.args[:1]:
                if isinstance(given, ast.Constant):
                    yield str(given.value)
                elif isinstance(given, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "{}"
                        for part in given.values
                    )


@pytest.mark.parametrize("floor", FLOORS)
def test_errors_speak_in_one_voice(floor: str) -> None:
    """In lower case but for names, and without a final stop: others put them into sentences of theirs."""
    for path in modules(floor):
        for message in messages(path):
            first = message.split(" ")[0]
            capital = re.fullmatch("[A-Z]|[A-Z][a-z']+", first)
            assert capital is None or first in NAMES, f"{path}: {message}"
            assert not re.search(r"[^.]\.$", message), f"{path}: {message}"
            assert not re.search(r"[a-z})]\. [A-Z]", message), f"{path}: {message}"
