"""`GET /facade/findusage/…`: Estonia's Data Tracker's three services, for a portal that citizens sign in at.

Authentication: sender-constrained access token of the portal itself, with scope find_usage. Whose history is
asked for stands in the query and in X-Road-UserId, as the published shape wants it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import parse_qsl

from broker.actions.find_usage import FindUsage
from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.replies import json_reply
from broker.clock import Clock
from broker.errors import InputFault, RequestMalformed, StoreUnavailable
from broker.evidence.usage import heartbeat, usage_period, usage_question
from broker.oauth.scopes import FIND_USAGE

FACADE_PATH: Final = "/facade/findusage"
_PARAMETERS_MAX: Final = 20


class Oldest(Protocol):
    """Knows since when entries are kept; `broker.storage.usages.PostgresUsages` does."""

    def find_oldest(self) -> datetime | None:
        """Return the instant of the oldest entry of all, None without any. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class FindUsageFace:
    """The resources, without a web framework."""

    judge: AccessJudge
    verb: FindUsage
    oldest: Oldest
    clock: Clock

    def find(self, call: Call) -> tuple[Reply, str]:
        """Answer who used a person's data, newest first (findUsage).

        Raises RequestMalformed, TokenInvalid, ProofInvalid, ReleaseRefused, SourceOutage,
        EvidenceUnavailable, StoreUnavailable.
        """
        context = self.judge.caller.context(call)
        question = usage_question(_parameters(call.query), call.user_id)
        return json_reply(self.verb.find(context, question, vietnamese=call.vietnamese)), ""

    def period(self, call: Call) -> tuple[Reply, str]:
        """Answer since when entries are kept (usagePeriod). Raises what AccessJudge.judge raises."""
        self.judge.judge(call, FIND_USAGE)
        return json_reply(usage_period(self.oldest.find_oldest() or self.clock())), ""

    def heartbeat(self, call: Call) -> tuple[Reply, str]:
        """Answer whether evidence can be read (heartbeat). Raises what AccessJudge.judge raises."""
        self.judge.judge(call, FIND_USAGE)
        try:
            self.oldest.find_oldest()
        except StoreUnavailable:
            return json_reply(heartbeat(is_well=False)), ""
        return json_reply(heartbeat(is_well=True)), ""


def _parameters(query: str) -> Mapping[str, str]:
    """Return the parameters of a query, each once. Raises RequestMalformed."""
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            max_num_fields=_PARAMETERS_MAX,
            errors="strict",
            strict_parsing=bool(query),
        )
    except ValueError:
        raise RequestMalformed((InputFault("", "The query must be readable as UTF-8."),)) from None
    twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if twice:
        raise RequestMalformed((InputFault(f"/{_told(twice[0])}", "It may stand there once."),))
    return {_told(name): value for name, value in pairs}


def _told(name: str) -> str:
    """Return a parameter's name as an answer may repeat it: nobody's words, and no number."""
    return name if name.isascii() and name.isalpha() and len(name) <= 40 else "(other)"
