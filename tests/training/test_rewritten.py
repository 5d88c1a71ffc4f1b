"""A folder that is rewritten is whole at any moment, and what killed runs left is cleared."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.training.rewritten import rewritten

LEFT = (".model-0123abcd", ".model-former-0123abcd")
NOT_OURS = (".model-of-mine", ".other-0123abcd", "model-0123abcd")


def folders(place: Path, *names: str) -> None:
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "name").write_text(name)


def names_in(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folders(tmp_path, "model")
    with rewritten(tmp_path / "model") as folder:
        (folder / "name").write_text("new")
        assert (tmp_path / "model" / "name").read_text() == "model"
    assert (tmp_path / "model" / "name").read_text() == "new"
    assert names_in(tmp_path) == {"model"}


def test_a_failure_leaves_the_former_folder(tmp_path: Path) -> None:
    folders(tmp_path, "model")
    with pytest.raises(ValueError, match="no room"), rewritten(tmp_path / "model"):
        raise ValueError("no room")
    assert names_in(tmp_path) == {"model"}


def test_the_former_folder_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment a run is killed in, one of both is whole, and the next run begins with it."""
    folders(tmp_path, "model")
    moves: list[str] = []
    replace = Path.replace

    def dies_at_the_second(path: Path, target: Path) -> Path:
        moves.append(path.name)
        if len(moves) == 2:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt), rewritten(tmp_path / "model"):
            pass
    (aside,) = tmp_path.iterdir()
    assert (aside / "name").read_text() == "model"
    with rewritten(tmp_path / "model"):
        assert (tmp_path / "model" / "name").read_text() == "model"


def test_what_killed_runs_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    folders(tmp_path, "model", *LEFT, *NOT_OURS)
    with rewritten(tmp_path / "model"):
        assert not names_in(tmp_path) & set(LEFT)
    assert names_in(tmp_path) == {"model", *NOT_OURS}


def test_what_a_run_is_at_work_on_is_not_cleared(tmp_path: Path) -> None:
    with rewritten(tmp_path / "model") as folder:
        (folder / "name").write_text("slow")
        with rewritten(tmp_path / "model") as other:
            (other / "name").write_text("fast")
        assert folder.is_dir()
    assert (tmp_path / "model" / "name").read_text() == "slow"
