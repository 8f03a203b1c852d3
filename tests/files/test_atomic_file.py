"""A file is written through links, keeps its mode and owner, and never takes a device's place."""

import contextlib
import errno
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest
import warm
from helpers import small_model

from keras_reptile.errors import RunError
from keras_reptile.files import disk
from keras_reptile.files.atomic_directory import whole_directory
from keras_reptile.files.atomic_file import (
    check_writable,
    replacing,
    write_csv,
    write_json,
    write_text,
)
from keras_reptile.programs import start
from keras_reptile.runs.run_directory import RunDirectory

NOBODY = 65534


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@contextlib.contextmanager
def umask(bits):
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


# Links


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link_and_its_target_is_replaced(there, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "record.json", tmp_path / "link.json"
    link.symlink_to("between.json")
    (tmp_path / "between.json").symlink_to("elsewhere/record.json")
    if there:
        target.write_text("earlier")
        inode = target.stat().st_ino
    write_json(link, {"a": 1})
    assert link.is_symlink() and (tmp_path / "between.json").is_symlink()
    assert not target.is_symlink() and json.loads(target.read_text()) == {"a": 1}
    assert not there or target.stat().st_ino != inode
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["record.json"]


def test_what_is_half_written_lies_beside_the_target(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/target")
    with replacing(tmp_path / "link") as temporary:
        assert temporary.parent == tmp_path / "elsewhere"
        temporary.write_text("whole")
    assert (tmp_path / "elsewhere" / "target").read_text() == "whole"


def test_an_export_over_a_link_replaces_what_it_leads_to(tmp_path):
    earlier, link = tmp_path / "earlier", tmp_path / "link"
    earlier.mkdir(mode=0o750)
    (earlier / "mark").write_text("1")
    link.symlink_to("earlier")
    with whole_directory(link, True, ["mark"]) as folder:
        (folder / "mark").write_text("2")
    assert link.is_symlink() and (earlier / "mark").read_text() == "2"
    assert mode(earlier) == 0o750
    assert sorted(p.name for p in tmp_path.iterdir()) == ["earlier", "link"]


def test_a_link_to_itself_is_an_error(tmp_path):
    (tmp_path / "link").symlink_to("link")
    for use in (check_writable, lambda path: write_text(path, "a")):
        with pytest.raises(RunError, match="link cannot be written: Too many levels of symb"):
            use(tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "link"


# What is no file


def a_socket(path):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def a_block_device(path):
    os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 250))


REFUSED = {
    "a socket": (a_socket, "it is a socket. Choose another place"),
    "a block device": (a_block_device, "it is a block device. Choose another place"),
    "a directory": (
        Path.mkdir,
        "Is a directory. Move that directory elsewhere, or choose another place",
    ),
}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_record_over_what_is_no_file_is_refused_before_work_starts(kind, linked, tmp_path):
    make, text = REFUSED[kind]
    path = tmp_path / "there"
    try:
        make(path)
    except PermissionError:
        pytest.skip(f"only root makes {kind}")
    before, given = os.lstat(path), path
    if linked:
        given = tmp_path / "link"
        given.symlink_to(path)
    for use in (check_writable, lambda path: write_text(path, "a")):
        with pytest.raises(RunError, match=f"cannot be written: {text}"):
            use(given)
    assert os.path.samestat(before, os.lstat(path))
    assert os.lstat(path).st_mode == before.st_mode


def test_a_file_that_must_be_whole_replaces_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    for path, text in ((tmp_path / "log.csv", "it is a pipe"), (Path("/dev/null"), "a device")):
        with pytest.raises(RunError, match=text):
            write_csv(path, [{"a": 1}])
    assert stat.S_ISFIFO(os.stat(tmp_path / "log.csv").st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_text_to_dev_null_is_gone_and_the_device_is_still_there():
    check_writable("/dev/null")
    write_json(Path("/dev/null"), {"a": 1})
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_text_to_a_pipe_is_read_at_its_other_end(tmp_path):
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    check_writable(path)
    write_json(path, {"a": 1})
    reader.join()
    assert [json.loads(text) for text in found] == [{"a": 1}]
    assert stat.S_ISFIFO(os.stat(path).st_mode)


PRINTS = """
import os, pathlib, sys
from keras_reptile.files.atomic_file import check_writable, write_text

def say(path):
    check_writable(path)
    print("before")
    write_text(pathlib.Path(path), "record\\n")
    print("after", flush=True)

for path in sys.argv[1:]:
    say(path)
out, (end, pipe) = os.dup(1), os.pipe()
os.dup2(pipe, 1)
say("/dev/stdout")
os.dup2(out, 1)
print(os.read(end, 100).decode(), end="")
"""


@pytest.mark.slow
@pytest.mark.process
def test_text_to_the_standard_output_stands_in_its_place_in_a_file_and_in_a_pipe(tmp_path):
    (tmp_path / "link").symlink_to("/dev/fd/1")
    status, out, err = warm.run_source(PRINTS, tmp_path, "/dev/stdout", "/dev/fd/1", "link")
    assert status == 0, err
    assert out == 4 * "before\nrecord\nafter\n"


# Modes and owners


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    with umask(0o027):
        write_text(tmp_path / "a", "new")
    assert mode(tmp_path / "a") == 0o640


@pytest.mark.parametrize("bits", [0o600, 0o664, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(bits, tmp_path):
    path = tmp_path / "a"
    path.write_text("earlier")
    path.chmod(bits)
    with replacing(path) as temporary:
        # Nobody else reads what is private, before it is complete either.
        assert mode(temporary) == bits
        temporary.write_text("new")
    assert (mode(path), path.read_text()) == (bits, "new")


def test_a_checkpoint_that_is_replaced_keeps_its_mode(tmp_path):
    directory, model = RunDirectory(tmp_path), small_model()
    model.optimizer.build(model.trainable_variables)
    with umask(0o022):
        directory.save(model, best=True)
    assert mode(directory.best) == 0o644
    for path in directory.checkpoints.iterdir():
        path.chmod(0o660)
    with umask(0o077):
        directory.save(model, best=True)
    assert {mode(path) for path in directory.checkpoints.iterdir()} == {0o660}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_is_replaced_keeps_its_owner(tmp_path):
    path = tmp_path / "a"
    path.write_text("earlier")
    os.chown(path, NOBODY, NOBODY)
    write_text(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid, path.read_text()) == (NOBODY, NOBODY, "new")


@pytest.fixture
def as_nobody():
    """A folder of nobody's, who this process is meanwhile."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    (folder / "of_root").write_text("earlier")
    (folder / "of_root").chmod(0o664)
    os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes someone else")
def test_of_someone_elses_file_the_mode_is_kept_and_the_owner_becomes_who_writes(as_nobody):
    path = as_nobody / "of_root"
    write_text(path, "new")
    assert (path.read_text(), mode(path), path.stat().st_uid) == ("new", 0o664, NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes someone else")
def test_a_file_that_is_protected_from_writing_is_not_replaced(as_nobody):
    path = as_nobody / "protected"
    path.write_text("earlier")
    path.chmod(0o444)
    for use in (check_writable, lambda path: write_text(path, "a")):
        with pytest.raises(RunError, match="protected cannot be written: Permission denied"):
            use(path)
    assert path.read_text() == "earlier"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes someone else")
def test_a_run_that_may_not_be_read_is_not_taken_for_none(as_nobody):
    closed = RunDirectory(as_nobody / "closed")
    closed.write_json("run.json", {"settings": {"ways": 5}})
    assert RunDirectory(as_nobody / "none").read_run() is None
    closed.checkpoints.chmod(0)
    with pytest.raises(RunError, match=r"/checkpoints cannot be read: Permission denied. Make it"):
        closed.saved()
    closed.path.chmod(0)
    with pytest.raises(RunError, match=r"closed/run.json cannot be read: .* Permission denied"):
        closed.read_run()
    with pytest.raises(RunError, match=r"closed/log.csv cannot be read \(PermissionError: Perm"):
        closed.rows()
    closed.path.chmod(0o755)


def test_a_byte_order_mark_of_a_spreadsheet_or_an_editor_is_no_part_of_the_content(tmp_path):
    directory = RunDirectory(tmp_path)
    for path in (tmp_path / "run.json", directory.log):
        text = (
            '{"settings": {"ways": 5}}'
            if path.suffix == ".json"
            else "meta_iteration,seconds\n3,1.5\n"
        )
        path.write_text(text, encoding="utf-8-sig")
    assert directory.read_json("run.json") == {"settings": {"ways": 5}}
    assert start.recorded(str(tmp_path), "settings") == {"ways": 5}
    assert directory.rows() == [{"meta_iteration": "3", "seconds": "1.5"}]


# Other file systems


def other_file_system(path):
    """A folder on another file system, or a skipped test."""
    for place in ("/dev/shm", "/run", "/tmp"):
        if os.access(place, os.W_OK) and os.stat(place).st_dev != os.stat(path).st_dev:
            return Path(tempfile.mkdtemp(dir=place))
    pytest.skip("there is only one file system")


def test_temporary_files_elsewhere_and_a_link_across_file_systems_do_not_matter(
    tmp_path, monkeypatch
):
    other = other_file_system(tmp_path)
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(other))
        check_writable(tmp_path / "a")
        write_text(tmp_path / "a", "whole")
        (tmp_path / "link").symlink_to(other / "b")
        write_text(tmp_path / "link", "whole")
        directory, model = RunDirectory(tmp_path / "run"), small_model()
        model.optimizer.build(model.trainable_variables)
        directory.save(model)
        assert [p.name for p in other.iterdir()] == ["b"]
        assert (other / "b").read_text() == (tmp_path / "a").read_text() == "whole"
    finally:
        shutil.rmtree(other)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EBUSY])
def test_a_mount_point_is_named_as_what_it_is(number, tmp_path, monkeypatch):
    def replace(source, target):
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(os, "replace", replace)
    text = r"a cannot be written: .*\. It is a mount point, or lies in .* of a container: choose an"
    with pytest.raises(RunError, match=text):
        write_text(tmp_path / "a", "whole")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("of", ["folders", "all"])
@pytest.mark.parametrize("number", ["EINVAL", "EBADF", "ENOTSUP", "ENOSYS"])
def test_a_file_system_that_cannot_sync_is_written_all_the_same(number, of, tmp_path, monkeypatch):
    plain, refused = os.fsync, []

    def fsync(file):
        if of == "all" or stat.S_ISDIR(os.fstat(file).st_mode):
            refused.append(file)
            raise OSError(getattr(errno, number), "no sync here")
        plain(file)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "whole")
    with whole_directory(tmp_path / "b", False, []) as folder:
        (folder / "c").write_text("whole")
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "c").read_text() == "whole"
    assert refused


@pytest.mark.parametrize("of", ["a file", "a folder"])
def test_a_disk_that_fails_while_it_is_synced_is_an_error(of, tmp_path, monkeypatch):
    def fsync(file):
        if stat.S_ISDIR(os.fstat(file).st_mode) == (of == "a folder"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    text = "a cannot be written: Input/output error. The disk may be failing: choose another place"
    with pytest.raises(RunError, match=text):
        write_text(tmp_path / "a", "whole")


def test_a_folder_that_can_be_written_and_not_read_is_not_synced(tmp_path, monkeypatch):
    def refuse(path, flags, *mode):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return plain(path, flags, *mode)

    plain = os.open
    monkeypatch.setattr(disk.os, "open", refuse)
    disk.sync(tmp_path)
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        disk.sync(tmp_path / "none")


# What is left, and names


def test_what_a_killed_process_left_of_a_record_is_removed_with_the_next(tmp_path):
    for name in ("record.json", "other.json"):
        (tmp_path / f".partial-7-{name}").write_text("half")
    write_text(tmp_path / "record.json", "whole")
    assert {p.name for p in tmp_path.iterdir()} == {"record.json", ".partial-7-other.json"}


def test_a_name_that_leaves_no_room_is_refused_before_work_starts(tmp_path):
    for use in (check_writable, lambda path: write_text(path, "a")):
        with pytest.raises(RunError, match="cannot be written: File name too long"):
            use(tmp_path / ("a" * 250))


def test_a_check_makes_the_folder_and_leaves_the_file_as_it_is(tmp_path):
    check_writable(tmp_path / "new" / "record.json")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "there").write_text("earlier")
    check_writable(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "earlier"


def test_the_advice_fits_a_path_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("a")
    for path, text in {
        tmp_path / "file" / "a": "Not a directory. A part of the path is a file: choose another",
        tmp_path / "none" / "a": "No such file or directory. Check that its folder exists, or cho",
        tmp_path / ("a" * 300): "File name too long. Choose a shorter name",
    }.items():
        with pytest.raises(RunError, match=f"cannot be written: {text}"):
            write_text(path, "a")
