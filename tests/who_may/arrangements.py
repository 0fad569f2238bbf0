"""How each operation is called so that whoever may do it is let in, and yet nothing changes.

What changes something is asked for in a way that fails once the caller is let in, or that comes too late: a version
that was never read, a name that is not its name, a role that has ended. So no call changes what another one gets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

Things = Mapping[str, str]
"""The name of something in the organization -> its id."""

_COMMUNITY = "provider-supplier"
_NEVER_READ = {"if-match": '"4711"'}


@dataclass(frozen=True)
class Arrangement:
    """One way to call an operation."""

    operation: str
    """Method and path, as the OpenAPI document has them."""
    about: str = ""
    """Which of several things it is called about, for the reader of the table."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Path parameter -> the name of what it stands for; what is no thing of an organization stands for itself."""
    query: Callable[[Things], Mapping[str, str]] | None = None
    json: Callable[[Things], object] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_public: bool = False
    """Whether what its path names is there for everybody to know."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.operation} [{self.about}]" if self.about else self.operation

    @property
    def method(self) -> str:
        """The method."""
        return self.operation.split()[0]

    @property
    def request(self) -> str:
        """The name of the request that it is about, if it is about one."""
        return self.ids.get("request_id", "")

    def path(self, things: Things) -> str:
        """Return the path that names these things."""
        return self.operation.split()[1].format(
            **{parameter: things.get(name, name) for parameter, name in self.ids.items()}
        )


def _requests(service: str, rest: str, *names: str, **more: object) -> list[Arrangement]:
    """Return an operation on requests, once for each of these."""
    method, _, path = rest.partition(" ")
    operation = f"{method} /{service}/v1/requests/{{request_id}}{path}"
    return [Arrangement(operation, name, {"request_id": name}, **more) for name in names]  # type: ignore[arg-type]


_AWAITED = ("join", "new group", "become BSO", "application", "registration", "practitioner's application")

_REGISTRATION = [
    Arrangement("GET /registration/v1/communities"),
    Arrangement("GET /registration/v1/communities/{community_id}", ids={"community_id": _COMMUNITY}),
    Arrangement("GET /registration/v1/communities/{community_id}/roles", ids={"community_id": _COMMUNITY}),
    Arrangement(
        "GET /registration/v1/communities/{community_id}/roles/{role}/guide",
        ids={"community_id": _COMMUNITY, "role": "END_USER"},
    ),
    Arrangement("GET /registration/v1/communities/{community_id}/approvers-guide", ids={"community_id": _COMMUNITY}),
    Arrangement(
        "GET /registration/v1/statuses/{tracking_number}", ids={"tracking_number": "tracking number"}, is_public=True
    ),
    Arrangement(
        "POST /registration/v1/requests",
        "for an organization that is not there",
        json=lambda _: {
            "community_id": _COMMUNITY,
            "kind": "create_provider_group",
            "organization_id": str(uuid4()),
            "data": {"group_name": "Nowhere"},
        },
    ),
    Arrangement(
        "POST /registration/v1/requests",
        "for an application, on a role that has ended",
        json=lambda it: {
            "community_id": _COMMUNITY,
            "kind": "access_application",
            "application": "CLAIM_STATUS",
            "role_assignment_id": it["ended role"],
        },
    ),
    Arrangement("GET /registration/v1/requests"),
    *_requests("registration", "POST /email-proof", "join", json=lambda _: {"code": ""}, is_public=True),
    # It may be asked for three times an hour: whoever builds the house has done so.
    *_requests("registration", "POST /email-code", "settled", is_public=True),
    *_requests("registration", "POST /submission", "join"),
    *_requests("registration", "GET ", "join", "registered"),
    *_requests("registration", "POST /corrections", "join", json=lambda _: {"data": {}}),
    *_requests("registration", "POST /withdrawal", "settled"),
    Arrangement(
        "POST /registration/v1/requests/{request_id}/documents/{document}",
        "registration",
        ids={"request_id": "registration", "document": "irs_letter"},
        content=b"neither a PDF nor a picture",
    ),
    *_requests("registration", "GET /documents", "registration", "registered"),
    Arrangement(
        "GET /registration/v1/requests/{request_id}/documents/{document}",
        "registration",
        ids={"request_id": "registration", "document": "letter"},
    ),
    Arrangement(
        "GET /registration/v1/requests/{request_id}/documents/{document}",
        "registered",
        ids={"request_id": "registered", "document": "its letter"},
    ),
    Arrangement(
        "POST /registration/v1/invitations",
        json=lambda _: {"community_id": _COMMUNITY, "application": "CLAIM_STATUS", "emails": ["not an address"]},
    ),
    Arrangement(
        "GET /registration/v1/invitations",
        query=lambda _: {"community_id": _COMMUNITY, "application": "CLAIM_STATUS"},
    ),
]

_APPROVAL = [
    Arrangement("GET /approval/v1/requests"),
    Arrangement("GET /approval/v1/communities/{community_id}/requests", ids={"community_id": _COMMUNITY}),
    *_requests("approval", "GET ", *_AWAITED, "settled", "registered"),
    *_requests("approval", "POST /decisions", *_AWAITED, json=lambda _: {"verdict": "approve"}, headers=_NEVER_READ),
    *_requests("approval", "POST /decisions", "settled", json=lambda _: {"verdict": "approve"}, headers=_NEVER_READ),
    *_requests("approval", "PUT /claim", "join", "registration"),
    *_requests("approval", "DELETE /claim", "join", "registration"),
]

_DIRECTORY = [
    Arrangement("GET /directory/v1/organizations", query=lambda _: {"limit": "1"}),
    Arrangement("POST /directory/v1/organization-searches", "by TIN", json=lambda it: {"tin": it["tin"]}),
    Arrangement("POST /directory/v1/organization-searches", "by NPI", json=lambda _: {"npi": "1234567893"}),
    Arrangement(
        "GET /directory/v1/organizations/{organization_id}", ids={"organization_id": "organization"}, is_public=True
    ),
    Arrangement(
        "GET /directory/v1/organizations/{organization_id}/groups",
        ids={"organization_id": "organization"},
        is_public=True,
    ),
    Arrangement("GET /directory/v1/applications", query=lambda _: {"community_id": _COMMUNITY}),
    Arrangement("GET /directory/v1/organizations/{organization_id}/deciders", ids={"organization_id": "organization"}),
    Arrangement("GET /directory/v1/organizations/{organization_id}/people", ids={"organization_id": "organization"}),
    Arrangement(
        "POST /directory/v1/organizations/{organization_id}/closure",
        ids={"organization_id": "organization"},
        json=lambda _: {"confirm": "Not its name"},
    ),
    Arrangement("GET /directory/v1/people/me"),
    Arrangement("DELETE /directory/v1/role-assignments/{assignment_id}", ids={"assignment_id": "ended role"}),
    Arrangement("DELETE /directory/v1/entitlements/{entitlement_id}", ids={"entitlement_id": "ended entitlement"}),
    # A wrong password would count against the address that everybody here comes from.
    Arrangement("POST /directory/v1/sessions", json=lambda _: {"user_id": "K7MQ42XP", "password": ""}),
    Arrangement("POST /directory/v1/sessions/current/token"),
    Arrangement("DELETE /directory/v1/sessions/current"),
    Arrangement("POST /directory/v1/password-links", json=lambda _: {"user_id": "ZZZZZZZZ"}),
]

_NOTIFICATION = [
    Arrangement("GET /notification/v1/notices/mine"),
    Arrangement("GET /notification/v1/notices", query=lambda it: {"request_id": it["join"]}),
    Arrangement("GET /notification/v1/notices/{notice_id}", ids={"notice_id": "notice"}),
    *_requests("notification", "GET /notices", "join"),
]

ALL = (*_REGISTRATION, *_APPROVAL, *_DIRECTORY, *_NOTIFICATION)
