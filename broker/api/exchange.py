"""From a call to a reply: run a handler, turn its errors through the one table, count and log the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from broker.api.calls import Call
from broker.api.operations_log import LOG, note_check, note_request
from broker.api.problems import INTERNAL, MEDIA_TYPE, Reply, plain_problem, problem_of, problem_reply
from broker.api.reading import BodyUnreadable

Handler: TypeAlias = Callable[[Call], tuple[Reply, str]]
"""A face's method: the reply, and the gateway code for the metrics, "" where there is none."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What every answer needs. issuer: public URL of this broker."""

    issuer: str
    new_reference: Callable[[], str]

    def answer(self, handler: Handler, call: Call, started: float) -> Reply:
        """Return the reply to a call, whatever happens. started: perf_counter() at its arrival."""
        problem: str | None = None
        try:
            reply, gateway_code = handler(call)
            if gateway_code:
                note_check(gateway_code)
            if reply.headers[0][1] == MEDIA_TYPE:
                problem = "source-outage"
        except BodyUnreadable:
            problem = "body-unreadable"
            reply = plain_problem(
                problem, issuer=self.issuer, request_id=call.request_id, vietnamese=call.vietnamese
            )
        except Exception as error:
            problem = problem_of(error).slug
            reply = self.refusal(error, call)
        note_request(
            call.route or call.path,
            call.method,
            reply.status,
            perf_counter() - started,
            call.request_id,
            problem,
        )
        return Reply(reply.status, (*reply.headers, ("X-Request-Id", call.request_id)), reply.body)

    def refusal(self, error: Exception, call: Call) -> Reply:
        """Return the problem document for an error; one without a row is logged by type and place."""
        if problem_of(error) is INTERNAL:
            LOG.error("unexpected", exc_info=error, extra={"facts": {"request_id": call.request_id}})
        return problem_reply(
            error, issuer=self.issuer, request_id=call.request_id, vietnamese=call.vietnamese
        )
