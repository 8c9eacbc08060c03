"""`Model.astream`: the loop goes on while a thread waits and infers, and the same counts and ends as `Model.stream`."""

import asyncio
from pathlib import Path

import pytest
from sdk.stream_parts import COLOURS, Steps, field

import edgewise
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams import SimulatedSource, WavSource

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_astream_answers_while_the_loop_goes_on(model: edgewise.Model) -> None:
    source = Steps()

    async def give() -> None:
        for _ in range(3):
            await asyncio.to_thread(source.give)

    async def main() -> list[str]:
        giver = asyncio.create_task(give())
        labels = []
        async for result in model.astream(source):
            labels.append(result.answer.top.label)
            if len(labels) == 3:
                break
        await giver
        return labels

    source.asked.release()
    assert tuple(asyncio.run(main())) == COLOURS
    assert not source.is_open


def test_an_astream_left_at_the_very_end_of_the_loop_is_closed(model: edgewise.Model) -> None:
    source = SimulatedSource()

    async def main() -> None:
        async for _ in model.astream(source, live=True):
            break

    asyncio.run(main())
    assert source.read() is None


def test_a_cancelled_astream_closes_a_source_that_it_waits_for(model: edgewise.Model) -> None:
    source = SimulatedSource(rate_hz=1e-6)

    async def main() -> None:
        answered = asyncio.Event()

        async def consume() -> None:
            async for _ in model.astream(source):
                answered.set()

        task = asyncio.create_task(consume())
        await answered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert source.read() is None


def test_astream_ends_and_raises_as_stream_does(model: edgewise.Model, tmp_path: Path) -> None:
    async def count(source: SimulatedSource | WavSource) -> int:
        return len([result async for result in model.astream(source)])

    assert asyncio.run(count(SimulatedSource([field(0)] * 4))) == 4
    with pytest.raises(SourceError, match="No such file"):
        asyncio.run(count(WavSource(tmp_path / "no.wav")))


def test_a_slow_task_gets_the_newest_frame_and_how_many_it_missed(model: edgewise.Model) -> None:
    source = Steps()

    async def main() -> tuple[list[int], list[int]]:
        answered, dropped = [], []
        source._allowed.release()
        stream = model.astream(source, live=True)
        async for result in stream:
            answered.append(result.frame.index)
            dropped.append(result.dropped)
            if len(answered) == 3:
                break
            if len(answered) == 1:
                await asyncio.to_thread(source.asked.acquire)
                await asyncio.to_thread(source.asked.acquire)
            await asyncio.to_thread(source.give, 5)
        return answered, dropped

    assert asyncio.run(main()) == ([0, 5, 10], [0, 4, 8])


def test_a_file_is_never_read_ahead_of_a_slow_task(model: edgewise.Model) -> None:
    source = Steps()

    async def main() -> None:
        taken = 0
        source._allowed.release()
        async for _ in model.astream(source):
            taken += 1
            for _ in range(10):
                await asyncio.sleep(0)  # time enough for whoever would read ahead
            assert source.reads == taken
            if taken == 5:
                break
            source._allowed.release()

    asyncio.run(main())


def test_streams_over_one_model_go_on_side_by_side(model: edgewise.Model) -> None:
    async def labels(first: int) -> list[str]:
        source = SimulatedSource([field(first + index) for index in range(10)])
        return [result.answer.top.label async for result in model.astream(source)]

    async def main() -> list[list[str]]:
        return await asyncio.gather(*map(labels, range(3)))

    for first, found in enumerate(asyncio.run(main())):
        assert found == [COLOURS[(first + index) % 3] for index in range(10)]


def test_an_error_in_the_loop_or_of_the_model_closes_the_source(
    model: edgewise.Model, tmp_path: Path
) -> None:
    source = SimulatedSource()

    async def fail() -> None:
        async for _ in model.astream(source):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert source.read() is None
    steps = Steps(fails_at=0)
    steps._allowed.release()

    async def read() -> None:
        async for _ in model.astream(steps):
            pass

    with pytest.raises(SourceError, match="the cable came out"):
        asyncio.run(read())
    assert not steps.is_open
    with pytest.raises(InvalidInput, match="source: got None"):
        model.astream(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("live", [False, True])
def test_a_stream_that_times_out_closes_its_source(model: edgewise.Model, live: bool) -> None:
    source = SimulatedSource(rate_hz=1e-6)

    async def main() -> None:
        answered = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                async for _ in model.astream(source, live=live):
                    answered += 1
                    limit.reschedule(asyncio.get_running_loop().time())
        assert answered == 1

    asyncio.run(main())
    assert source.read() is None
