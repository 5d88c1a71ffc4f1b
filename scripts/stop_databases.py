"""Stops private databases of this checkout that something left running, but for those of your surveys."""

from __future__ import annotations

from pathlib import Path

from pavemap.platform.private_postgres import PrivatePostgres

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Stop those of tests and benchmarks (.cache) and of the demo."""
    for made in (ROOT / ".cache", ROOT / ".pavemap" / "demo"):
        for found in made.rglob("postmaster.pid"):
            print(f"stopping the database in {found.parent.parent}")
            PrivatePostgres(found.parent.parent).stop()


if __name__ == "__main__":
    main()
