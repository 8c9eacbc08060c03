"""The three roles, each with what the one before may do."""

from enum import StrEnum

from edgewise_fleet.errors import AccessProblem


class Role(StrEnum):
    """viewer looks; operator also silences and steers; admin also reads the audit log."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Whether this role has what the other has."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


def parse_role(text: str) -> Role:
    """Read a role. Raises AccessProblem."""
    try:
        return Role(text)
    except ValueError:
        raise AccessProblem(f"role: got {text!r}, expected {', '.join(Role)}") from None
