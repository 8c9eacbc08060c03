"""Publishes a good model and four bad ones to a fleet of stand-ins and real agents, and says where each was stopped.

python benchmarks/rollout_proof.py --stand-ins 980 --real 20
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

# In place of this folder, where benchmarks/fleet.py would be found as `fleet`.
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

from fleet import rollout_parts
from fleet.rollout_parts import BAD, Site, told

SILENT_AFTER_S = 30.0


def prove(
    site: Site, *, stand_ins: int, real: int, interval_s: float, max_slowdown: float, silence: str
) -> list[dict[str, object]]:
    """A line for each rollout."""
    site.serve(silent_after_s=SILENT_AFTER_S)
    site.publish_all()
    site.simulate(stand_ins, group="sim", rate=stand_ins / 5)
    for number in range(real):
        site.start_agent(
            f"cam-{number:02}", interval_s=interval_s, watch_inputs=150, max_slowdown=max_slowdown
        )
        time.sleep(0.5)
    fleet = {"sim": (stand_ins, 10), "real": (real, max(1, real // 4))}
    fleet = {group: sizes for group, sizes in fleet.items() if sizes[0]}
    for group, (count, _) in fleet.items():
        site.wait_for_devices(count, group)
    lines = []
    for name in ("good", *BAD):
        limits = ("--max-slowdown", f"{max_slowdown:g}", "--max-drift-moved", "0", "--silence", silence)
        began = time.monotonic()
        begun = {
            group: site.roll_out(
                name, "--group", group, "--stages", f"canary={canaries},30%,100%", "--hold", "2s",
                "--at-once", "300", *limits,
            )
            for group, (_, canaries) in fleet.items()
        }  # fmt: skip
        for group, rollout in begun.items():
            ended = site.wait_for(rollout, "done" if name == "good" else "halted", wait_s=900)
            lines.append(
                {
                    "model": name,
                    "group": group,
                    "devices": fleet[group][0],
                    "canaries": fleet[group][1],
                    "told": told(ended),
                    "stage": ended["rollout"].get("stage", 0) + 1,
                    "seconds": round(time.monotonic() - began, 1),
                    "on_the_good_one": site.running(group).get(site.sha256("good"), 0),
                    "reason": ended["rollout"]["reason"][:160],
                }
            )
            print(json.dumps(lines[-1]), flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-ins", type=int, default=980)
    parser.add_argument("--real", type=int, default=20)
    parser.add_argument("--interval-s", type=float, default=0.25)
    parser.add_argument(
        "--max-slowdown",
        type=float,
        default=1.5,
        help="of agents and rollouts, their default; on a busy machine models of 0.1 ms need more",
    )
    parser.add_argument("--silence", default="2m", help="after an update, the command's default")
    given = parser.parse_args()
    rollout_parts.WAIT_S = 600.0
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            lines = prove(
                site, stand_ins=given.stand_ins, real=given.real, interval_s=given.interval_s,
                max_slowdown=given.max_slowdown, silence=given.silence,
            )  # fmt: skip
        finally:
            site.end()
    bad = [
        line
        for line in lines
        if line["on_the_good_one"] != line["devices"]
        or (line["model"] != "good" and (line["told"] != line["canaries"] or line["stage"] != 1))
    ]
    print(f"{len(lines)} rollouts, {len(bad)} not as they should be")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
