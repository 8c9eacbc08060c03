"""Who may look and who may change what: users, sessions, tokens, roles, the audit log. Knows no web."""

from edgewise_fleet.access.audit import AuditEntry, AuditLog
from edgewise_fleet.access.gate import Caller, Gate, Refused
from edgewise_fleet.access.roles import Role
from edgewise_fleet.access.users import User, Users

__all__ = ["AuditEntry", "AuditLog", "Caller", "Gate", "Refused", "Role", "User", "Users"]
