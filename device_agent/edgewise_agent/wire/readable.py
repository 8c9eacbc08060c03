"""Records out of the outbox, as profiles need them that send something else than their JSON."""

import logging
from collections.abc import Iterable

from edgewise_messages import AnyRecord, MessageError, decode_record

log = logging.getLogger("edgewise.agent.broker")


def readable_records(bodies: Iterable[bytes]) -> list[AnyRecord]:
    """One that cannot be read (a later version of edgewise wrote it) is told and left out, so that the rest goes."""
    records = []
    for body in bodies:
        try:
            records.append(decode_record(body))
        except MessageError as error:
            log.error("a record of the outbox is left out: %s", error)
    return records
