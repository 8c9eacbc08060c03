"""A profile for people, with bars."""

from edgewise.profile import Profile

_BAR_WIDTH = 24
_KIND_WIDTH = 44


def page(profile: Profile, *, top: int, bar: str = "#") -> str:
    """All of it; ``top`` operators one by one, ``bar`` the character of which the bars are made."""
    lines = [
        f"{profile.path} in {profile.backend}, {_counted(profile.threads, 'thread')}, "
        f"{_counted(profile.runs, 'run')}, fed {profile.input}",
        f"measured {profile.how}",
        f"operators {profile.operators_ms:.3f} ms of a profiled call of {profile.profiled_call_ms:.3f} ms; "
        f"without the profiler a call takes {profile.call_ms:.3f} ms",
        _xnnpack(profile),
        "",
        f"by kind {'':<{_BAR_WIDTH - 8}} {'share':>6} {'ms':>9}  number",
    ]
    most = profile.kinds[0].share if profile.kinds else 0.0
    lines += [
        f"{_bar(kind.share, most, bar)} {kind.share:6.1%} {kind.time_ms:9.3f}  "
        f"{kind.operators:>4} {kind.kind} [{kind.where}]"
        for kind in profile.kinds
    ]
    shown = profile.operators[:top]
    lines += ["", f"by operator {'':<{_BAR_WIDTH - 12}} {'share':>6} {'ms':>9}"]
    most = shown[0].share if shown else 0.0
    for operator in shown:
        shape = "" if operator.shape is None else " x ".join(map(str, operator.shape)) or "scalar"
        facts = "  ".join(fact for fact in (operator.name, shape) if fact)
        lines.append(
            f"{_bar(operator.share, most, bar)} {operator.share:6.1%} {operator.time_ms:9.3f}  "
            f"{operator.kind + f' [{operator.where}]':<{_KIND_WIDTH}}  {facts}".rstrip()
        )
    rest = profile.operators[top:]
    if rest:
        share = sum(operator.share for operator in rest)
        lines.append(
            f"and {_counted(len(rest), 'more operator')} with {share:.1%}: --top shows more, --json all"
        )
    return "\n".join([*lines, *(f"note: {remark}" for remark in profile.remarks)])


def _xnnpack(profile: Profile) -> str:
    left = profile.not_in_xnnpack
    if left is None:
        places = sorted({operator.where for operator in profile.operators})
        return f"this runtime has no XNNPACK here: all operators ran in its {', '.join(places)} provider"
    taken = profile.graph_operators - sum(left.values())
    text = f"XNNPACK took {taken} of the file's {_counted(profile.graph_operators, 'operator')}"
    if taken:
        text += f", in {_counted(profile.xnnpack_parts, 'part')}"
    if left:
        text += f"; built-in kernels ran {', '.join(f'{count} {kind}' for kind, count in left.items())}"
    return text


def _bar(share: float, most: float, bar: str) -> str:
    length = round(_BAR_WIDTH * share / most) if most else 0
    return f"{bar * length:<{_BAR_WIDTH}}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
