"""When two spellings are one name: laws over generated Vietnamese names."""

from __future__ import annotations

import unicodedata

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from broker.actions.person_match import NameMatch, match_names
from policies.names import name_key, name_syllables

VOWELS = "aăâeêioôơuưy"
TONES = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]
STARTS = [
    "",
    "b",
    "c",
    "ch",
    "d",
    "đ",
    "g",
    "gh",
    "h",
    "kh",
    "l",
    "m",
    "n",
    "ng",
    "nguy",
    "ph",
    "qu",
    "th",
    "tr",
    "x",
]
ENDS = ["", "c", "ch", "i", "m", "n", "ng", "nh", "o", "p", "t", "u", "y"]


@st.composite
def syllables(draw: st.DrawFn) -> str:
    """A syllable in NFC: start, one or two vowels, end, and a tone on one of the vowels."""
    vowels = draw(st.text(VOWELS, min_size=1, max_size=2))
    at = draw(st.integers(0, len(vowels) - 1))
    toned = vowels[: at + 1] + draw(st.sampled_from(TONES)) + vowels[at + 1 :]
    spelt = draw(st.sampled_from(STARTS)) + toned + draw(st.sampled_from(ENDS))
    return unicodedata.normalize("NFC", spelt)


names = st.lists(syllables(), min_size=1, max_size=5).map(" ".join)


def spellings(name: str) -> list[str]:
    """Return the same name as different systems write it."""
    decomposed = unicodedata.normalize("NFD", name)
    return [
        name.upper(),
        name.title(),
        decomposed,
        decomposed.upper(),
        f"  {name} ".replace(" ", " \t "),
        name.replace(" ", "\u00a0"),
    ]


@settings(max_examples=300)
@given(names)
@example("hoà thuý")
@example("quỳnh nguyễn")
def test_case_blanks_and_normal_form_do_not_matter(name: str) -> None:
    for other in spellings(name):
        assert name_key(other) == name_key(name)
        assert match_names(other, name) is NameMatch.EQUAL


@given(names, st.data())
def test_the_tone_may_stand_on_either_vowel(name: str, data: st.DataObject) -> None:
    moved = []
    for word in name.split():
        letters = [one for one in unicodedata.normalize("NFD", word) if one not in TONES]
        tone = "".join(one for one in unicodedata.normalize("NFD", word) if one in TONES)
        vowels = [
            at + 1 for at, one in enumerate(unicodedata.normalize("NFC", "".join(letters))) if one in VOWELS
        ]
        composed = unicodedata.normalize("NFC", "".join(letters))
        at = data.draw(st.sampled_from(vowels))
        moved.append(unicodedata.normalize("NFC", composed[:at] + tone + composed[at:]))
    assert name_key(" ".join(moved)) == name_key(name)


@settings(max_examples=300)
@given(names, names)
def test_equal_keys_are_equal_syllables_and_nothing_else(one: str, other: str) -> None:
    assert (name_key(one) == name_key(other)) == (name_syllables(one) == name_syllables(other))
    assert (match_names(one, other) is NameMatch.EQUAL) == (name_key(one) == name_key(other))


@given(names, names)
def test_matching_works_both_ways(one: str, other: str) -> None:
    assert match_names(one, other) is match_names(other, one)


@given(names, st.data())
def test_another_tone_letter_or_length_is_another_name(name: str, data: st.DataObject) -> None:
    words = name.split()
    at = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(syllables())
    assume(name_syllables(other) != name_syllables(words[at]))
    changed = " ".join([*words[:at], other, *words[at + 1 :]])
    assert match_names(changed, name) in {NameMatch.INITIALS, NameMatch.DIFFERENT}
    assert match_names(f"{name} {other}", name) is NameMatch.DIFFERENT
    assert name_key(f"{name} {other}") != name_key(name)


@given(names)
def test_marks_that_are_no_tones_are_never_dropped(name: str) -> None:
    plain = "".join(
        letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter)
    )
    marks = [
        one for one in unicodedata.normalize("NFD", name) if unicodedata.combining(one) and one not in TONES
    ]
    if marks:
        assert match_names(plain, name) is not NameMatch.EQUAL


@given(st.text(max_size=30))
def test_any_text_has_a_key_that_is_its_own(text: str) -> None:
    assume(all(unicodedata.category(one) != "Cs" for one in text))
    assert name_key(name_key(text)) == name_key(text)
    assert match_names(text, text) is (NameMatch.EQUAL if text.strip() else NameMatch.DIFFERENT)
