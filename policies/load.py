"""From a directory of policy files to all that the decision needs. The only module here that reads files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies.agreement import read_agreement
from policies.cases import Case, read_cases
from policies.catalogue import Catalogue, read_catalogue
from policies.hidden import FILE as HIDDEN_READS_FILE
from policies.hidden import read_hidden_reads
from policies.model import Agreement, PolicyError
from policies.registers import (
    Registers,
    read_legal_bases,
    read_prohibitions,
    read_purposes,
    read_recipient_kinds,
)
from policies.working_days import FILE as HOLIDAYS_FILE
from policies.working_days import Holidays, read_holidays

SHIPPED = Path(__file__).parent
"""The policy directory that comes with the broker."""

_LARGEST_FILE = 1_000_000


@dataclass(frozen=True, slots=True)
class Policies:
    """All that a policy directory says: agreements in the order of their ids, cases, catalogue, registers."""

    agreements: tuple[Agreement, ...]
    cases: tuple[Case, ...]
    catalogue: Catalogue
    registers: Registers

    def find_agreement(self, agreement_id: str) -> Agreement | None:
        """Return the agreement with this id, or None."""
        return next((agreement for agreement in self.agreements if agreement.id == agreement_id), None)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise PolicyError(path.name, "(file)", 0, f"is larger than {_LARGEST_FILE} bytes; no policy is")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PolicyError(path.name, "(file)", 0, "is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise PolicyError(path.name, "(file)", 0, f"cannot be read: {error.strerror}") from None


def _register_text(directory: Path, name: str) -> str:
    own = directory / name
    return _read(own if own.exists() else SHIPPED / name)


REGISTER_FILES: Final = (
    "fields.toml",
    "legal_bases.toml",
    "purposes.toml",
    "recipient_kinds.toml",
    "prohibitions.toml",
    HIDDEN_READS_FILE,
)
"""What every agreement is read with: the field catalogue and the registers."""


def register_texts(directory: Path = SHIPPED) -> dict[str, str]:
    """Return file → text of `REGISTER_FILES`; a file that the directory lacks comes from the shipped ones."""
    return {name: _register_text(directory, name) for name in REGISTER_FILES}


def read_registers(texts: Mapping[str, str]) -> tuple[Catalogue, Registers]:
    """Read the catalogue and the registers from their texts. texts: as `register_texts` returns them.

    Raises PolicyError for anything not understood, KeyError where a file is missing.
    """
    catalogue = read_catalogue(texts["fields.toml"], "fields.toml")
    bases, instruments = read_legal_bases(texts["legal_bases.toml"], "legal_bases.toml")
    purposes = read_purposes(texts["purposes.toml"], "purposes.toml")
    kinds = read_recipient_kinds(texts["recipient_kinds.toml"], "recipient_kinds.toml", bases)
    prohibitions = read_prohibitions(texts["prohibitions.toml"], "prohibitions.toml", kinds, catalogue)
    # Registers that were kept before this one was: then no agreement could hide anything.
    hidden_text = texts.get(HIDDEN_READS_FILE, "")
    hidden = read_hidden_reads(hidden_text, HIDDEN_READS_FILE, kinds, bases, instruments)
    return catalogue, Registers(bases, instruments, purposes, kinds, prohibitions, hidden)


def registers_hash(texts: Mapping[str, str]) -> str:
    """Return the SHA-256 (hex) of the register files, to the byte: the catalogue's order decides too."""
    content = json.dumps(sorted(texts.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def load_registers(directory: Path = SHIPPED) -> tuple[Catalogue, Registers]:
    """Read the catalogue and the registers of a directory. Raises PolicyError."""
    return read_registers(register_texts(directory))


def load_agreement(text: str, file: str, directory: Path = SHIPPED) -> Agreement:
    """Read one agreement from its text with the directory's registers. Raises PolicyError."""
    catalogue, registers = load_registers(directory)
    return read_agreement(text, file, catalogue, registers)


def load_path(path: Path | str) -> Policies:
    """Read a policy directory, or one agreement file with the shipped registers. Raises PolicyError."""
    place = Path(path)
    if place.is_dir():
        return load_directory(place)
    catalogue, registers = load_registers()
    return Policies(
        (read_agreement(_read(place), place.name, catalogue, registers),), (), catalogue, registers
    )


def load_directory(directory: Path | str = SHIPPED) -> Policies:
    """Read agreements/*.toml and cases/*.toml with the registers of the directory.

    Raises PolicyError for the first thing not understood, for two agreements with one id, and for a
    directory without agreements: a broker never starts with half of its policies.
    """
    root = Path(directory)
    catalogue, registers = load_registers(root)
    agreements: dict[str, Agreement] = {}
    for path in sorted((root / "agreements").glob("*.toml")):
        agreement = read_agreement(_read(path), path.name, catalogue, registers)
        other = agreements.setdefault(agreement.id, agreement)
        if other is not agreement:
            raise PolicyError(
                path.name, "id", 0, f'"{agreement.id}" is taken by {other.file}; ids are unique'
            )
    if not agreements:
        raise PolicyError(
            str(root), "agreements", 0, "holds no agreement; put one TOML file per agreement there"
        )
    cases: list[Case] = []
    for path in sorted((root / "cases").glob("*.toml")):
        cases.extend(read_cases(_read(path), path.name, agreements))
    ordered = tuple(agreements[agreement_id] for agreement_id in sorted(agreements))
    return Policies(ordered, tuple(cases), catalogue, registers)


def load_holidays(directory: Path = SHIPPED) -> Holidays:
    """Read the public holidays, of the directory or else the shipped ones. Raises PolicyError."""
    return read_holidays(_register_text(directory, HOLIDAYS_FILE))
