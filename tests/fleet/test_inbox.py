"""What may wait to be stored."""

import threading

from edgewise_fleet.inbox import BATCH_BYTES, BATCH_MESSAGES, MOST_BYTES, MOST_MESSAGES, Inbox, Waiting
from edgewise_fleet.message import Message


def waiting(number: int, size: int = 1) -> Waiting:
    return Waiting(Message("t", b"x" * size, False, 1, number, 1, 1), (), True)


def numbers(batch: list[Waiting]) -> list[int]:
    return [one.message.packet_id for one in batch]


def test_it_is_full_by_messages_until_a_batch_is_dealt_with() -> None:
    inbox = Inbox()
    inbox.put([waiting(i) for i in range(MOST_MESSAGES - 1)], waits=False)
    assert inbox.has_room()
    inbox.put([waiting(-1)], waits=False)
    assert not inbox.has_room()
    inbox.put([waiting(-2)], waits=False)  # what was read with the last piece is kept all the same
    batch = inbox.take()
    assert len(batch) >= BATCH_MESSAGES
    assert not inbox.has_room()  # being stored takes room too
    inbox.done()
    assert inbox.has_room() is (len(inbox) < MOST_MESSAGES)


def test_it_is_full_by_bytes_and_a_batch_is_half_of_them() -> None:
    inbox, size = Inbox(), MOST_BYTES // 64
    for i in range(63):
        inbox.put([waiting(i, size)], waits=False)
    assert inbox.has_room()
    inbox.put([waiting(63, size)], waits=False)
    assert not inbox.has_room()
    first = inbox.take()
    assert numbers(first) == list(range(BATCH_BYTES // size))
    inbox.done()
    assert inbox.has_room()
    assert numbers(inbox.take()) == list(range(len(first), 64))


def test_who_waits_for_room_goes_on_when_there_is_some_or_when_it_is_closed() -> None:
    inbox = Inbox()
    inbox.put([waiting(i) for i in range(MOST_MESSAGES)], waits=False)
    late = threading.Thread(target=inbox.put, args=[[waiting(-1)]], kwargs={"waits": True})
    late.start()
    late.join(0.1)
    assert late.is_alive()
    inbox.take()
    inbox.done()
    late.join(30)
    assert not late.is_alive()
    inbox.put([waiting(i) for i in range(MOST_MESSAGES)], waits=False)
    dropped = threading.Thread(target=inbox.put, args=[[waiting(-2)]], kwargs={"waits": True})
    dropped.start()
    inbox.close()
    dropped.join(30)
    left = []
    while batch := inbox.take():
        left += numbers(batch)
        inbox.done()
    assert left == [-1, *range(MOST_MESSAGES)]


def test_after_the_end_nothing_is_taken_in() -> None:
    inbox = Inbox()
    inbox.close()
    inbox.put([waiting(1)], waits=False)
    assert (inbox.take(), inbox.has_room(), len(inbox)) == ([], False, 0)
