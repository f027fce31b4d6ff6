"""Batches of reading processes, with and without shared memory, and processes that end."""

import errno
import gc
import os
import signal
from multiprocessing import connection, current_process, resource_sharer
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from samecar.data import workers
from samecar.data.workers import WORTH_SHARING, BatchLoader, name_lost_workers
from samecar.errors import SamecarError

ROW = 2 * WORTH_SHARING


class Numbers(NamedTuple):
    """A batch with a large tensor, a small one, and something else."""

    large: torch.Tensor
    small: torch.Tensor
    names: tuple[str, ...]


class Rows(Dataset):
    """Item i is i; what is in `ends` happens to the process that reads that item."""

    def __init__(self, ends=None):
        self.ends = ends or {}

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index in self.ends:
            self.ends[index]()
        return index


def collate(items):
    large = torch.stack([torch.full((ROW,), float(item)) for item in items])
    return Numbers(large, torch.tensor(items), tuple(f"row {item}" for item in items))


def batches(processes, ends=None):
    return list(BatchLoader(Rows(ends), collate, processes, batch_size=2))


def assert_all_there(found):
    assert [type(batch) for batch in found] == [Numbers] * 3
    assert torch.cat([batch.small for batch in found]).tolist() == list(range(6))
    for batch in found:
        assert batch.large.tolist() == np.repeat(batch.small.numpy()[:, None], ROW, axis=1).tolist()
        assert batch.names == tuple(f"row {item}" for item in batch.small.tolist())
        batch.large.add_(1)  # they may be written to


def refuse(*_):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


@pytest.mark.parametrize("processes", [0, 2])
def test_batches_come_in_order_from_any_number_of_processes(processes):
    assert_all_there(batches(processes))


@pytest.mark.parametrize("broken", ["share_memory_", "dumps"])
def test_without_room_in_shared_memory_the_same_batches_come(monkeypatch, broken):
    if broken == "dumps":
        monkeypatch.setattr(workers, "ForkingPickler", SimpleNamespace(dumps=refuse))
    else:
        monkeypatch.setattr(torch.Tensor, broken, refuse)
    assert_all_there(batches(2))


def test_with_room_large_tensors_are_shared_and_small_ones_are_not():
    (first, *_) = batches(1)
    assert first.large.is_shared()
    assert not first.small.is_shared()


def test_a_process_that_is_killed_is_one_sentence():
    with (
        pytest.raises(
            SamecarError, match=r"^a process that reads pictures has ended \(DataLoader worker .*--shm-size=1g"
        ),
        name_lost_workers(),
    ):
        batches(2, {3: lambda: os.kill(os.getpid(), signal.SIGKILL)})


def lose_a_connection():
    """What torch shares a tensor by is asked for it by a process that then ends; the next one is answered."""
    reading, writing = os.pipe()
    shared = resource_sharer.DupFd(reading)
    address, _ = shared._id
    connection.Client(address, authkey=current_process().authkey).close()
    os.close(shared.detach())
    os.close(reading)
    os.close(writing)


def test_a_process_says_nothing_where_nobody_fetches_its_batch_any_more(capfd):
    assert_all_there(batches(1, {2: lose_a_connection}))
    assert capfd.readouterr().err == ""


class Session:
    """Garbage that says in which process it was cleared away, as what holds threads would wait for them there."""

    def __init__(self, place):
        self.place, self.itself = place, self

    def __del__(self):
        (self.place / str(os.getpid())).touch()


def test_processes_do_not_clear_away_the_garbage_of_the_main_one(tmp_path):
    gc.disable()
    try:
        Session(tmp_path)
        assert_all_there(batches(2, {1: gc.collect, 2: gc.collect}))
        assert list(tmp_path.iterdir()) == []
    finally:
        gc.enable()
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]


def test_an_error_in_a_process_is_raised_here():
    with pytest.raises(ValueError, match="no such thing"), name_lost_workers():
        batches(2, {3: lambda: int("no such thing")})


def test_another_error_in_the_block_stays_as_it_is():
    with pytest.raises(RuntimeError, match=r"^something else$"), name_lost_workers():
        raise RuntimeError("something else")


def test_processes_that_cannot_be_started_are_one_sentence(monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("torch.multiprocessing.Lock", fail)
    assert_all_there(batches(0))
    with pytest.raises(
        SamecarError, match=r"^2 processes that read pictures cannot be started: Function not impl.*none"
    ):
        batches(2)
