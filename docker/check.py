"""Checks an image from within, as its last step: `check.py api|ray cpu|gpu CONSTRAINTS`.

All that pavemap needs there is installed at the pinned version, and the API's image has no torch.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = {"api": {"jobs"}, "ray": {"serving", "training"}}


def needed(name: str, extras: frozenset[str]) -> set[str]:
    """Return the names of all distributions that one needs, itself included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [(canonicalize_name(name), extras)]
    while pending:
        here = pending.pop()
        if here in seen:
            continue
        seen.add(here)
        for line in distribution(here[0]).requires or []:
            wanted = Requirement(line)
            chosen = [{"extra": extra} for extra in here[1]] or [{"extra": ""}]
            if wanted.marker is None or any(wanted.marker.evaluate(each) for each in chosen):
                pending.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return {name for name, _ in seen}


def pins(device: str, constraints: Path) -> dict[str, str]:
    """Return the pinned version of each distribution."""
    script = Path(__file__).with_name("constraints.sh")
    listed = subprocess.run(
        [script, device, constraints], capture_output=True, text=True, check=True
    )
    pairs = (line.partition("==") for line in listed.stdout.splitlines())
    return {canonicalize_name(name): version for name, _, version in pairs}


def problems(target: str, device: str, constraints: Path) -> list[str]:
    """Return what is wrong, a sentence each."""
    names = needed("pavemap", frozenset(EXTRAS[target])) - {"pavemap"}
    pinned = pins(device, constraints)
    found = [f"{name} is needed, but not pinned" for name in sorted(names - set(pinned))]
    for name in sorted(names & set(pinned)):
        version = distribution(name).version
        # CUDA's builds carry a local version of their own, as in 2.13.0+cu130.
        if version != pinned[name] and version.partition("+")[0] != pinned[name]:
            found.append(f"{name} is {version}, not {pinned[name]}")
    if target == "api" and "torch" in names:
        found.append("the API's image must do without torch")
    return found


def main() -> int:
    """Print what is wrong; 1 when anything is."""
    target, device, constraints = sys.argv[1:]
    wrong = problems(target, device, Path(constraints))
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
