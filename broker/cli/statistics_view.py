"""From a package and the catalogue's words to a table as people are shown it."""

from __future__ import annotations

from collections.abc import Mapping

from broker.cli.demo_steps import Lang
from broker.cli.statistics_catalogue import Document, Question, Where, find_dimension, find_level, label_of
from broker.cli.statistics_package import Cells
from broker.cli.statistics_shown import PERSONS, TOTAL, Band, ShownAxis, ShownMeasure, ShownTable
from broker.cli.statistics_words import TABLE


def shown_of(
    release: Document, question: Question, cells: Cells, bands: Mapping[str, Band], lang: Lang
) -> ShownTable:
    """Return the table with its names. cells: codes in the order of question.by."""
    persons = ShownMeasure(
        PERSONS, TABLE[PERSONS].say(lang), TABLE["persons_unit"].say(lang), bands.get(PERSONS)
    )
    there = {one["name"]: one for one in release["measures"]}
    return ShownTable(
        release=question.release,
        axes=tuple(_axis(release, by, at, cells, lang) for at, by in enumerate(question.by)),
        measures=(persons, *(_measure(there[name], bands, lang) for name in question.measures)),
        cells=cells,
        filters=tuple(_filter(release, one, lang) for one in question.where),
    )


def _axis(release: Document, by: tuple[str, str], at: int, cells: Cells, lang: Lang) -> ShownAxis:
    """Return an axis with those of its level's categories that the table has."""
    name, level = by
    dimension = find_dimension(release, name)
    found, there = find_level(dimension, level), {codes[at] for codes in cells} - {TOTAL}
    label = label_of(found if len(dimension["levels"]) > 1 else dimension, lang)
    categories = ((str(one["code"]), label_of(one, lang)) for one in found["categories"])
    return ShownAxis(name, label, tuple(one for one in categories if one[0] in there))


def _measure(measure: Document, bands: Mapping[str, Band], lang: Lang) -> ShownMeasure:
    name, unit = str(measure["name"]), str(measure["unit"])
    said = TABLE[unit].say(lang) if unit in TABLE else unit
    return ShownMeasure(name, label_of(measure, lang), said, bands.get(name))


def _filter(release: Document, where: Where, lang: Lang) -> tuple[str, tuple[str, ...]]:
    dimension = find_dimension(release, where.dimension)
    names = {one["code"]: label_of(one, lang) for one in find_level(dimension, where.level)["categories"]}
    return label_of(dimension, lang), tuple(names[code] for code in where.categories)
