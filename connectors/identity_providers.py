"""Which providers of electronic identities citizens may sign in with: one entry of a TOML file for each.

Nothing is guessed: an unknown key, a file that others may read, an algorithm that proves nothing ends the
start with the place and the remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.errors import SettingsInvalid

ALGORITHMS: Final = frozenset({"ES256", "ES384", "PS256", "PS384", "RS256", "RS384", "EdDSA"})
LOOPBACK: Final = frozenset({"localhost"})
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_NAME: Final = re.compile(r"[!#-\[\]-~]{1,200}")
# No user information, no query, no fragment; the last label of a host is never a number.
_URL: Final = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?P<host>([a-z0-9-]+\.)*[a-z][a-z0-9-]*)(:[0-9]{1,5})?)(/[!-\"$->@-~]*)?"
)
_SCOPES: Final = ("openid",)
_USUAL_ALGORITHMS: Final = ("ES256", "PS256", "RS256")
_SECRET_CHARACTERS_MIN: Final = 16
_KINDS: Final[Mapping[type, str]] = {
    str: "a string",
    list: "a list of strings",
    dict: "a table",
    bool: "true or false",
}
_REQUIRED: Final[Mapping[str, type]] = {
    "issuer": str,
    "client_id": str,
    "label_vi": str,
    "label_en": str,
    "acr_levels": dict,
}
_OPTIONAL: Final[Mapping[str, type]] = {
    "private_key_file": str,
    "key_id": str,
    "key_algorithm": str,
    "assertion_audience": str,
    "client_secret_file": str,
    "scopes": list,
    "algorithms": list,
    "personal_id_claim": str,
    "personal_id_from": str,
    "form_origins": list,
    "ca_file": str,
    "private_host": bool,
    "plain_loopback": bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """One provider. key: its name in our addresses. acr_levels: acr → 1 or 2; "" stands for none at all.

    private_key, client_secret: one of the two. assertion_audience: issuer or token_endpoint.
    personal_id_from: id_token or userinfo. form_origins: where browsers go on the way to its pages.
    authorities: PEM, "" for the system's.
    """

    key: str
    issuer: str
    client_id: str
    labels: tuple[str, str]
    acr_levels: Mapping[str, int]
    private_key: ECKey | OKPKey | RSAKey | None = field(repr=False)
    key_id: str
    key_algorithm: str
    assertion_audience: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    algorithms: tuple[str, ...]
    personal_id_claim: str
    personal_id_from: str
    form_origins: tuple[str, ...]
    authorities: str = field(repr=False)
    private_host: bool
    plain_loopback: bool

    @property
    def host(self) -> str:
        """The issuer's host, in lower case."""
        return urlsplit(self.issuer).hostname or ""


def load_providers(path: str, *, on_loopback: bool) -> dict[str, ProviderEntry]:
    """Return the entries of a file by key, in its order; none for "".

    on_loopback: whether this broker itself is a demonstration on the loopback; nowhere else may an entry say
    plain_loopback. Raises SettingsInvalid.
    """
    if not path:
        return {}
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise SettingsInvalid("the file of identity providers cannot be read as TOML") from None
    tables = document.pop("providers", {})
    if document or not isinstance(tables, dict):
        raise SettingsInvalid("the file of identity providers holds tables [providers.NAME] and nothing else")
    directory = Path(path).parent
    return {key: _entry(key, table, directory, on_loopback=on_loopback) for key, table in tables.items()}


def _entry(key: str, table: Any, directory: Path, *, on_loopback: bool) -> ProviderEntry:
    _check_shape(key, table)
    _check_values(key, table, on_loopback=on_loopback)
    private_key, secret = None, ""
    if "private_key_file" in table:
        private_key = _private_key(key, directory / table["private_key_file"])
    else:
        secret = _secret(key, directory / table["client_secret_file"]).strip()
    algorithm = table.get("key_algorithm", "" if private_key is None else _usual(private_key))
    if private_key is not None and algorithm not in ALGORITHMS:
        raise _fault(key, "key_algorithm must be one that fits the key")
    return ProviderEntry(
        key=key,
        issuer=table["issuer"],
        client_id=table["client_id"],
        labels=(table["label_vi"], table["label_en"]),
        acr_levels=dict(table["acr_levels"]),
        private_key=private_key,
        key_id=table.get("key_id", ""),
        key_algorithm=algorithm,
        assertion_audience=table.get("assertion_audience", "issuer"),
        client_secret=secret,
        scopes=tuple(table.get("scopes", _SCOPES)),
        algorithms=tuple(table.get("algorithms", _USUAL_ALGORITHMS)),
        personal_id_claim=table.get("personal_id_claim", ""),
        personal_id_from=table.get("personal_id_from", "id_token"),
        form_origins=tuple(table.get("form_origins", [origin_of(table["issuer"])])),
        authorities=_text(key, directory / table["ca_file"]) if "ca_file" in table else "",
        private_host=table.get("private_host", False),
        plain_loopback=table.get("plain_loopback", False),
    )


def _check_shape(key: str, table: Any) -> None:
    """Check names and kinds. Raises SettingsInvalid."""
    if not _KEY.fullmatch(key) or not isinstance(table, dict):
        raise _fault(key, "it must be a table, named by at most 31 lower-case letters, digits and hyphens")
    if unknown := sorted(set(table) - set(_REQUIRED) - set(_OPTIONAL)):
        raise _fault(key, f"unknown: {', '.join(unknown)}")
    if missing := sorted(set(_REQUIRED) - set(table)):
        raise _fault(key, f"missing: {', '.join(missing)}")
    for name, kind in {**_REQUIRED, **_OPTIONAL}.items():
        if type(table.get(name, kind())) is not kind:
            raise _fault(key, f"{name} must be {_KINDS[kind]}")
        if kind is list and any(type(one) is not str for one in table.get(name, [])):
            raise _fault(key, f"{name} must be {_KINDS[kind]}")


def _check_values(key: str, table: Mapping[str, Any], *, on_loopback: bool) -> None:
    """Check what the entry says. Raises SettingsInvalid."""
    is_plain = table.get("plain_loopback", False)
    levels = list(table["acr_levels"].values())
    algorithms: Sequence[str] = table.get("algorithms", _USUAL_ALGORITHMS)
    scopes: Sequence[str] = table.get("scopes", _SCOPES)
    origins: Sequence[str] = table.get("form_origins", [origin_of(table["issuer"])])
    remedies = {
        "plain_loopback is for a broker that is on the loopback itself": on_loopback or not is_plain,
        "issuer must be an https URL of a named host": _is_issuer(table["issuer"], is_plain=is_plain),
        "client_id must be 1 to 200 printable characters": _NAME.fullmatch(table["client_id"]),
        "it needs both labels": table["label_vi"].strip() and table["label_en"].strip(),
        "acr_levels must say 1 or 2 for at least one acr": levels
        and all(type(level) is int and level in (1, 2) for level in levels),
        f"algorithms must be of {', '.join(sorted(ALGORITHMS))}": algorithms
        and set(algorithms) <= ALGORITHMS,
        "scopes must hold openid": "openid" in scopes and all(_NAME.fullmatch(scope) for scope in scopes),
        "personal_id_from must be id_token or userinfo": table.get("personal_id_from", "id_token")
        in ("id_token", "userinfo"),
        "assertion_audience must be issuer or token_endpoint": table.get("assertion_audience", "issuer")
        in ("issuer", "token_endpoint"),
        "form_origins must be origins such as https://login.example": all(
            origin_of(one) == one and _is_issuer(one, is_plain=is_plain) for one in origins
        ),
        "it needs private_key_file or client_secret_file, and not both": ("private_key_file" in table)
        != ("client_secret_file" in table),
    }
    for remedy, is_right in remedies.items():
        if not is_right:
            raise _fault(key, remedy)


def _fault(key: str, remedy: str) -> SettingsInvalid:
    return SettingsInvalid(f"identity provider {key}: {remedy}")


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, "" for what is none."""
    match = _URL.fullmatch(url)
    return match["origin"] if match else ""


def _is_issuer(text: str, *, is_plain: bool) -> bool:
    """Return whether a text can be an issuer (OpenID Connect Discovery, 3)."""
    match = _URL.fullmatch(text)
    if match is None:
        return False
    return match["scheme"] == "https" or (is_plain and match["host"] in LOOPBACK)


def _text(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise _fault(key, f"{path.name} cannot be read") from None


def _secret(key: str, path: Path) -> str:
    """Return what a file holds that only its owner can read, and that is long enough for a secret."""
    text = _text(key, path)
    if path.stat().st_mode & 0o077:
        raise _fault(key, f"{path.name} must be readable by nobody else (chmod 600)")
    if len(text.strip()) < _SECRET_CHARACTERS_MIN:
        raise _fault(key, f"{path.name} must hold at least {_SECRET_CHARACTERS_MIN} characters")
    return text


def _private_key(key: str, path: Path) -> ECKey | OKPKey | RSAKey:
    text = _secret(key, path)
    for kind in (ECKey, RSAKey, OKPKey):
        try:
            found = kind.import_key(text)
        except (JoseError, ValueError):
            continue
        if found.is_private:
            return found
    raise _fault(key, f"{path.name} must hold a private key in PEM: EC, RSA or Ed25519")


def _usual(key: ECKey | OKPKey | RSAKey) -> str:
    """Return the algorithm that a key usually signs with."""
    if isinstance(key, ECKey):
        return {"P-256": "ES256", "P-384": "ES384"}.get(key.curve_name, "")
    return "PS256" if isinstance(key, RSAKey) else "EdDSA"
