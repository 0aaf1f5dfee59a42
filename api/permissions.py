"""Who may do what: permissions, the roles that hold them, and the dependency that every route declares.

Denied by default: a route without `require(...)` that is not in `PUBLIC_ROUTES` fails a test, and a role holds only
what is listed here. A permission holds for the branches where the user has a role with it; the principal carries them,
and every query runs inside them (row-level security is the second wall).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from api.deps import SignedIn, signed_in
from domain.enums import Role
from domain.errors import NotPermittedError
from domain.messages import CommandKind


class Permission(StrEnum):
    """One thing a role may do."""

    PATIENT_REGISTER = "patient.register"
    PATIENT_READ = "patient.read"
    CATALOGUE_READ = "catalogue.read"
    ORDER_PLACE = "order.place"
    ORDER_READ = "order.read"
    ORDER_CANCEL = "order.cancel"
    SAMPLE_COLLECT = "sample.collect"
    SAMPLE_RECEIVE = "sample.receive"
    SAMPLE_REJECT = "sample.reject"
    RETENTION_MANAGE = "retention.manage"
    """Say how long tubes are kept."""
    RESULT_READ = "result.read"
    """See result values, and confidential tests by name."""
    RESULT_ENTER = "result.enter"
    RESULT_VERIFY = "result.verify"
    REPORT_AUTHORISE = "report.authorise"
    REPORT_RELEASE = "report.release"
    REPORT_READ = "report.read"
    INVOICE_READ = "invoice.read"
    PAYMENT_RECORD = "payment.record"
    INVOICE_REVERSE = "invoice.reverse"
    ATTENTION_RESOLVE = "attention.resolve"
    MESSAGE_READ = "message.read"
    MESSAGE_REPROCESS = "message.reprocess"
    DEVICE_WORK_READ = "device_work.read"
    DEVICE_WORK_MANAGE = "device_work.manage"
    PARTNER_READ = "partner.read"
    AUDIT_READ = "audit.read"
    STAFF_MANAGE = "staff.manage"
    ANALYZER_MANAGE = "analyzer.manage"
    MAPPING_MANAGE = "mapping.manage"
    """Propose what a device's codes mean, import proposals, retire mappings."""
    MAPPING_CONFIRM = "mapping.confirm"
    PAYLOAD_DECODE = "payload.decode"


P = Permission

ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.FRONT_DESK: frozenset(
            {
                P.PATIENT_REGISTER, P.PATIENT_READ, P.CATALOGUE_READ, P.ORDER_PLACE, P.ORDER_READ, P.ORDER_CANCEL,
                P.SAMPLE_COLLECT, P.REPORT_READ, P.INVOICE_READ, P.PAYMENT_RECORD,
            }
        ),
        Role.PHLEBOTOMIST: frozenset({P.PATIENT_READ, P.CATALOGUE_READ, P.ORDER_READ, P.SAMPLE_COLLECT}),
        Role.TECHNICIAN: frozenset(
            {
                P.PATIENT_READ, P.CATALOGUE_READ, P.ORDER_READ, P.SAMPLE_RECEIVE, P.SAMPLE_REJECT, P.RESULT_READ,
                P.RESULT_ENTER, P.RESULT_VERIFY, P.MESSAGE_READ, P.MESSAGE_REPROCESS, P.MAPPING_MANAGE,
                P.MAPPING_CONFIRM, P.DEVICE_WORK_READ, P.DEVICE_WORK_MANAGE,
            }
        ),
        Role.PATHOLOGIST: frozenset(
            {
                P.PATIENT_READ, P.CATALOGUE_READ, P.ORDER_READ, P.SAMPLE_REJECT, P.RESULT_READ, P.RESULT_VERIFY,
                P.REPORT_AUTHORISE, P.REPORT_READ, P.MESSAGE_READ, P.MAPPING_CONFIRM, P.DEVICE_WORK_READ,
                P.RETENTION_MANAGE,
            }
        ),
        Role.BILLING: frozenset(
            {
                P.PATIENT_READ, P.CATALOGUE_READ, P.ORDER_READ, P.INVOICE_READ, P.PAYMENT_RECORD, P.INVOICE_REVERSE,
                P.REPORT_RELEASE, P.ATTENTION_RESOLVE, P.PARTNER_READ,
            }
        ),
        Role.ADMIN: frozenset(
            {
                P.CATALOGUE_READ, P.ORDER_READ, P.ORDER_CANCEL, P.REPORT_RELEASE, P.ATTENTION_RESOLVE, P.INVOICE_READ,
                P.MESSAGE_READ, P.MESSAGE_REPROCESS, P.DEVICE_WORK_READ, P.DEVICE_WORK_MANAGE, P.PARTNER_READ,
                P.STAFF_MANAGE, P.ANALYZER_MANAGE, P.MAPPING_MANAGE, P.PAYLOAD_DECODE,
            }
        ),
        Role.AUDITOR: frozenset({P.CATALOGUE_READ, P.ORDER_READ, P.INVOICE_READ, P.PARTNER_READ, P.AUDIT_READ}),
    }
)  # fmt: skip

COMMAND_PERMISSIONS: Mapping[CommandKind, Permission] = MappingProxyType(
    {
        CommandKind.COLLECT_SAMPLES: P.SAMPLE_COLLECT,
        CommandKind.RECEIVE_SAMPLES: P.SAMPLE_RECEIVE,
        CommandKind.REJECT_SAMPLE: P.SAMPLE_REJECT,
        CommandKind.RERUN_TESTS: P.RESULT_VERIFY,
        CommandKind.ENTER_RESULTS: P.RESULT_ENTER,
        CommandKind.DECIDE_HELD: P.RESULT_VERIFY,
        CommandKind.VERIFY_RESULTS: P.RESULT_VERIFY,
        CommandKind.AUTHORISE_REPORT: P.REPORT_AUTHORISE,
        CommandKind.RELEASE_REPORT: P.REPORT_RELEASE,
        CommandKind.CANCEL_ORDER: P.ORDER_CANCEL,
        CommandKind.RECORD_PAYMENT: P.PAYMENT_RECORD,
        CommandKind.REVERSE_INVOICE: P.INVOICE_REVERSE,
        CommandKind.RESOLVE_STEP: P.ATTENTION_RESOLVE,
    }
)

PUBLIC_ROUTES = frozenset(
    {
        "/v1/auth/token", "/v1/auth/refresh", "/v1/auth/logout",
        "/health/live", "/health/ready", "/metrics", "/docs", "/docs/errors",
        "/check/{token}", "/r/{token}",
        "/webhooks/razorpay", "/webhooks/whatsapp", "/webhooks/sms", "/webhooks/abdm/{api:path}",
        "/connectors/{protocol}/{analyzer}",
    }
)  # fmt: skip
"""Routes without a staff token: each proves its caller in its own way (password, signature, key, token in the path)."""


def roles_with(permission: Permission) -> frozenset[Role]:
    """Return the roles that hold a permission."""
    return frozenset(role for role, held in ROLE_PERMISSIONS.items() if permission in held)


@dataclass(frozen=True)
class Principal:
    """The caller of a route, as far as the route's permission reaches.

    Attributes:
        branch_ids: Branches in which the caller holds the route's permission; never empty.
    """

    user_id: UUID
    username: str
    branch_ids: frozenset[UUID]
    signed_in: SignedIn

    def may(self, permission: Permission, branch_id: UUID) -> bool:
        """Tell whether the caller also holds `permission` at a branch."""
        return branch_id in branches_with(self.signed_in, permission)

    def reach(self, permission: Permission) -> frozenset[str]:
        """Return the codes of the branches where the caller holds `permission`."""
        return frozenset(self.signed_in.branch_codes[branch] for branch in branches_with(self.signed_in, permission))

    def branch_id(self, code: str) -> UUID:
        """Return the id of a branch in which the route's permission holds.

        Raises:
            NotPermittedError: It does not hold there.
        """
        for branch_id in self.branch_ids:
            if self.signed_in.branch_codes[branch_id] == code:
                return branch_id
        raise NotPermittedError(f"you may not do this at branch {code}", code="BRANCH_NOT_PERMITTED")


def branches_with(user: SignedIn, permission: Permission) -> frozenset[UUID]:
    """Return the branches where one of the user's roles holds `permission`."""
    return frozenset(branch for role, branch in user.roles if permission in ROLE_PERMISSIONS[role])


class Require:
    """The dependency that declares and checks a route's permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request, user: Annotated[SignedIn, Depends(signed_in)]) -> Principal:
        """Return the principal.

        Raises:
            NotPermittedError: No role of the caller holds the permission anywhere.
        """
        branches = branches_with(user, self.permission)
        if not branches:
            raise NotPermittedError(f"this needs the permission {self.permission.value}")
        request.state.user_id = str(user.user_id)
        return Principal(user.user_id, user.username, branches, user)


def require(permission: Permission) -> Require:
    """Return the dependency for a route that needs `permission`."""
    return Require(permission)
