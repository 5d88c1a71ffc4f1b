"""Scratch folders go with what they were for, whether their process ends or is killed."""

from __future__ import annotations

import errno
import fcntl
import inspect
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pavemap.geo.scratch import beside, scratch, sweep


def test_a_scratch_folder_leaves_nothing(tmp_path: Path) -> None:
    def cut_off() -> None:
        with scratch(tmp_path / "incoming") as folder:
            folder.joinpath("upload.tif").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cut_off()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_sweep_takes_the_folders_of_the_dead_alone(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pavemap.geo.scratch import scratch\n"
        "with scratch(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'upload.tif').write_bytes(b'half'); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == 9
    (leftover,) = tmp_path.glob("*/")
    with scratch(tmp_path) as living:
        assert sweep(tmp_path) == 1
        assert living.is_dir()
        assert not leftover.exists()
        assert sweep(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_made_beside_its_place_and_what_the_killed_left_there_goes(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pavemap.geo.scratch import beside\n"
        "with beside(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'cracks.gpkg').write_bytes(b'half'); os._exit(9)"
    )
    target = tmp_path / "cracks.gpkg"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (unfinished,) = tmp_path.iterdir()
    assert len([each for each in unfinished.iterdir() if each.is_dir()]) == 1
    with beside(target) as folder, beside(target) as another:
        assert {each for each in unfinished.iterdir() if each.is_dir()} == {folder, another}
        (folder / target.name).write_bytes(b"whole")
        (folder / target.name).replace(target)
    assert list(tmp_path.iterdir()) == [target]


def test_where_there_is_no_folder_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), beside(tmp_path / "no-such" / "cracks.gpkg"):
        pass
    assert list(tmp_path.iterdir()) == []


def nfs_lock(handle: int, how: int) -> None:
    """`flock` as NFS has it: a lock of bytes in a file open for writing; of a folder nobody else hears."""
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        fcntl.lockf(handle, how)


def test_a_sweep_on_another_machine_leaves_the_folders_of_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", nfs_lock)
    code = (
        "import fcntl, os, stat, sys; from pathlib import Path\n"
        "from pavemap.geo.scratch import sweep\n"
        f"{inspect.getsource(nfs_lock)}\n"
        "fcntl.flock = nfs_lock; sys.exit(sweep(Path(sys.argv[1])))"
    )
    with scratch(tmp_path) as living:
        (living / "upload.tif").write_bytes(b"half")
        swept = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert swept.returncode == 0
        assert (living / "upload.tif").exists()


def test_where_there_are_no_locks_uploads_go_on_and_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with scratch(tmp_path) as living:
        assert sweep(tmp_path) == 0
        assert living.is_dir()


def test_nothing_to_sweep_is_fine(tmp_path: Path) -> None:
    assert sweep(tmp_path / "never made") == 0
