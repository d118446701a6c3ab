"""Citizens' receipts over HTTP: one's own only, signed, and checked by anybody who holds one."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from jsonschema_rs import Draft202012Validator
from pypdf import PdfReader
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.consent.record import Actor, Consent
from consent_ui.form_words import form_in_words
from consent_ui.words import LANGUAGES, WORDS, Words
from tests.citizen_world import Citizen, shipped_policies
from tests.oauth_flow import Attempt, Flow
from tests.oauth_world import Database, World
from tests.unit.test_consent_receipts import DPV_RECEIPT, KANTARA_RECEIPT

RECEIPTS, CHECK = "/citizen/receipts", "/receipts/check"
NOBODYS = "6d8c0daa-d1ad-48fc-8069-26e2389987a1"
ENDINGS = (".pdf", ".jws", ".json", "/kantara.json")


@pytest.fixture(scope="module")
def flow(database: Database) -> Flow:
    return Flow(World(database))


@dataclass
class Holder:
    """A citizen who has consented in part, in a browser that is signed in."""

    flow: Flow
    citizen: Citizen

    def get(self, path: str, **query: str) -> TestResponse:
        browser = self.flow.signed_in(self.citizen)
        answer: TestResponse = browser.get(path, base_url=self.flow.world.issuer, query_string=query)
        return answer

    def ids(self) -> list[str]:
        """Return the numbers of the receipts on the page, the latest first."""
        page = self.get(RECEIPTS)
        assert page.status_code == 200, page.text
        return re.findall(r'<h2 id="receipt-([0-9a-f-]{36})"', page.text)

    def receipt(self, ending: str = ".jws", place: int = 0) -> TestResponse:
        answer = self.get(f"{RECEIPTS}/{self.ids()[place]}{ending}")
        assert answer.status_code == 200, answer.text
        return answer

    def consent(self) -> Consent:
        [consent] = self.flow.world.wiring.consents.consents.find_of_citizen(self.citizen.citizen_id)
        return consent

    @property
    def actor(self) -> Actor:
        return Actor(kind="data_subject", reference=self.citizen.citizen_id)


@pytest.fixture
def holder(flow: Flow) -> Holder:
    return consenting(flow)


def consenting(flow: Flow) -> Holder:
    citizen = flow.citizen()
    flow.granted(citizen, ("0.salary_base",))
    return Holder(flow, citizen)


def check(flow: Flow, receipt: str = "", file: bytes | None = None, language: str = "vi") -> TestResponse:
    """Send a receipt to the public page, in a browser that nobody is signed in with."""
    data: dict[str, Any] = {"receipt": receipt, "lang": language}
    if file is not None:
        data["file"] = (BytesIO(file), "receipt.pdf")
    answer: TestResponse = flow.browser().post(
        CHECK, data=data, base_url=flow.world.issuer, content_type="multipart/form-data"
    )
    return answer


def is_genuine(page: TestResponse) -> bool:
    """Return what the page says of a receipt; it says one of two things."""
    said = [key for key in ("receipt_genuine", "receipt_not_genuine") if f">{WORDS[key][0]}<" in page.text]
    assert page.status_code == 200, page.text
    assert len(said) == 1, page.text
    return said == ["receipt_genuine"]


def verified(flow: Flow, receipt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload, verified by a library of others with the keys that are published."""
    published = flow.world.http.get("/oauth/jwks", base_url=flow.world.issuer).get_json()
    found = jws.deserialize_compact(receipt, KeySet.import_key_set(published), ["ES256"])
    payload: dict[str, Any] = json.loads(found.payload)
    return dict(found.headers()), payload


class TestOnesOwn:
    def test_a_decision_leaves_a_receipt_that_says_what_was_decided(self, holder: Holder) -> None:
        page = holder.get(RECEIPTS)
        assert len(holder.ids()) == 1
        assert "Bạn đã đồng ý một phần – Ngân hàng bank-1" in page.text
        assert "Tiền lương làm căn cứ đóng" in page.text
        assert 'lang="vi"' in page.text
        assert page.headers["Cache-Control"] == "no-store"
        english = holder.get(RECEIPTS, lang="en")
        assert "You consented in part – Bank bank-1" in english.text

    def test_it_names_each_form_with_all_that_the_form_is_given_as_the_page_did(
        self, flow: Flow, holder: Holder
    ) -> None:
        _, record = verified(flow, holder.receipt().text)
        told = json.dumps(record, ensure_ascii=False)
        policies = shipped_policies()
        table = policies.tables["bank_income_proof"]
        for language in LANGUAGES:
            release = table.permitted["salary_base"]
            form = form_in_words(release, table, policies.catalogue, Words(language))
            assert form.count(",") >= 6
            assert form in told, language

    def test_without_receipts_the_page_says_so(self, flow: Flow) -> None:
        holder, other, attempt = consenting(flow), Holder(flow, flow.citizen()), Attempt()
        flow.push(attempt)
        flow.decision_page(other.citizen, attempt)
        assert other.ids() == []
        assert WORDS["receipts_none"][0] in other.get(RECEIPTS).text
        assert len(holder.ids()) == 1

    def test_a_receipt_is_signed_with_a_published_key_for_nothing_else(self, holder: Holder) -> None:
        answer = holder.receipt(".jws")
        header, payload = verified(holder.flow, answer.text)
        assert (header["alg"], header["typ"]) == ("ES256", "consent-receipt+jwt")
        [stored] = [one for one in holder.flow.world.ring.stored_keys() if one.kid == header["kid"]]
        assert stored.purpose == "consent_receipt"
        consent = holder.consent()
        assert (payload["consent_id"], payload["version"]) == (consent.consent_id, consent.version)
        assert (payload["event"], payload["issuer"]) == ("partially_given", holder.flow.world.issuer)
        with holder.flow.world.engine.connect() as connection:
            kind = text("SELECT kind FROM evidence_entries WHERE reference = :reference")
            found = connection.execute(kind, {"reference": payload["evidence_reference"]}).scalar_one()
        assert found == "consent"

    def test_both_standard_forms_are_what_was_signed(self, holder: Holder) -> None:
        _, payload = verified(holder.flow, holder.receipt(".jws").text)
        iso, kantara = holder.receipt(".json"), holder.receipt("/kantara.json")
        assert (iso.mimetype, kantara.mimetype) == ("application/ld+json", "application/json")
        assert json.loads(iso.text) == payload["receipt_27560"]
        assert json.loads(kantara.text) == payload["receipt_kantara"]
        assert DPV_RECEIPT.is_valid(json.loads(iso.text))
        assert KANTARA_RECEIPT.is_valid(json.loads(kantara.text))

    def test_the_page_to_print_holds_the_original(self, holder: Holder) -> None:
        pdf = holder.receipt(".pdf")
        assert pdf.mimetype == "application/pdf"
        [page] = PdfReader(BytesIO(pdf.data)).pages
        assert "Ngân hàng bank-1" in page.extract_text()
        assert holder.receipt(".jws").data in pdf.data
        assert pdf.data == holder.receipt(".pdf").data

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_receipt_is_given_to_keep_and_never_shown_within_a_page(
        self, holder: Holder, ending: str
    ) -> None:
        headers = holder.receipt(ending).headers
        assert headers["Content-Disposition"].startswith('attachment; filename="')
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_somebody_elses_receipt_looks_like_one_that_there_is_not(self, flow: Flow, ending: str) -> None:
        holder, stranger = consenting(flow), consenting(flow)
        [receipt_id] = holder.ids()
        others = stranger.get(f"{RECEIPTS}/{receipt_id}{ending}")
        nobodys = stranger.get(f"{RECEIPTS}/{uuid4()}{ending}")
        assert (others.status_code, nobodys.status_code) == (404, 404)
        assert others.text == nobodys.text
        assert WORDS["receipt_unknown"][0] in others.text
        assert receipt_id not in stranger.get(RECEIPTS).text

    @pytest.mark.parametrize("ending", ["", *(f"/{NOBODYS}{ending}" for ending in ENDINGS)])
    def test_nobody_sees_anything_without_signing_in(self, flow: Flow, ending: str) -> None:
        answer = flow.browser().get(RECEIPTS + ending, base_url=flow.world.issuer)
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/citizen/sign-in?next=receipts&lang=vi"

    def test_what_is_no_number_of_a_receipt_is_not_found(self, holder: Holder) -> None:
        for odd in ("x", "%00", "..%2f", "0" * 36, f"{uuid4()}.exe"):
            assert holder.get(f"{RECEIPTS}/{odd}.pdf").status_code == 404, odd

    def test_a_withdrawal_leaves_a_second_receipt(self, holder: Holder) -> None:
        verbs = holder.flow.world.wiring.consents.verbs()
        verbs.withdraw(holder.actor, holder.consent().consent_id, holder.flow.world.clock())
        assert len(holder.ids()) == 2
        events = [verified(holder.flow, holder.receipt(".jws", place).text)[1]["event"] for place in (0, 1)]
        assert sorted(events) == ["partially_given", "withdrawn"]

    def test_however_many_there_are_each_can_be_reached(self, flow: Flow) -> None:
        holder = consenting(flow)
        consent = holder.consent()
        with flow.world.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO consent_receipts"
                    " SELECT gen_random_uuid(), consent_id, citizen_id, event_type, receipt, issued_at"
                    " FROM consent_receipts, generate_series(1, 119) WHERE consent_id = CAST(:one AS uuid)"
                ),
                {"one": consent.consent_id},
            )
        seen: list[str] = []
        counts: list[int] = []
        following = f"{RECEIPTS}?lang=en"
        while following:
            page = flow.signed_in(holder.citizen).get(following, base_url=flow.world.issuer)
            assert page.status_code == 200
            found = re.findall(r'<h2 id="receipt-[^"]+"', page.text)
            files = re.findall(rf"{RECEIPTS}/([0-9a-f-]{{36}})\.jws", page.text)
            assert len(files) == len(found)
            seen, counts = seen + files, [*counts, len(files)]
            nexts = re.findall(r'href="([^"]+)" rel="next"', page.text)
            following = nexts[0].replace("&amp;", "&") if nexts else ""
        assert counts == [50, 50, 20]
        assert len(set(seen)) == 120
        hostile = flow.signed_in(holder.citizen).get(f"{RECEIPTS}?before=x%27--", base_url=flow.world.issuer)
        assert hostile.text.count('<h2 id="receipt-') == 50, "what is no id is left out"

    def test_an_extension_tells_both_ends(self, flow: Flow) -> None:
        holder = consenting(flow)
        flow.world.clock.move(3600)
        verbs, consent = flow.world.wiring.consents.verbs(), holder.consent()
        at = flow.world.clock()
        assert consent.notice is not None
        signer = consent.signers[0].__class__(
            role="data_subject", citizen_id=consent.citizen_id, level=2, authenticated_at=at, signed_at=at
        )
        verbs.extend(signer, consent.consent_id, consent.notice, at)
        receipts = flow.world.wiring.consents.consents.find_receipts(consent.citizen_id)
        assert [one.event_type for one in receipts] == ["extended", "partially_given"]
        _, payload = verified(flow, receipts[0].receipt)
        assert list(payload["difference"]) == ["valid_to"]


class TestTheCheck:
    def test_anybody_may_open_the_page(self, flow: Flow) -> None:
        page = flow.browser().get(CHECK, base_url=flow.world.issuer)
        assert page.status_code == 200
        assert "Set-Cookie" not in page.headers
        assert WORDS["receipt_rights_told"][0] in page.text
        assert "<script" not in page.text
        english = flow.browser().get(CHECK, base_url=flow.world.issuer, query_string={"lang": "en"})
        assert WORDS["receipt_check_why"][1] in english.text

    def test_a_pasted_receipt_is_genuine_and_says_what_is_signed(self, holder: Holder) -> None:
        receipt = holder.receipt(".jws").text
        page = check(holder.flow, receipt)
        assert is_genuine(page)
        assert "Set-Cookie" not in page.headers
        assert WORDS["receipt_state_active"][0] in page.text
        assert "Tiền lương làm căn cứ đóng" in page.text
        assert verified(holder.flow, receipt)[1]["record_hash"] in page.text
        assert WORDS["receipt_state_active"][1] in check(holder.flow, receipt, language="en").text

    def test_lines_broken_by_a_mail_program_do_not_matter(self, holder: Holder) -> None:
        receipt = holder.receipt(".jws").text
        broken = "\r\n ".join(receipt[start : start + 76] for start in range(0, len(receipt), 76))
        assert is_genuine(check(holder.flow, broken))

    @pytest.mark.parametrize("ending", [".jws", ".pdf"])
    def test_a_file_is_as_good(self, holder: Holder, ending: str) -> None:
        assert is_genuine(check(holder.flow, file=holder.receipt(ending).data))

    def test_the_live_state_is_told_to_the_holder(self, holder: Holder) -> None:
        """A receipt of giving stays genuine; that the consent was paused and withdrawn is told beside it."""
        receipt, consent_id = holder.receipt(".jws").text, holder.consent().consent_id
        verbs, clock = holder.flow.world.wiring.consents.verbs(), holder.flow.world.clock
        verbs.pause(holder.actor, consent_id, clock())
        paused = check(holder.flow, receipt)
        assert is_genuine(paused)
        assert f"{WORDS['receipt_state_paused'][0]}.</strong>" in paused.text
        verbs.withdraw(holder.actor, consent_id, clock())
        withdrawn = check(holder.flow, receipt)
        assert is_genuine(withdrawn)
        assert f"{WORDS['receipt_state_withdrawn'][0]}.</strong>" in withdrawn.text
        assert "Bạn đã đồng ý một phần" in withdrawn.text

    def test_what_time_has_ended_is_told_although_nobody_wrote_it_down(self, holder: Holder) -> None:
        receipt = holder.receipt(".jws").text
        holder.flow.world.clock.move(31 * 86_400)
        assert f"{WORDS['receipt_state_expired'][0]}.</strong>" in check(holder.flow, receipt).text

    def test_no_byte_of_a_receipt_can_be_changed(self, holder: Holder) -> None:
        receipt = holder.receipt(".jws").text
        places = [*range(0, len(receipt), 997), receipt.index(".") - 1, len(receipt) - 2, len(receipt) - 1]
        for place in places:
            if receipt[place] != ".":
                other = "A" if receipt[place] != "A" else "B"
                changed = receipt[:place] + other + receipt[place + 1 :]
                assert not is_genuine(check(holder.flow, changed)), place

    def test_the_second_way_to_write_a_signature_is_not_the_receipt(self, holder: Holder) -> None:
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        signed, _, signature = holder.receipt(".jws").text.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        twin = f"{signed}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}"
        verified(holder.flow, twin)
        assert not is_genuine(check(holder.flow, twin))

    def test_what_another_key_of_ours_has_signed_is_no_receipt(self, holder: Holder) -> None:
        _, payload = verified(holder.flow, holder.receipt(".jws").text)
        ring = holder.flow.world.ring
        for forged in (ring.sign_receipt(payload), ring.sign_access_token(payload)):
            assert not is_genuine(check(holder.flow, forged))

    def test_what_another_issuer_says_is_no_receipt(self, holder: Holder) -> None:
        _, payload = verified(holder.flow, holder.receipt(".jws").text)
        forged = holder.flow.world.ring.sign_consent_receipt({**payload, "issuer": "https://other.example"})
        assert not is_genuine(check(holder.flow, forged))

    def test_a_receipt_whose_consent_is_kept_no_more_is_genuine_still(self, holder: Holder) -> None:
        _, payload = verified(holder.flow, holder.receipt(".jws").text)
        gone = {**payload, "receipt_id": str(uuid4()), "consent_id": str(uuid4())}
        page = check(holder.flow, holder.flow.world.ring.sign_consent_receipt(gone))
        assert is_genuine(page)
        assert WORDS["receipt_state_unknown"][0] in page.text

    def test_a_signed_text_that_cannot_be_shown_is_not_called_genuine(self, holder: Holder) -> None:
        _, payload = verified(holder.flow, holder.receipt(".jws").text)
        odd = {**payload, "receipt_id": str(uuid4()), "receipt_27560": {}}
        assert not is_genuine(check(holder.flow, holder.flow.world.ring.sign_consent_receipt(odd)))

    @pytest.mark.parametrize(
        "content",
        [
            "eyJ.eyJ.x",
            "a.b.c",
            "eyJhbGciOiJub25lIiwidHlwIjoiY29uc2VudC1yZWNlaXB0K2p3dCJ9.eyJhIjoxfQ.AAAA",
            "eyJhbGciOiJFUzI1NiIsInR5cCI6ImNvbnNlbnQtcmVjZWlwdCtqd3QiLCJraWQiOjF9.eyJhIjoxfQ.AAAA",
            "eyJ" * 60_000,
            "eyJ." * 40_000,
            "<script>alert(1)</script>",
            "\ud7ff\u0000",
        ],
    )
    def test_anything_else_is_not_genuine_and_is_not_repeated(self, flow: Flow, content: str) -> None:
        page = check(flow, content)
        assert not is_genuine(page)
        assert "alert(1)" not in page.text

    def test_nothing_is_no_receipt(self, flow: Flow) -> None:
        page = check(flow)
        assert page.status_code == 422
        assert page.text.count(WORDS["receipt_check_nothing"][0]) == 2
        assert 'aria-invalid="true"' in page.text

    def test_the_store_is_asked_by_holders_of_a_genuine_receipt_only(
        self, holder: Holder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever has none learns nothing and costs nothing."""
        receipt, asked = holder.receipt(".jws").text, []
        store = type(holder.flow.world.wiring.consents.consents)

        def noting(name: str) -> Any:
            inner = getattr(store, name)

            def asking(self: Any, wanted: str) -> Any:
                asked.append(name)
                return inner(self, wanted)

            return asking

        for name in ("find_receipt", "find_one"):
            monkeypatch.setattr(store, name, noting(name))
        assert not is_genuine(check(holder.flow, receipt[:-5] + "AAAAA"))
        assert asked == []
        assert is_genuine(check(holder.flow, receipt))
        assert asked == ["find_receipt", "find_one"]

    def test_no_page_of_another_site_can_put_it_in_a_frame(self, flow: Flow) -> None:
        page = flow.browser().get(CHECK, base_url=flow.world.issuer)
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_the_validators_of_the_forms_are_those_of_the_schemas() -> None:
    assert isinstance(DPV_RECEIPT, Draft202012Validator)
    assert not DPV_RECEIPT.is_valid({})
    assert not KANTARA_RECEIPT.is_valid({})
