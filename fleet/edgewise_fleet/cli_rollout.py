"""`edgewise fleet rollout`: change the model of many devices, in stages, and back by itself when it disappoints."""

from pathlib import Path
from typing import Annotated

import typer

rollout_app = typer.Typer(
    no_args_is_help=True,
    help="Change the model of many devices, in stages; back by itself when it disappoints.",
)

StoreOption = Annotated[
    str, typer.Option(help="Of the fleet server, which may be running: a file, or postgresql://...")
]
RolloutArgument = Annotated[
    str | None,
    typer.Argument(help="A rollout's id or its beginning; the latest without.", show_default=False),
]


@rollout_app.command()
def start(
    model: Annotated[
        str, typer.Argument(help="A name in the repository, or a model file, which is then published.")
    ],
    repository: Annotated[Path, typer.Option(help="The update repository's folder.")],
    store: StoreOption = "fleet.db",
    keys: Annotated[
        Path | None, typer.Option(help="Folder of the repository's keys.", show_default=False)
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only devices of this group.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only devices with this tag: NAME or NAME=VALUE.")
    ] = None,
    pipeline: Annotated[str, typer.Option(help="Which pipeline, where devices have several.")] = "",
    stages: Annotated[str, typer.Option(help="Canaries, then rising percents.")] = "canary=2,10%,100%",
    hold: Annotated[str, typer.Option(help="How long each stage is watched: 90s, 10m, 2h.")] = "10m",
    at_once: Annotated[int, typer.Option(min=1, help="Most devices on their way at once.")] = 50,
    max_slowdown: Annotated[float, typer.Option(min=1, help="Most times the p95 of before.")] = 1.5,
    max_p95_ms: Annotated[
        float | None, typer.Option(min=0, help="And at most this, the card's promise.", show_default=False)
    ] = None,
    max_error_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Errors per input above before.")
    ] = 0.05,
    max_drift_moved: Annotated[int, typer.Option(min=0, help="Drifting statistics above before.")] = 3,
    max_failed: Annotated[
        float, typer.Option(min=0, max=1, help="Share that may fail after the first stage.")
    ] = 0.0,
    silence: Annotated[str, typer.Option(help="A device not heard so long after its update failed.")] = "2m",
    within: Annotated[str, typer.Option(help="A device that is there must run it within this.")] = "30m",
    throttling: Annotated[bool, typer.Option(help="Whether new throttling is a failure.")] = True,
    older: Annotated[bool, typer.Option("--older", help="Devices may go to a lower version.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Devices that rejected it shall try again.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Begin; a server with --rollout-key carries it out."""
    from edgewise_fleet.rollouts.plan import parse_seconds, parse_stages
    from edgewise_fleet.rollouts.starting import Wanted, start_rollout
    from edgewise_fleet.rollouts.state import Gates
    from edgewise_fleet.steering.entries import parse_tags

    gates = Gates(
        max_slowdown=max_slowdown,
        max_p95_ms=max_p95_ms,
        max_error_rate=max_error_rate,
        max_drift_moved=max_drift_moved,
        max_failed_share=max_failed,
        throttling=throttling,
        silence_s=parse_seconds(silence),
        update_s=parse_seconds(within),
    )
    wanted = Wanted(
        model=model,
        repository=repository,
        keys=keys,
        group=group,
        tags=parse_tags(tag or []),
        pipeline=pipeline,
        stages=parse_stages(stages),
        hold_s=parse_seconds(hold),
        at_once=at_once,
        older=older,
        again=again,
        gates=gates,
    )
    for line in start_rollout(store, wanted, dry=dry):
        typer.echo(line)


@rollout_app.command()
def status(
    rollout: RolloutArgument = None,
    store: StoreOption = "fleet.db",
    all_of_them: Annotated[bool, typer.Option("--all", help="A line for every rollout.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, every device with it.")] = False,
) -> None:
    """How far a rollout is, and which devices are not as they should be."""
    from edgewise_fleet.rollouts.starting import show_status

    typer.echo(show_status(store, rollout, all_of_them=all_of_them, as_json=json))


@rollout_app.command()
def pause(rollout: RolloutArgument = None, store: StoreOption = "fleet.db") -> None:
    """Tell nobody new; whoever has it is watched on, and a bad model is still halted."""
    from edgewise_fleet.rollouts.starting import apply_wish

    typer.echo(apply_wish(store, rollout, "pause"))


@rollout_app.command()
def resume(rollout: RolloutArgument = None, store: StoreOption = "fleet.db") -> None:
    """Go on after a pause."""
    from edgewise_fleet.rollouts.starting import apply_wish

    typer.echo(apply_wish(store, rollout, "resume"))


@rollout_app.command()
def halt(
    rollout: RolloutArgument = None,
    store: StoreOption = "fleet.db",
    reason: Annotated[str, typer.Option(help="For the history.")] = "by hand",
) -> None:
    """End it, and take the model back from every device that has it."""
    from edgewise_fleet.rollouts.starting import apply_wish

    typer.echo(apply_wish(store, rollout, "halt", reason))


@rollout_app.command()
def history(
    rollout: RolloutArgument = None,
    store: StoreOption = "fleet.db",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Every decision, with its reason."""
    from edgewise_fleet.rollouts.starting import show_history

    typer.echo(show_history(store, rollout, as_json=json))
