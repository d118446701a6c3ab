"""`GET /v1/consented-record`: what a citizen has consented to, for the recipient whose token says so.

Authentication: access token of a citizen's grant with scope share_record, bound to its sender. There is no
body: the token says whose record, which fields, what for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.actions.share_record import ShareRecord
from broker.api.calls import Call, Caller, receipt_wanted
from broker.api.problems import Reply
from broker.api.replies import JSON_HEADERS, JWT_HEADERS
from broker.errors import InputFault, RequestMalformed

_QUERY: Final = re.compile(r"consent_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class ConsentedRecordFace:
    """The resource, without a web framework. sign(claims) gives a compact JWS."""

    caller: Caller
    verb: ShareRecord
    sign: Callable[[Mapping[str, Any]], str]
    data_owner: str

    def read(self, call: Call) -> tuple[Reply, str]:
        """Answer with the fields that were consented to, each with its form, source and instant.

        Raises RequestMalformed, TokenInvalid, ProofInvalid, ReleaseRefused, SourceOutage,
        EvidenceUnavailable, StoreUnavailable.
        """
        context = self.caller.context(call)
        shared = self.verb.read(context, read_consent_id(call.query))
        if not receipt_wanted(call.accept):
            return Reply(200, JSON_HEADERS, shared.content), ""
        claims = {
            "iss": self.caller.issuer,
            "aud": context.client_id,
            "iat": int(context.at.timestamp()),
            "jti": shared.reference,
            "data_owner": self.data_owner,
            "consented_record": json.loads(shared.content),
        }
        return Reply(200, JWT_HEADERS, self.sign(claims).encode("ascii")), ""


def read_consent_id(query: str) -> str | None:
    """Return the one parameter there is, consent_id, or None without a query. Raises RequestMalformed."""
    if not query:
        return None
    found = _QUERY.fullmatch(query)
    if found is None:
        remedy = "The only parameter, once: the consent's UUID in lower case."
        raise RequestMalformed((InputFault("/consent_id", remedy),))
    return found[1]
