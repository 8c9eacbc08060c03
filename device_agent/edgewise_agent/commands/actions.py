"""What commands do to settings, models and the log. Snapshots and erasing belong to those who hold the data."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgewise_agent.commands.desk import Action, Refuse
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.errors import InvalidSettings
from edgewise_agent.settings.change import SettingsChange
from edgewise_messages import Command, CommandName

if TYPE_CHECKING:
    from edgewise_agent.updates.model_updater import ModelUpdater

LEVELS = ("debug", "info", "warning", "error")


class CommandActions:
    """Actions for the `CommandDesk`; they run on its thread."""

    def __init__(
        self,
        settings: CommandSettings,
        *,
        change: SettingsChange | None,
        updates: "Mapping[str, ModelUpdater]",
        restart: Callable[[str], None],
    ) -> None:
        """``change`` is None for an agent without a settings file; ``updates`` are by pipeline.

        ``restart`` stops the agent, with a reason, and starts it again; it returns at once.
        """
        self._settings = settings
        self._change = change
        self._updates = dict(updates)
        self._restart_agent = restart

    def actions(self) -> dict[str, Action]:
        """By command name."""
        return {
            CommandName.RESTART: self._restart,
            CommandName.SET_MODEL: self._set_model,
            CommandName.ROLLBACK: self._roll_back,
            CommandName.SET_SETTINGS: self._set_settings,
            CommandName.LOG_LEVEL: self._log_level,
        }

    def _restart(self, command: Command) -> str:
        self._restart_agent(f"asked by command {command.id}")
        return "starting again"

    def _set_model(self, command: Command) -> str:
        given = command.arguments
        return self._pipeline(command).want(
            str(given["target"]),
            sha256=str(given.get("sha256", "")),
            again=bool(given.get("again")),
            older=bool(given.get("older")),
        )

    def _roll_back(self, command: Command) -> str:
        only = str(command.arguments.get("sha256") or "").lower()
        return self._pipeline(command).roll_back(f"asked by command {command.id}", only=only)

    def _pipeline(self, command: Command) -> "ModelUpdater":
        name = command.arguments.get("pipeline")
        known = ", ".join(self._updates) or "none: no updates.repository in the settings"
        if name is None and len(self._updates) == 1:
            return next(iter(self._updates.values()))
        if name is None:
            raise Refuse(f"argument 'pipeline': missing; pipelines that are updated: {known}")
        found = self._updates.get(str(name))
        if found is None:
            raise Refuse(f"argument 'pipeline': got {name!r}; pipelines that are updated: {known}")
        return found

    def _set_settings(self, command: Command) -> str:
        if self._change is None:
            raise Refuse("the agent has no settings file")
        given = dict(command.arguments)
        toml = given.pop("toml", None)
        within = given.pop("connect_within_s", None)
        within_s = float(within) if isinstance(within, int | float) else self._settings.connect_within_s
        if toml is None and not given:
            raise Refuse("nothing to change: give section.key=value, or toml=@FILE")
        if not 1.0 <= within_s <= 86_400.0:
            raise Refuse(f"argument 'connect_within_s': got {within_s:g}, expected 1 to 86400")
        try:
            data = self._change.propose(
                given, toml=None if toml is None else str(toml), allowed=self._settings.remote_settings
            )
            self._change.apply(data, connect_within_s=within_s)
        except InvalidSettings as error:
            raise Refuse(str(error)) from error
        self._restart_agent(f"new settings by command {command.id}")
        return f"in place; undone unless the broker is reached within {within_s:g} s"

    def _log_level(self, command: Command) -> str:
        level = str(command.arguments["level"]).lower()
        if level not in LEVELS:
            raise Refuse(f"argument 'level': got {level!r}, expected {', '.join(LEVELS)}")
        logging.getLogger("edgewise").setLevel(level.upper())
        return f"logs {level} and above until the next start"
