"""What agreements say of tables: read with defaults, refused where no noise has it, compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.app import load_policies
from broker.cli import main
from broker.errors import SettingsInvalid
from broker.setting_readers import Secret
from broker.settings import Settings
from broker.statistics.agreed import asked_parameters, check_agreements, parameters_of, terms_of
from broker.statistics.disclosure import DisclosureParameters
from policies.compare import compare_agreements
from policies.load import SHIPPED, load_agreement, load_directory
from policies.model import Agreement, PolicyError
from policies.statistics_terms import EXPORT_FORMATS, DisclosureTerms, ExportLimits

NAME = "ministry_of_health_statistics"
TEXT = (SHIPPED / f"agreements/{NAME}.toml").read_text(encoding="utf-8")
BARE = TEXT[: TEXT.index("[disclosure_control]")] + TEXT[TEXT.index("[[release]]") :]
BANK = (SHIPPED / "agreements/bank_income_proof.toml").read_text(encoding="utf-8")


def read(tables: str = "", text: str = BARE) -> Agreement:
    return load_agreement(text.replace("[[release]]", f"{tables}\n[[release]]", 1), "x.toml")


def test_without_tables_the_usual_protection_holds_and_the_release_says_how_much_may_be_asked() -> None:
    found = read()
    assert found.disclosure_control == DisclosureTerms()
    assert found.export_limits == ExportLimits()
    assert found.export_limits.formats == EXPORT_FORMATS
    assert parameters_of(found.disclosure_control) == DisclosureParameters()
    assert terms_of(DisclosureParameters()) == found.disclosure_control


def test_every_key_is_read() -> None:
    found = read(
        "[disclosure_control]\nbound = 9\nvariance = 12.5\nbarred = 4\nsum_bound = 8\nsum_variance = 3\n"
        "share_small = 0.5\nshare_large = 0.25\nthreshold = 20\ndominance_percent = 30\ndigits = 3\n"
        "audit_persons = 5\naudit_percent = 25\n"
        "[export_limits]\ndimensions = 2\nfilters = 0\nmeasures = 1\ncells = 900\n"
        'formats = ["xlsx", "csv"]\n[export_limits.levels]\nprovince = ["region"]\n'
    )
    assert found.disclosure_control == DisclosureTerms(
        bound=9,
        variance=12.5,
        barred=4,
        sum_bound=8,
        sum_variance=3.0,
        share_small=0.5,
        share_large=0.25,
        threshold=20,
        dominance_percent=30,
        digits=3,
        audit_persons=5,
        audit_percent=25,
    )
    assert found.export_limits == ExportLimits(
        dimensions=2,
        filters=0,
        measures=1,
        cells=900,
        formats=("csv", "xlsx"),
        levels=(("province", ("region",)),),
    )
    asked = parameters_of(found.disclosure_control)
    assert (asked.counts.bound, asked.counts.variance, asked.counts.barred) == (9, 12.5, 4)
    assert (asked.sums.bound, asked.sums.variance, asked.sums.icat) == (8, 3.0, (1, 4, 8))
    assert (asked.audit.persons, asked.audit.percent, asked.digits) == (5, 25, 3)


@pytest.mark.parametrize(
    ("tables", "key", "remedy"),
    [
        ("[disclosure_control]\nV = 3", "disclosure_control.V", "is not a known key here"),
        ("[disclosure_control]\nvariance = true", "disclosure_control.variance", "must be a number above 0"),
        ("[disclosure_control]\nvariance = nan", "disclosure_control.variance", "must be a number above 0"),
        ("[disclosure_control]\nthreshold = 2", "disclosure_control.threshold", "from 3 to 1000"),
        ("[export_limits]\ncells = 0", "export_limits.cells", "from 1 to"),
        ('[export_limits]\nformats = ["pdf"]', "export_limits.formats", '"pdf" is not known'),
        ("[export_limits]\nformats = []", "export_limits.formats", "must name at least 1"),
        ("[export_limits]\ntables = 9", "export_limits.tables", "is not a known key here"),
        ("[export_limits.levels]\nsex = []", "export_limits.levels.sex", "must name at least 1"),
    ],
)
def test_what_is_not_understood_is_refused(tables: str, key: str, remedy: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(tables)
    assert (caught.value.file, caught.value.key) == ("x.toml", key)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("table", ["disclosure_control", "export_limits"])
def test_an_agreement_about_persons_has_neither(table: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(f"[{table}]", BANK)
    assert (caught.value.key, "nobody_individually" in caught.value.remedy) == (table, True)


INFEASIBLE = [
    ("variance = 2", "variance", "V must be larger than 2 for js = 2"),
    ("variance = 26", "variance", "not larger than D squared"),
    ("barred = 5", "barred", "D must be larger than js"),
    ("sum_bound = 1", "sum_variance", "not larger than D squared"),
    ("share_large = 0.05", "share_large", "shares lie between 0.1 and 1"),
    ("share_small = 0.1\nshare_large = 0.2", "share_small", "fall with the sum"),
]


@pytest.mark.parametrize(("line", "key", "reason"), INFEASIBLE)
def test_parameters_that_no_noise_has_are_refused_by_file_key_and_line(
    line: str, key: str, reason: str
) -> None:
    agreement = read(f"[disclosure_control]\n{line}")
    with pytest.raises(PolicyError) as caught:
        check_agreements([agreement])
    told = caught.value
    assert (told.file, told.key) == ("x.toml", f"disclosure_control.{key}")
    assert reason in told.remedy
    pointed = agreement.text.splitlines()[told.line - 1]
    assert pointed.startswith(key) or pointed == "[disclosure_control]"


@pytest.fixture
def infeasible(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED / "agreements", tmp_path / "agreements")
    path = tmp_path / f"agreements/{NAME}.toml"
    assert TEXT.count("variance = 3") == 1
    path.write_text(TEXT.replace("variance = 3", "variance = 1"), encoding="utf-8")
    return tmp_path


def test_policy_check_refuses_them_with_the_reason(infeasible: Path) -> None:
    result = CliRunner().invoke(main, ["policy", "check", "--directory", str(infeasible)])
    assert result.exit_code == 2
    assert f"{NAME}.toml:" in result.stderr
    assert (
        "disclosure_control.variance: no table can be protected so: V must be larger than 2" in result.stderr
    )


def test_the_broker_does_not_start_with_them(infeasible: Path) -> None:
    settings = Settings(
        issuer="https://broker.example",
        database_url="postgresql://broker_app@/broker?host=/nowhere",
        source_url="postgresql://reader@/insurance?host=/nowhere",
        key_encryption_key_file=Secret(b"a" * 32),
        pseudonym_key_file=Secret(b"b" * 32),
        policy_directory=str(infeasible),
    )
    with pytest.raises(SettingsInvalid, match=r"disclosure_control\.variance: no table"):
        load_policies(settings)


def test_the_shipped_ministries_ask_for_the_usual_protection() -> None:
    asked = asked_parameters(load_directory().agreements)
    assert asked == (DisclosureParameters(), DisclosureParameters())


@pytest.mark.parametrize(
    ("before", "after", "where", "direction"),
    [
        ("[disclosure_control]\nvariance = 4", "", "disclosure_control.variance", "widens"),
        ("", "[disclosure_control]\nthreshold = 12", "disclosure_control.threshold", "narrows"),
        ("", "[disclosure_control]\ndigits = 5", "disclosure_control.digits", "widens"),
        ("", "[export_limits]\ncells = 5", "export_limits.cells", "narrows"),
        ("[export_limits]\ncells = 5", "", "export_limits.cells", "widens"),
        ("[export_limits]\ncells = 5", "[export_limits]\ncells = 6", "export_limits.cells", "widens"),
        ("[export_limits]\ncells = 5", "[export_limits]\ncells = 4", "export_limits.cells", "narrows"),
        ('[export_limits]\nformats = ["csv"]', "", "export_limits.formats", "widens"),
        ("", '[export_limits.levels]\nsex = ["sex"]', "export_limits.levels.sex", "narrows"),
        ('[export_limits.levels]\nsex = ["sex"]', "", "export_limits.levels.sex", "widens"),
        (
            '[export_limits.levels]\nage = ["age_group"]',
            '[export_limits.levels]\nage = ["age_band", "age_group"]',
            "export_limits.levels.age",
            "widens",
        ),
    ],
)
def test_compare_says_which_way_a_change_goes(before: str, after: str, where: str, direction: str) -> None:
    changes = compare_agreements(read(before), read(after))
    assert {(one.where, one.direction) for one in changes if one.where != "revision"} == {(where, direction)}


def test_spelling_out_what_holds_anyway_changes_nothing() -> None:
    changes = compare_agreements(read(), read("[disclosure_control]\nthreshold = 10\n[export_limits]"))
    assert [one for one in changes if one.where != "revision"] == []
