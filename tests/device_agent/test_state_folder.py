import os
from pathlib import Path

import pytest

from edgewise_agent.errors import OutboxError, StateInUse
from edgewise_agent.state_folder import StateFolder


def test_the_folder_is_made_and_locked_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state"
    with StateFolder(path) as state:
        assert state.outbox == path / "outbox.db"
        with pytest.raises(StateInUse, match=f"process {os.getpid()}"), StateFolder(path):
            pass
    with StateFolder(path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutboxError, match=r"device\.state_dir .*file/state: Not a directory"),
        StateFolder(tmp_path / "file/state"),
    ):
        pass
