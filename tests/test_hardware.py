import errno
import threading

import pytest
import torch

from samecar.errors import SamecarError
from samecar.hardware import find_device, in_parts, process_pool


@pytest.fixture
def gpus(request, monkeypatch):
    """As many GPUs as are asked for, to look at."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)


@pytest.mark.parametrize(
    ("gpus", "name", "device"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:0", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
    indirect=["gpus"],
)
def test_a_device_is_found_by_its_name(gpus, name, device):
    assert str(find_device(name)) == device


@pytest.mark.parametrize(
    ("gpus", "name", "sentence"),
    [
        (2, "cuda:2", r"device is 'cuda:2' but the GPUs here are cuda:0, cuda:1; use one of them, auto or cpu"),
        (0, "cuda", "device is 'cuda' but torch finds no GPU here; use auto or cpu"),
        (0, "cuda:0", "device is 'cuda:0' but torch finds no GPU here; use auto or cpu"),
        *(
            (2, name, "it can be auto, cpu, cuda or cuda:N")
            for name in ("gpu", "", "cuda:", "cuda:-1", "cuda:x", "cpu:0")
        ),
        (2, "cuda:1\n", "it can be auto, cpu, cuda or cuda:N"),
        (2, None, "it can be auto, cpu, cuda or cuda:N"),
    ],
    indirect=["gpus"],
)
def test_a_device_that_is_not_there_is_refused(gpus, name, sentence):
    with pytest.raises(SamecarError, match=sentence):
        find_device(name)


@pytest.fixture
def cores(request):
    """As many cores as are asked for, whatever this machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def seen(part):
    """What a part sees: its items, torch's threads, and whose thread does it."""
    return list(part), torch.get_num_threads(), threading.get_ident()


@pytest.mark.parametrize("cores", [2, 3, 5], indirect=True)
@pytest.mark.parametrize("count", [10, 11, 64])
def test_each_core_gets_about_as_much_and_one_thread_of_torch(cores, count):
    parts, threads, _ = zip(*in_parts(seen, range(count)), strict=True)
    assert [item for part in parts for item in part] == list(range(count))
    assert len(parts) == cores
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert threads == (1,) * cores


@pytest.mark.parametrize("cores", [3], indirect=True)
def test_torch_keeps_its_threads_elsewhere(cores):
    in_parts(seen, range(12))
    later = []
    thread = threading.Thread(target=lambda: later.append((torch.ones(9).sum(), torch.get_num_threads())))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == cores
    assert later[0][1] == cores


@pytest.mark.parametrize(("cores", "count"), [(4, 7), (4, 1), (1, 64)], indirect=["cores"])
def test_what_is_too_small_for_parts_is_done_whole_with_all_threads(cores, count):
    assert in_parts(seen, range(count)) == [(list(range(count)), cores, threading.get_ident())]


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_an_error_in_a_part_is_raised(cores):
    def work(part):
        if 5 in part:
            raise ValueError("five")
        return part

    with pytest.raises(ValueError, match="five"):
        in_parts(work, range(8))
    assert [list(part) for part in in_parts(work, range(4))] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_many_threads_may_ask_at_a_time(cores):
    outcomes = {}

    def ask(number):
        outcomes[number] = [in_parts(sum, range(number, number + 40)) for _ in range(20)]

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    for number in range(8):
        assert outcomes[number] == [[sum(range(number, number + 20)), sum(range(number + 20, number + 40))]] * 20


def test_processes_that_cannot_be_started_are_one_sentence(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("samecar.hardware.ProcessPoolExecutor", fail)
    with (
        pytest.raises(SamecarError, match=r"^no process that draws can be started: Function not implemented; use work"),
        process_pool(2, "draws"),
    ):
        pass
