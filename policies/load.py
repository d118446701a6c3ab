"""From a directory of policy files to all that the decision needs. The only module here that reads files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.agreement import read_agreement
from policies.cases import Case, read_cases
from policies.catalogue import Catalogue, read_catalogue
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


def load_registers(directory: Path = SHIPPED) -> tuple[Catalogue, Registers]:
    """Read the catalogue and the registers; a file that the directory lacks comes from the shipped ones."""
    catalogue = read_catalogue(_register_text(directory, "fields.toml"), "fields.toml")
    bases, instruments = read_legal_bases(_register_text(directory, "legal_bases.toml"), "legal_bases.toml")
    purposes = read_purposes(_register_text(directory, "purposes.toml"), "purposes.toml")
    kinds = read_recipient_kinds(
        _register_text(directory, "recipient_kinds.toml"), "recipient_kinds.toml", bases
    )
    prohibitions = read_prohibitions(
        _register_text(directory, "prohibitions.toml"), "prohibitions.toml", kinds, catalogue
    )
    return catalogue, Registers(bases, instruments, purposes, kinds, prohibitions)


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
