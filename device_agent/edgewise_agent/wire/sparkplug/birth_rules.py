"""Rules of births, aliases and the topics (docs/agent/wire.md lists them)."""

import re

from edgewise_agent.wire.sparkplug.findings import Findings, unless
from edgewise_agent.wire.sparkplug.payload import DataType, Metric
from edgewise_agent.wire.sparkplug.trace import BIRTHS, DATA, DEATH, NAMESPACE, Life, Said, Trace

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
WITHOUT_ALIAS = (BD_SEQ, REBIRTH)
_ID = re.compile(r"[^+#/]+")
_MS_OF_2015 = 1_420_070_400_000
"""An older timestamp is not in milliseconds, or of a clock that was never set."""
_DAY_MS = 86_400_000


def birth_first(trace: Trace) -> Findings:
    """4. The first publish of a connection is the NBIRTH (or an NDEATH, when it ends unborn)."""
    for life in trace.lives:
        if life.said and (life.connect is not None or life.of("NBIRTH")):
            yield unless(life.said[0].kind in ("NBIRTH", DEATH), f"first publish is {life.said[0].kind}")


def birth_qos_0(trace: Trace) -> Findings:
    """4. Births have QoS 0."""
    for said in _births(trace):
        if said.publish.qos is not None:
            yield unless(said.publish.qos == 0, f"{said.kind} with QoS {said.publish.qos}")


def birth_not_retained(trace: Trace) -> Findings:
    """4. Births are not retained."""
    for said in _births(trace):
        if said.publish.retain is not None:
            yield unless(not said.publish.retain, f"{said.kind} is retained")


def nbirth_seq_0(trace: Trace) -> Findings:
    """4. NBIRTH has seq 0."""
    for said in _births(trace):
        if said.kind == "NBIRTH":
            yield unless(said.payload.seq == 0, f"NBIRTH with seq {said.payload.seq}")


def timestamps_utc_ms(trace: Trace) -> Findings:
    """4. Births and data have a timestamp, in milliseconds of UTC."""
    for life in trace.lives:
        for said in life.of(*BIRTHS, *DATA):
            stamp_ms = said.payload.timestamp_ms
            latest_ms = said.publish.received_ms + _DAY_MS
            is_right = stamp_ms is not None and _MS_OF_2015 <= stamp_ms <= latest_ms
            yield unless(is_right, f"{said.kind} with timestamp {stamp_ms}")


def birth_metrics_whole(trace: Trace) -> Findings:
    """4. Each metric of a birth has name, datatype, timestamp, and a value or is_null."""
    for said in _births(trace):
        for metric in said.payload.metrics:
            has_all = None not in (metric.name, metric.datatype, metric.timestamp_ms)
            has_value = (metric.value is not None) != metric.is_null
            yield unless(has_all and has_value, f"{said.kind}: {metric}")


def birth_has_rebirth(trace: Trace) -> Findings:
    """4. NBIRTH has `Node Control/Rebirth`, Boolean, false."""
    for said in _births(trace):
        if said.kind == "NBIRTH":
            metric = said.payload.find(REBIRTH)
            is_right = metric is not None and (metric.datatype, metric.value) == (DataType.BOOLEAN, False)
            yield unless(is_right, f"{REBIRTH} is {metric}")


def birth_has_bd_seq(trace: Trace) -> Findings:
    """4. NBIRTH has a bdSeq of type INT64."""
    for said in _births(trace):
        if said.kind == "NBIRTH":
            metric = said.payload.find(BD_SEQ)
            is_right = metric is not None and metric.datatype == DataType.INT64 and metric.value is not None
            yield unless(is_right, f"bdSeq of NBIRTH is {metric}")


def rebirth_without_alias(trace: Trace) -> Findings:
    """6, pitfall. `Node Control/Rebirth` and bdSeq have no alias: a host must know them before any birth."""
    for said in _births(trace):
        for metric in said.payload.metrics:
            if metric.name in WITHOUT_ALIAS:
                yield unless(metric.alias is None, f"{metric.name} has alias {metric.alias}")


def dbirths_before_ddata(trace: Trace) -> Findings:
    """4. A device is born after the NBIRTH and before its data."""
    for life in trace.lives:
        born: set[str] = set()
        for said in life.said:
            if said.kind == "NBIRTH":
                born = {""}
            elif said.kind == "DBIRTH":
                yield unless("" in born, f"DBIRTH of {said.publish.device} before the NBIRTH")
                born.add(said.publish.device)
            elif said.kind == "DDATA":
                device = said.publish.device
                yield unless(device in born, f"DDATA of {device}, which is not born")


def every_metric_born(trace: Trace) -> Findings:
    """4. Data has only metrics that the birth of their node or device named."""
    for life in trace.lives:
        for said, known in _with_births(life):
            for metric in said.payload.metrics:
                has = metric.alias in known or metric.name in known.values()
                yield unless(has, f"{said.kind}: {metric} is in no birth")


def aliases_in_births(trace: Trace) -> Findings:
    """6. Births give each metric a name and an alias."""
    for said in _births(trace):
        for metric in said.payload.metrics:
            if metric.name not in WITHOUT_ALIAS:
                yield unless(metric.alias is not None, f"{said.kind}: {metric.name} has no alias")


def data_alias_only(trace: Trace) -> Findings:
    """6. Data has the alias and no name."""
    for life in trace.lives:
        for said in life.of(*DATA):
            for metric in said.payload.metrics:
                has_it = metric.alias is not None and metric.name is None
                yield unless(has_it, f"{said.kind}: {metric.name or metric}")


def aliases_unique(trace: Trace) -> Findings:
    """6. No alias stands for two metrics of the node and its devices."""
    for life in trace.lives:
        owners: dict[int, tuple[str, str | None]] = {}
        for said in life.of(*BIRTHS):
            if said.kind == "NBIRTH":
                owners = {}
            for metric in _with_alias(said):
                owner = (said.publish.device, metric.name)
                taken = owners.setdefault(metric.alias or 0, owner)
                yield unless(taken == owner, f"alias {metric.alias} is both {taken} and {owner}")


def ids_valid(trace: Trace) -> Findings:
    """9. Topics have four levels, five for a device, and ids without + / #."""
    for life in trace.lives:
        for said in life.said:
            levels = said.publish.levels
            wanted = 5 if said.kind.startswith("D") else 4
            is_right = len(levels) == wanted and levels[0] == NAMESPACE
            yield unless(is_right and all(map(_ID.fullmatch, levels)), said.publish.topic)


def _births(trace: Trace) -> list[Said]:
    return [said for life in trace.lives for said in life.of(*BIRTHS)]


def _with_alias(said: Said) -> list[Metric]:
    return [metric for metric in said.payload.metrics if metric.alias is not None]


def _with_births(life: Life) -> list[tuple[Said, dict[int, str | None]]]:
    """Each data message that follows a birth of its place, and that birth's names by alias."""
    found = []
    known: dict[str, dict[int, str | None]] = {}
    for said in life.said:
        if said.kind == "NBIRTH":
            known = {}
        if said.kind in BIRTHS:
            known[said.publish.device] = {metric.alias or 0: metric.name for metric in _with_alias(said)}
        elif said.kind in DATA and said.publish.device in known:
            found.append((said, known[said.publish.device]))
    return found
