import asyncio
import threading

import numpy as np
import pytest

from samecar.serving.batching import Batcher, QueueFullError


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def test_everybody_gets_the_own_result_and_batches_are_no_larger_than_allowed():
    sizes = []

    async def main():
        batcher = Batcher(
            lambda items: [item**2 for item in items], largest=8, waiting=1000, name="squares", observe=sizes.append
        )
        results = await asyncio.gather(*(batcher(item) for item in range(100)))
        await batcher.close()
        return results

    assert run(main()) == [item**2 for item in range(100)]
    assert sum(sizes) == 100
    assert max(sizes) == 8
    assert len(sizes) == 13


class Slow:
    """Multiplies, but not before it is let."""

    def __init__(self, factor):
        self.factor = factor
        self.begun, self.go_on, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.batches.append(items)
        self.begun.set()
        assert self.go_on.wait(10)
        return [self.factor * item for item in items]


def test_what_comes_while_a_batch_runs_goes_together():
    slow = Slow(1)

    async def main():
        batcher = Batcher(slow, largest=8, waiting=8, name="slow")
        first = asyncio.create_task(batcher(0))
        await asyncio.to_thread(slow.begun.wait, 10)
        others = [asyncio.create_task(batcher(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0.02)
        assert len(batcher.queue) == 3
        slow.go_on.set()
        results = await asyncio.gather(first, *others)
        await batcher.close()
        return results

    assert run(main()) == [0, 1, 2, 3]
    assert slow.batches == [[0], [1, 2, 3]]


def asked_in_turns(clients, turns, halves, largest=100):
    """Sizes of the batches where each client asks again as soon as it has its answer."""
    sizes = []

    async def main():
        batcher = Batcher(
            lambda items: items, largest=largest, waiting=1000, name="turns", observe=sizes.append, halves=halves
        )

        async def client(number):
            for _ in range(turns):
                assert await batcher(number) == number

        await asyncio.gather(*(client(number) for number in range(clients)))
        await batcher.close()

    run(main())
    assert sum(sizes) == clients * turns
    return sizes


def test_halves_take_turns():
    sizes = asked_in_turns(32, turns=50, halves=True)
    assert sizes[:2] == [16, 16]
    assert max(sizes) == 16
    assert np.median(sizes) == 16


@pytest.mark.parametrize(("clients", "first"), [(1, 1), (2, 1), (3, 2), (7, 4)])
def test_half_of_a_few_is_at_least_one(clients, first):
    sizes = asked_in_turns(clients, turns=3, halves=True)
    assert sizes[0] == first


def test_halves_too_are_no_larger_than_allowed():
    assert max(asked_in_turns(64, turns=5, halves=True, largest=8)) == 8


def test_all_who_wait_go_together_without_halves():
    assert asked_in_turns(32, turns=1, halves=False) == [32]


def test_whoever_gives_up_is_left_out_and_disturbs_nobody():
    slow = Slow(10)

    async def main():
        batcher = Batcher(slow, largest=8, waiting=8, name="slow")
        running = asyncio.create_task(batcher(0))
        await asyncio.to_thread(slow.begun.wait, 10)
        waiting = [asyncio.create_task(batcher(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        running.cancel()
        waiting[1].cancel()
        slow.go_on.set()
        results = await asyncio.gather(running, *waiting, return_exceptions=True)
        await batcher.close()
        return results

    first, second, third, fourth = run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(third, asyncio.CancelledError)
    assert (second, fourth) == (10, 30)
    assert slow.batches == [[0], [1, 3]]


def test_more_than_may_wait_are_refused():
    go_on = threading.Event()

    async def main():
        batcher = Batcher(lambda items: go_on.wait(10) and items, largest=1, waiting=2, name="slow")
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher(item)) for item in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batcher(3)
        go_on.set()
        results = await asyncio.gather(first, *others)
        await batcher.close()
        return results

    assert run(main()) == [0, 1, 2]


def test_an_error_goes_to_all_of_its_batch_and_the_next_one_is_done():
    def work(items):
        if 1 in items:
            raise ValueError("one")
        return items

    async def main():
        batcher = Batcher(work, largest=2, waiting=9, name="fragile")
        results = await asyncio.gather(*(batcher(item) for item in range(4)), return_exceptions=True)
        later = await batcher(7)
        await batcher.close()
        return [*results, later]

    failed, failed_too, *rest = run(main())
    assert isinstance(failed, ValueError)
    assert isinstance(failed_too, ValueError)
    assert rest == [2, 3, 7]


def test_closing_finishes_what_waits():
    async def main():
        batcher = Batcher(lambda items: items, largest=2, waiting=9, name="last")
        asking = [asyncio.create_task(batcher(item)) for item in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        return [task.result() for task in asking]

    assert run(main()) == [0, 1, 2, 3, 4]
