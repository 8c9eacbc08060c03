from pathlib import Path

from device_agent.agent_parts import FakeTime

from edgewise_agent.outbox.file import Entry, OutboxFile
from edgewise_agent.outbox.write_budget import DAY_S, WriteBudget, process_written_bytes

MIB = 1024 * 1024


def budget_of(time: FakeTime, mib_per_day: int) -> WriteBudget:
    return WriteBudget(mib_per_day * MIB, longest_interval_s=8.0, now_s=time.now_s, process_bytes=lambda: 0)


def write_at(
    budget: WriteBudget, time: FakeTime, *, mib_per_day: float, minutes: int, so_far: float
) -> tuple[float, list[str]]:
    """The bytes written by then, and what was said meanwhile."""
    said = []
    for _ in range(minutes):
        time.pass_s(60.0)
        so_far += mib_per_day * MIB * 60.0 / DAY_S
        said.append(budget.see(round(so_far)))
    return so_far, [text for text in said if text]


def test_nothing_is_said_before_there_is_something_to_go_by() -> None:
    time = FakeTime()
    budget = budget_of(time, 100)
    _, said = write_at(budget, time, mib_per_day=9000, minutes=9, so_far=0)
    assert (budget.per_day_bytes, said) == (None, [])


def test_the_pace_is_extrapolated_to_a_day() -> None:
    time = FakeTime()
    budget = budget_of(time, 0)
    _, said = write_at(budget, time, mib_per_day=240, minutes=30, so_far=0)
    assert budget.per_day_bytes is not None
    assert abs(budget.per_day_bytes / MIB - 240) < 1
    assert said == [], "without a budget there is nothing to warn of"


def test_over_the_budget_is_said_once_commits_are_stretched_up_to_the_limit_and_back_well_below_it() -> None:
    time = FakeTime()
    budget = budget_of(time, 100)
    assert budget.stretched(1.0) == 1.0
    written, said = write_at(budget, time, mib_per_day=150, minutes=60, so_far=0)
    assert said == ["150 MiB a day are written, the budget is 100 MiB; commits are made less often"]
    assert budget.is_exceeded
    assert budget.stretched(1.0) == 8.0, "the stated limit"
    assert budget.stretched(0.0) == 8.0
    assert budget.stretched(20.0) == 20.0, "longer than the limit by the settings is left alone"
    written, said = write_at(budget, time, mib_per_day=90, minutes=60, so_far=written)
    assert (said, budget.is_exceeded) == ([], True), "120 on the mean"
    written, said = write_at(budget, time, mib_per_day=1, minutes=70, so_far=written)
    assert len(said) == 1 and "within the budget of 100 MiB again" in said[0]
    assert budget.stretched(1.0) == 1.0
    assert write_at(budget, time, mib_per_day=95, minutes=20, so_far=written)[1] == [], "no flutter"


def test_only_the_last_day_counts() -> None:
    time = FakeTime()
    budget = budget_of(time, 100)
    written, _ = write_at(budget, time, mib_per_day=1000, minutes=60, so_far=0)
    write_at(budget, time, mib_per_day=10, minutes=25 * 60, so_far=written)
    assert budget.per_day_bytes is not None
    assert budget.per_day_bytes < 12 * MIB


def test_what_the_outbox_writes_is_counted_by_the_page(tmp_path: Path) -> None:
    """Until the log is folded the first time, what was written is the log's own size."""
    path = tmp_path / "outbox.db"
    file = OutboxFile(path, max_bytes=64 * MIB)
    before = (tmp_path / "outbox.db-wal").stat().st_size
    for seq in range(1, 30):
        file.write([Entry(seq, "event", b"x" * 500)])
    grown = (tmp_path / "outbox.db-wal").stat().st_size - before
    assert file.written_bytes == grown > 29 * 4096
    for seq in range(30, 1030):
        file.write([Entry(seq, "event", b"x" * 500)])
    assert (tmp_path / "outbox.db-wal").stat().st_size < 3 * MIB, "the log was begun anew many times"
    frames = 1000 * 2 * 4120
    assert frames < file.written_bytes < 2.5 * frames
    file.close()


def test_a_log_that_was_there_before_is_not_counted_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    file = OutboxFile(path, max_bytes=64 * MIB)
    file.write([Entry(seq, "event", b"x" * 500) for seq in range(1, 200)])
    for suffix in ("", "-wal"):
        path.with_name("killed.db" + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    file.close()
    again = OutboxFile(tmp_path / "killed.db", max_bytes=64 * MIB)
    assert again.count == 199
    assert again.written_bytes == 0
    again.close()


def test_the_process_tells_what_it_wrote_or_nothing() -> None:
    assert process_written_bytes() >= 0
