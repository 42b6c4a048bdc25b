"""The loop: what is missing is drawn and checked until every pair is decided."""

from lcmis.audit.run import Audit, AuditResult

__all__ = ["Audit", "AuditResult"]
