"""What the parts of the REST API share: who asks, and how ids look."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Path, Request

from edgewise_fleet.access import Caller, Role
from edgewise_fleet.web.api_models import NAME_PATTERN

Id = Annotated[str, Path(pattern=NAME_PATTERN)]


def needed(role: Role) -> Any:
    """A dependency: the caller, if in this role."""

    def check(request: Request) -> Caller:
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None or not caller.role.may(role):
            raise HTTPException(403, f"this needs the role {role.value}")
        return caller

    return Depends(check)


Operator = Annotated[Caller, needed(Role.OPERATOR)]
