"""Nobody's look is hidden unless the list names the body, the basis and an article that somebody has read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.app import load_policies
from broker.errors import SettingsInvalid
from broker.settings import Secret, Settings
from policies.agreement import read_agreement
from policies.compare import compare_agreements, compare_policies
from policies.hidden import EXTENDED_DAYS_MAXIMUM, FILE, read_hidden_reads
from policies.load import SHIPPED, load_directory, load_registers, read_registers, register_texts
from policies.model import PolicyError
from policies.registers import HiddenRecipient
from tests.hidden_world import DAYS, POLICE, POLICE_CHECK, WHITELIST, police_agreement, write_hiding_policies

CATALOGUE, REGISTERS = load_registers()


def read_list(text: str) -> dict[str, HiddenRecipient]:
    return read_hidden_reads(
        text, FILE, REGISTERS.recipient_kinds, REGISTERS.legal_bases, REGISTERS.instruments
    )


LISTED = replace(REGISTERS, hidden_reads=read_list(WHITELIST))


def refusal(text: str, registers: object = LISTED) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read_agreement(text, "x.toml", CATALOGUE, registers)  # type: ignore[arg-type]
    return caught.value


def test_what_ships_hides_nothing_of_anybody() -> None:
    bundle = load_directory(SHIPPED)
    assert bundle.registers.hidden_reads == {}
    assert {one.hidden_days for one in bundle.agreements} == {0}


def test_a_listed_body_may_have_its_looks_hidden() -> None:
    agreement = read_agreement(police_agreement(), "x.toml", CATALOGUE, LISTED)
    assert (agreement.hidden_days, agreement.recipients) == (DAYS, frozenset({POLICE}))


def test_of_anybody_else_an_agreement_that_hides_looks_is_refused() -> None:
    fault = refusal(police_agreement(), REGISTERS)
    assert fault.key == "hidden_reads"
    assert f'hides looks of "{POLICE}", which hidden_reads.toml does not name' in fault.remedy
    both = police_agreement(recipients=f'organisations = ["{POLICE}", "somebody-else"]')
    assert 'hides looks of "somebody-else"' in refusal(both).remedy


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        (
            {"recipients": 'accession_framework = "Whoever signs."'},
            "hidden_reads",
            "nobody has that by accession",
        ),
        ({"basis": 'code = "L19_1_c"'}, "hidden_reads", "as state_agency on the basis L19_1_b only"),
        ({"kind": 'kind = "ministry"'}, "hidden_reads", "as state_agency on the basis L19_1_b only"),
        ({"hidden": "[hidden_reads]\ndays = 61\n"}, "hidden_reads.days", "for at most 60 days"),
        ({"hidden": "[hidden_reads]\ndays = 0\n"}, "hidden_reads.days", "from 1 to 366"),
        ({"hidden": "[hidden_reads]\n"}, "hidden_reads.days", "is missing"),
        (
            {"hidden": "[hidden_reads]\ndays = 5\nfor_ever = true\n"},
            "hidden_reads.for_ever",
            "is not a known key here",
        ),
    ],
)
def test_an_agreement_that_hides_more_than_the_list_allows_is_refused(
    changes: dict[str, str], key: str, remedy: str
) -> None:
    fault = refusal(police_agreement(**changes))
    assert fault.key == key
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    ("old", "new", "key", "remedy"),
    [
        ('certainty = "S"', 'certainty = "U"', "certainty", '"U" is not known'),
        ('legal_basis = "L19_1_b"', 'legal_basis = "CONSENT"', "legal_basis", '"CONSENT" is not known'),
        ('kind = "state_agency"', 'kind = "bank"', "kind", '"bank" is not known'),
        ('instrument = "law_91_2025"', 'instrument = "some_law"', "instrument", '"some_law" is not known'),
        ("days_maximum = 60", "days_maximum = 367", "days_maximum", "from 1 to 366"),
        (
            "extended_days_maximum = 90",
            "extended_days_maximum = 59",
            "extended_days_maximum",
            f"from 60 to {EXTENDED_DAYS_MAXIMUM}",
        ),
        ('article = "made up for tests"\n', "", "article", "is missing"),
        ('why = "Made up for tests."\n', 'why = "x"\nsecret = true\n', "secret", "is not a known key here"),
    ],
)
def test_the_list_itself_takes_nothing_unverified(old: str, new: str, key: str, remedy: str) -> None:
    start = WHITELIST.index(old)
    with pytest.raises(PolicyError) as caught:
        read_list(WHITELIST[:start] + new + WHITELIST[start + len(old) :])
    assert caught.value.key == f"recipients.{POLICE}.{key}"
    assert remedy in caught.value.remedy


def test_a_basis_that_is_itself_unverified_hides_nothing() -> None:
    bases = dict(REGISTERS.legal_bases)
    bases["L19_1_b"] = replace(bases["L19_1_b"], certainty="U")
    with pytest.raises(PolicyError, match='"L19_1_b" is not known'):
        read_hidden_reads(WHITELIST, FILE, REGISTERS.recipient_kinds, bases, REGISTERS.instruments)


def test_the_broker_does_not_start_with_an_agreement_that_may_not_hide_looks(tmp_path: Path) -> None:
    directory = write_hiding_policies(tmp_path)
    settings = Settings(
        issuer="https://broker.example",
        database_url="postgresql://broker_app@/broker?host=/nowhere",
        source_url="postgresql://reader@/insurance?host=/nowhere",
        key_encryption_key_file=Secret(b"a" * 32),
        pseudonym_key_file=Secret(b"b" * 32),
        policy_directory=str(directory),
    )
    assert load_policies(settings).tables[POLICE_CHECK].agreement.hidden_days == DAYS
    (directory / "hidden_reads.toml").unlink()
    with pytest.raises(SettingsInvalid, match=f'hides looks of "{POLICE}"'):
        load_policies(settings)


def test_registers_that_were_kept_before_the_list_was_are_still_read() -> None:
    texts = register_texts()
    del texts[FILE]
    _, registers = read_registers(texts)
    assert registers.hidden_reads == {}


def test_hiding_widens_and_so_does_every_name_on_the_list(tmp_path: Path) -> None:
    plain = read_agreement(police_agreement(hidden=""), "x.toml", CATALOGUE, LISTED)
    hiding = read_agreement(police_agreement(), "x.toml", CATALOGUE, LISTED)

    def told(before: object, after: object) -> list[tuple[str, str, str, str]]:
        found = compare_agreements(before, after)  # type: ignore[arg-type]
        return [(one.direction, one.where, one.before, one.after) for one in found if "hidden" in one.where]

    assert told(plain, hiding) == [("widens", "hidden_days", "0", str(DAYS))]
    assert told(hiding, plain) == [("narrows", "hidden_days", str(DAYS), "0")]
    shipped, listed = load_directory(SHIPPED), load_directory(write_hiding_policies(tmp_path))
    widened = [one for one in compare_policies(shipped, listed) if one.agreement == "hidden_reads"]
    assert [(one.direction, one.where) for one in widened] == [("widens", POLICE)]
    longer = replace(LISTED.hidden_reads[POLICE], days_maximum=61)
    further = replace(listed, registers=replace(listed.registers, hidden_reads={POLICE: longer}))
    found = [one for one in compare_policies(listed, further) if one.agreement == "hidden_reads"]
    assert [(one.direction, one.where, one.before, one.after) for one in found] == [
        ("widens", f"{POLICE}.days_maximum", "60", "61")
    ]
