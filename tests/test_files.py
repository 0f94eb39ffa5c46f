"""Files are written whole or not at all, and what stood there before is not lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wideseek.files import check_writable, write_whole
from wideseek.train.samples import load_samples, save_samples


def test_all_files_are_written_or_none(tmp_path):
    old = tmp_path / "a.csv"
    old.write_text("yesterday")
    with pytest.raises(OSError, match="No such file"):
        write_whole({old: b"today", tmp_path / "nowhere" / "b.csv": b"today"})
    assert old.read_text() == "yesterday"
    assert list(tmp_path.iterdir()) == [old]


def test_a_folder_in_the_place_of_one_file_leaves_all_as_they_were(tmp_path):
    (tmp_path / "a.csv").write_text("yesterday")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(OSError, match="it is not a file"):
        write_whole({tmp_path / "a.csv": b"today", tmp_path / "b.csv": b"today"})
    assert (tmp_path / "a.csv").read_text() == "yesterday"


def test_nothing_but_the_files_is_left_behind(tmp_path):
    write_whole({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "table.csv")
    write_whole({tmp_path / "link.csv": b"today"})
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real" / "table.csv").read_bytes() == b"today"


def test_an_existing_file_keeps_its_mode_and_a_new_one_gets_the_users(tmp_path):
    private, new = tmp_path / "private", tmp_path / "new"
    private.write_bytes(b"")
    private.chmod(0o600)
    usual = tmp_path / "usual"
    usual.touch()
    write_whole({private: b"1", new: b"2"})
    assert private.stat().st_mode & 0o777 == 0o600
    assert new.stat().st_mode == usual.stat().st_mode


def test_a_name_put_there_beforehand_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out.md.part").symlink_to(victim)
    write_whole({tmp_path / "out.md": b"today"})
    assert victim.read_text() == "mine"


def test_a_long_name_is_no_obstacle(tmp_path):
    path = tmp_path / ("\u4e2d" * 84 + ".md")
    write_whole({path: b"1"})
    assert path.read_bytes() == b"1"


def test_checking_a_place_touches_nothing(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.touch()
    before = empty.stat()
    check_writable(empty)
    check_writable(tmp_path / "new.csv")
    assert (empty.stat().st_ino, empty.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [empty]


def test_what_is_no_file_is_no_place_to_write(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match="it is not a file"):
        check_writable(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match="No such file"):
        check_writable(tmp_path / "nowhere" / "x.csv")


def test_samples_are_not_written_through_a_name_put_there_beforehand(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "samples.npz.part").symlink_to(victim)
    save_samples(tmp_path / "samples.npz", [], "made with")
    assert victim.read_text() == "mine"
    assert load_samples(tmp_path / "samples.npz") == ([], "made with")
