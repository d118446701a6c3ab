"""What a consent is: the values of requests, consents and their events. Pure; nobody's clock, nobody's store.

One consent is one recipient, one purpose, one agreement (Law 91/2025 art. 9: no bundling). A request that
names two purposes makes two consents, each decided by itself. A consent exists from when it is requested.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, TypeAlias

State: TypeAlias = Literal[
    "requested",
    "pending_cosign",
    "active",
    "paused",
    "refresh_due",
    "refused",
    "request_expired",
    "cancelled",
    "withdrawn",
    "expired",
    "inapplicable",
    "invalidated",
    "superseded",
]
FINAL: Final[frozenset[State]] = frozenset(
    {
        "refused",
        "request_expired",
        "cancelled",
        "withdrawn",
        "expired",
        "inapplicable",
        "invalidated",
        "superseded",
    }
)
"""States that never change again."""

EventType: TypeAlias = Literal[
    "requested",
    "viewed",
    "given",
    "partially_given",
    "refused",
    "cosigned",
    "amended",
    "extended",
    "paused",
    "resumed",
    "withdrawn",
    "expired",
    "request_expired",
    "cancelled",
    "inapplicable",
    "invalidated",
    "superseded",
    "refresh_due",
    "confirmed",
]
ActorKind: TypeAlias = Literal["data_subject", "representative", "client", "operator", "broker"]
SignerRole: TypeAlias = Literal["data_subject", "representative"]
Mode: TypeAlias = Literal["view", "store"]
Method: TypeAlias = Literal["web_form", "assisted"]
Period: TypeAlias = Literal["day", "week", "month", "consent"]


@dataclass(frozen=True, slots=True)
class AskedField:
    """One field asked for. form: name of the form in which alone it would leave.

    shape: what `policies.shape.shape_of` said of it when it was asked for; "" fits nothing. is_required: the
    rest is of no use to the recipient without it. is_sensitive: Decree 356/2025 art. 4, told before the
    choice.
    """

    name: str
    form: str
    is_required: bool
    is_sensitive: bool
    shape: str = ""


@dataclass(frozen=True, slots=True)
class DataRange:
    """Which time the released rows may speak of; inclusive civil days, None = open."""

    first_day: date | None
    last_day: date | None


@dataclass(frozen=True, slots=True)
class Frequency:
    """At most use_count releases per period ("consent": over its whole life)."""

    use_count: int
    per: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked, for one purpose. Nothing here ever changes; other terms are another consent.

    revision_hash: of the agreement as it stood when asked. valid_days: how long the recipient may read.
    retention_days: how long it may keep what it read. message: language → the recipient's own words, plain.
    """

    agreement_id: str
    revision_hash: str
    purpose: str
    fields: tuple[AskedField, ...]
    valid_days: int
    retention_days: int
    mode: Mode = "view"
    data_range: DataRange | None = None
    frequency: Frequency | None = None
    message: tuple[tuple[str, str], ...] = ()

    @property
    def field_names(self) -> frozenset[str]:
        """Names of all fields asked for."""
        return frozenset(field.name for field in self.fields)

    @property
    def required_names(self) -> frozenset[str]:
        """Names of the fields without which nothing can be given."""
        return frozenset(field.name for field in self.fields if field.is_required)


@dataclass(frozen=True, slots=True)
class FieldDecision:
    """What was decided of one field."""

    name: str
    form: str
    is_given: bool
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed. level: of the sign-in.

    relation_hash: 32 bytes in hex, "" for the data subject: hash under the broker's own key of what the
    source said of the relation, so that nobody without the key can test a guess.
    """

    role: SignerRole
    citizen_id: str
    level: int
    authenticated_at: datetime
    signed_at: datetime
    relation_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Exactly what was shown before the choice (Decree 356/2025 art. 6: who, when, what; provable).

    rendered_hash: SHA-256 hex of all that the page said, as canonical JSON (RFC 8785; docs/consent.md says of
    what). language: "vi" or "en". served_at: when it was shown, not when it was answered. method: how the
    choice was made.
    """

    version: str
    language: str
    rendered_hash: str
    served_at: datetime
    method: Method = "web_form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who must sign, as the source's birth date says (`broker.consent.age`).

    refresh_due_at: when that ends and the consent must be confirmed, None for never. refresh_roles: who signs
    from then on.
    """

    required_roles: tuple[SignerRole, ...] = ("data_subject",)
    refresh_due_at: datetime | None = None
    refresh_roles: tuple[SignerRole, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One consent at one version. subject: pairwise name for the recipient. All instants aware UTC.

    citizen_id: the data subject's account. required_roles: whose signatures make it active.
    valid_from_at, valid_to_at: None until given. refresh_due_at: when it must be confirmed (coming of age).
    version: counts its changes from 1. grant_id: of the authorization server, None until a token is wanted.
    given_days, given_range: what was given of the days and the range asked for, None for all of it.
    refresh_roles: whose signatures count from refresh_due_at on; empty for the same.
    """

    consent_id: str
    request_id: str
    client_id: str
    organisation_id: str
    citizen_id: str
    subject: str
    terms: Terms
    state: State
    state_reason: str
    state_since_at: datetime
    version: int
    requested_at: datetime
    request_expires_at: datetime
    required_roles: tuple[SignerRole, ...] = ("data_subject",)
    decisions: tuple[FieldDecision, ...] = ()
    signers: tuple[Signer, ...] = ()
    notice: Notice | None = None
    grant_id: str | None = None
    valid_from_at: datetime | None = None
    valid_to_at: datetime | None = None
    refresh_due_at: datetime | None = None
    supersedes: str | None = None
    superseded_by: str | None = None
    given_days: int | None = None
    given_range: DataRange | None = None
    refresh_roles: tuple[SignerRole, ...] = ()

    @property
    def readable_days(self) -> int:
        """How many days the recipient may read, from when it was given."""
        return self.terms.valid_days if self.given_days is None else self.given_days

    @property
    def readable_range(self) -> DataRange | None:
        """Which time the released rows may speak of; None for any that the agreement lets out."""
        return self.terms.data_range if self.given_range is None else self.given_range

    @property
    def given_names(self) -> frozenset[str]:
        """Names of the fields that were given."""
        return frozenset(decision.name for decision in self.decisions if decision.is_given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something. reference: citizen id, client id, operator's name, or "" for the broker itself."""

    kind: ActorKind
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEvent:
    """One thing that happened to a consent; append-only. version: of the consent after it.

    details: closed words and numbers only, never a value of a record.
    """

    consent_id: str
    version: int
    type: EventType
    actor: Actor
    at: datetime
    details: tuple[tuple[str, str], ...] = ()
