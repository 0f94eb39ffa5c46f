"""Files are written whole or not at all, and what stood there before is not lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wideseek.config import read_toml
from wideseek.errors import BadInput
from wideseek.files import check_writable, draft_name, read_text, write_whole
from wideseek.scoring.tasks import read_tasks
from wideseek.train.checkpoint import write_folder
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


LATIN = "title = 'Caf\u00e9'".encode("latin-1")


def test_a_text_in_another_encoding_is_named_with_its_file_and_byte(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(LATIN)
    told = f"{path}: is not UTF-8 text, at byte 13 (0xe9): save it as UTF-8"
    for read in (read_text, read_toml, read_tasks):
        with pytest.raises(BadInput) as error:
            read(path)
        assert str(error.value).replace(", line 1", "") == told


def test_a_question_on_standard_input_in_another_encoding_is_named_with_its_byte(tmp_path):
    command = [sys.executable, "-m", "wideseek", "ask", "-", "--model", "expert"]
    done = subprocess.run(command, input=LATIN, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().strip() == (
        "wideseek: standard input: is not UTF-8 text, at byte 13 (0xe9): save it as UTF-8"
    )


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfseed = 1")
    assert read_toml(tmp_path / "a.toml") == {"seed": 1}


def test_a_draft_has_the_ending_of_its_file_and_a_name_of_its_own(tmp_path):
    first, second = draft_name(tmp_path / "step-1.jsonl.gz"), draft_name(tmp_path / "step-1.jsonl.gz")
    assert first != second
    assert (first.parent, first.suffix) == (tmp_path, ".gz")


def test_a_checkpoint_is_not_written_through_a_name_put_there_beforehand(tmp_path):
    place, victim = tmp_path / "step-000001", tmp_path / "victim"
    victim.mkdir()
    (victim / "mine").write_text("mine")
    for name in (".part", ".old"):
        place.with_name(place.name + name).symlink_to(victim)
    for text in ("old", "new"):
        write_folder(place, lambda part, text=text: (part / "weights").write_text(text))
    assert (place / "weights").read_text() == "new"
    assert [path.name for path in victim.iterdir()] == ["mine"]
    assert not list(tmp_path.glob(".wideseek-*"))


def test_what_a_kill_left_of_a_checkpoint_is_removed_with_the_next_one(tmp_path):
    left = draft_name(tmp_path / "step-000001")
    left.mkdir()
    write_folder(tmp_path / "step-000002", lambda part: (part / "weights").write_text("new"))
    assert not left.exists()
