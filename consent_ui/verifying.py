"""The check of evidence that runs in a browser: one script, and one page to keep that has it inside.

Both are made of the files in static/verify, once, when the broker starts: there is one source of truth, and
the same release makes the same page, to the byte.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from consent_ui.pages import STYLE, rendered
from consent_ui.words import LANGUAGES, WORDS, Words

PARTS: Final = (
    "bytes.js",
    "json.js",
    "forms.js",
    "fitting.js",
    "entries.js",
    "notes.js",
    "checks.js",
    "page.js",
)
"""The files of the script, in the order in which they stand behind one another."""
PROGRAM: Final = "broker evidence verify"
KEY_OPTION: Final = "--vkey"
"""What somebody types who checks a file elsewhere: it is said in no language."""
OFFLINE_NAME: Final = "kiem-chung-verify.html"
_SENTENCES: Final = "verify_js_"
_LETTERS: Final = re.compile(r"@font-face \{[^}]*\}\n")


def _script() -> bytes:
    directory = files("consent_ui").joinpath("static/verify")
    return b"\n".join(directory.joinpath(name).read_bytes() for name in PARTS)


def sentences(language: str) -> str:
    """Return what the script says, by key, in one language, as JSON."""
    at = LANGUAGES.index(language)
    told = {
        key.removeprefix(_SENTENCES): said[at] for key, said in WORDS.items() if key.startswith(_SENTENCES)
    }
    return json.dumps(told, ensure_ascii=False, sort_keys=True)


def offline_page(script: bytes) -> bytes:
    """Return the page that needs no server: script and style inside, both languages.

    Its own policy lets it run these two and nothing else, and ask nobody for anything. Letters are the
    device's own: none are fetched.
    """
    style = _LETTERS.sub("", STYLE.decode())
    policy = {
        "default-src": "'none'",
        "script-src": _allowed(script),
        "style-src": _allowed(style.encode()),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    html = rendered(
        "verify_offline.html",
        both=[Words(language) for language in LANGUAGES],
        sentences={language: sentences(language) for language in LANGUAGES},
        program=PROGRAM,
        option=KEY_OPTION,
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=_inside(style, "</style"),
        script=_inside(script.decode(), "</script"),
    )
    return html.encode()


def _allowed(content: bytes) -> str:
    """Return how a policy names what may stand inside a page (CSP 3, 2.3.1)."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode() + "'"


def _inside(content: str, end: str) -> str:
    """Return text of our own files to stand in a page as it is. Raises ValueError if it would end early."""
    if end in content.lower() or "<!--" in content:
        raise ValueError("a file of ours cannot stand inside a page")
    return content


SCRIPT: Final = _script()
SCRIPT_VERSION: Final = hashlib.sha256(SCRIPT).hexdigest()[:12]
OFFLINE: Final = offline_page(SCRIPT)
OFFLINE_HASH: Final = hashlib.sha256(OFFLINE).hexdigest()
SENTENCES: Final[Mapping[str, str]] = {language: sentences(language) for language in LANGUAGES}
