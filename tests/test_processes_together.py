"""What a process knows of the others, without any others being there."""

from datetime import timedelta

import pytest

from samecar import processes
from samecar.cli.launching import starts_others
from samecar.errors import SamecarError
from samecar.hardware import Machine, machine
from samecar.processes import ALONE, Processes, read_environment, take_part

WHOLE = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node-1",
    "MASTER_PORT": "29500",
}


def test_torchruns_environment_is_read():
    found = read_environment(WHOLE)
    assert found == Processes(rank=5, count=8, local_rank=1, local_count=4)
    assert not found.first
    assert Processes(0, 8, 0, 4).first


@pytest.mark.parametrize("environment", [{}, {"MASTER_ADDR": "node-1", "MASTER_PORT": "29500"}, {"RANK": ""}])
def test_without_torchrun_there_is_one_process(environment):
    assert read_environment(environment) is None


@pytest.mark.parametrize("missing", list(WHOLE))
def test_half_an_environment_is_refused(missing):
    half = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(SamecarError, match=f"but not {missing}, so the processes cannot meet; start them"):
        read_environment(half)


def test_all_that_is_missing_is_named():
    with pytest.raises(SamecarError, match="has WORLD_SIZE but not RANK and LOCAL_RANK and LOCAL_WORLD"):
        read_environment({"WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    "change",
    [{"RANK": "8"}, {"RANK": "-1"}, {"WORLD_SIZE": "many"}, {"LOCAL_RANK": "4"}, {"LOCAL_WORLD_SIZE": "9"}],
    ids=str,
)
def test_an_environment_that_means_nothing_is_refused(change):
    with pytest.raises(SamecarError, match="are no numbers of processes"):
        read_environment(WHOLE | change)


def test_one_process_meets_nobody(monkeypatch):
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    with take_part(machine("cpu", 0)) as found:
        assert found == ALONE
        assert found.once(lambda: "done") == "done"
        assert found.machine(machine("cpu", 3)) == Machine("cpu", 3)
        assert found.gather_objects(1) == [1]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SamecarError, match="has WORLD_SIZE but not"), take_part(machine("cpu", 0)):
        pass


@pytest.mark.parametrize(("workers", "mine"), [(8, 2), (5, 1), (2, 1), (0, 0)])
def test_processes_share_the_workers_of_their_machine(workers, mine):
    assert Processes(5, 8, 1, 4).machine(Machine("cpu", workers)) == Machine("cpu", mine)


@pytest.fixture
def gpus(monkeypatch):
    """Four GPUs, as far as torch's answers go."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_has_a_gpu_of_its_own(gpus, name):
    assert Processes(5, 8, 1, 4).machine(Machine(name, 4)) == Machine("cuda:1", 1)


def test_one_gpu_is_not_shared(gpus):
    with pytest.raises(SamecarError, match="device is 'cuda:1' for 4 processes on this machine, and each needs a GPU"):
        Processes(5, 8, 1, 4).machine(Machine("cuda:1", 4))
    assert Processes(1, 2, 0, 1).machine(Machine("cuda:1", 4)) == Machine("cuda:1", 4)


def test_more_processes_than_gpus_are_refused(gpus):
    with pytest.raises(SamecarError, match="device is 'cuda:4' but the GPUs here are cuda:0, cuda:1, cuda:2, cuda:3"):
        Processes(0, 8, 0, 8).machine(Machine("auto", 8))


def test_processes_are_started_where_torchrun_has_not(monkeypatch):
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    assert [starts_others(count) for count in (None, 1, 2)] == [False, False, True]
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert not starts_others(None)
    assert not starts_others(8)
    with pytest.raises(SamecarError, match="--processes is 2 but torchrun has started 8; leave --processes out"):
        starts_others(2)


def test_a_process_that_meets_nobody_says_where(monkeypatch):
    for name, value in (WHOLE | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "LONGEST_MEETING", timedelta(seconds=1))
    sentence = r"process 5 of 8 cannot meet the others at 127\.0\.0\.1:1 \(.*\); start all"
    with pytest.raises(SamecarError, match=sentence), take_part(machine("cpu", 0)):
        pass
