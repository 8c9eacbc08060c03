"""All the places a repository can be found at, as one source: the first that has what is asked for is used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgewise_agent.errors import RepositoryRefused, RepositoryUnreachable, UpdateError
from edgewise_agent.updates.repository import Offer, Repository
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.transport import Transport, find_places


@dataclass(frozen=True)
class Found:
    """An offer, and where it can be had."""

    offer: Offer
    place: Repository


class ModelSource(Protocol):
    """Where new models come from."""

    def find(self, target: str) -> Found:
        """What there is under this name now. Raises RepositoryRefused or RepositoryUnreachable."""

    def download(self, found: Found, *, base: Path | None = None) -> Path:
        """The file, verified; yours to move. ``base`` is what a delta may be applied to. Raises the same."""


class Places:
    """A ModelSource of every place in updates.repository."""

    def __init__(self, settings: UpdateSettings, *, folder: Path, transport: Transport) -> None:
        self._settings = settings
        self._folder = folder
        self._transport = transport

    def find(self, target: str) -> Found:
        """The first place that has it. A refusal weighs more than a place that is not there."""
        root_file = self._settings.root_file
        if root_file is None:
            raise RepositoryRefused("updates.root_file: missing, so no repository can be trusted")
        places = find_places(self._settings.repository)
        if not places:
            raise RepositoryUnreachable(
                f"no repository at {' or '.join(self._settings.repository) or 'updates.repository'}"
            )
        errors: list[UpdateError] = []
        for place in places:
            try:
                repository = Repository(
                    place, root_file=root_file, folder=self._folder, transport=self._transport
                )
                return Found(repository.find(target), repository)
            except UpdateError as error:
                errors.append(error)
        text = "; ".join(map(str, errors))
        if any(isinstance(error, RepositoryRefused) for error in errors):
            raise RepositoryRefused(text)
        raise RepositoryUnreachable(text)

    def download(self, found: Found, *, base: Path | None = None) -> Path:
        """From the place that offered it."""
        return found.place.download(found.offer, base=base)
