"""Taking a request for consent back: by the client that asked, before anybody has decided anything of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broker.actions.consent_doors import ConsentStore
from broker.actions.consent_writer import ConsentWriter
from broker.actions.trying import tried_again
from broker.consent import life
from broker.consent.record import Actor
from broker.consent.standing import state_at
from broker.consent.writing import KeptRequest
from broker.errors import ConsentTransitionRefused


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The verb with its doors."""

    store: ConsentStore
    writer: ConsentWriter

    def cancel(self, kept: KeptRequest, at: datetime) -> None:
        """Take a request back, and with it every consent that was opened on it.

        Raises ConsentTransitionRefused (final_state: it has ended; not_requested: it was decided, be it of
        one purpose only), ConsentMoved (somebody decides at this moment), StoreUnavailable.
        """
        tried_again(lambda: self._cancel(kept, at))

    def _cancel(self, kept: KeptRequest, at: datetime) -> None:
        """Take back what there is now. Raises ConsentMoved if there was more when it was written."""
        status = kept.status(at)
        if status != "pending":
            raise ConsentTransitionRefused("not_requested" if status == "decided" else "final_state")
        opening = kept.opening
        actor = Actor(kind="client", reference=opening.client_id)
        writings, evidence = [], []
        for held in self.store.find_of_request(opening.request_id):
            if state_at(held.consent, at) != "requested":
                raise ConsentTransitionRefused("not_requested")
            written, recorded = self.writer.compose(life.cancel(held.consent, actor, at), held, at)
            writings += written
            evidence += recorded
        self.store.write(writings, evidence, cancelled=(opening.request_id, at))
