"""A receipt on paper: one page A4, PDF/A-3U, tagged, the signed original attached; always the same bytes.

fpdf2 tags pictures and links only; headings and paragraphs are tagged here with what it tags those with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC
from importlib.resources import as_file, files
from typing import Final
from xml.sax.saxutils import escape

import segno
from fpdf import FPDF
from fpdf.fonts import TTFFont
from fpdf.prefs import ViewerPreferences

from consent_ui.receipt_reading import ReceiptField, ReceiptView

_FAMILY: Final = "BeVietnamPro"
_MARGIN: Final = 16.0
_QR_SIDE: Final = 30.0
_TEXT_SIZES: Final = (11.5, 10.5, 9.5, 8.5, 7.5, 6.5, 5.5)
"""The largest at which all of it stands on the page is taken; the last for what fits at none."""
_INK: Final = (20, 20, 20)
_XMP: Final = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" xmp:CreateDate="{at}" xmp:ModifyDate="{at}"
 xmp:MetadataDate="{at}"><pdfaid:part>3</pdfaid:part><pdfaid:conformance>U</pdfaid:conformance>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:language><rdf:Bag><rdf:li>{language}</rdf:li></rdf:Bag></dc:language></rdf:Description></rdf:RDF></x:xmpmeta>"""


def receipt_pdf(view: ReceiptView, receipt: str) -> bytes:
    """Return the page. receipt: the compact JWS, attached as it is, so that the file proves itself."""
    for size in _TEXT_SIZES:
        with closing(_Page(view, size)) as page:
            if page.is_whole:
                return page.with_original(receipt)
    with closing(_Page(view, _TEXT_SIZES[-1])) as page:
        return page.with_original(receipt)


class _Page(FPDF):
    """The page, drawn as it is made. is_whole: whether all of it stands above the lower margin."""

    def __init__(self, view: ReceiptView, size: float) -> None:
        super().__init__(format="A4", enforce_compliance="PDF/A-3U")
        self._view = view
        self._size = size
        self._describe()
        for style, name in (("", "Regular"), ("B", "SemiBold")):
            with as_file(files("consent_ui").joinpath(f"fonts/{_FAMILY}-{name}.ttf")) as path:
                self.add_font(_FAMILY, style, path)
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(auto=False)
        self.add_page()
        self.set_text_color(*_INK)
        self._draw()
        self.is_whole = self.get_y() <= self.h - _MARGIN

    def with_original(self, receipt: str) -> bytes:
        """Return the document with the signed original attached to it."""
        words, at = self._view.words, self._view.issued_at
        self.embed_file(
            bytes=receipt.encode("ascii"),
            basename=f"{self._view.receipt_id}.jws",
            mime_type="application/jose",
            associated_file_relationship="Source",
            creation_date=at,
            modification_date=at,
            desc=words("receipt_jws"),
        )
        return bytes(self.output())

    def close(self) -> None:
        """Close the files of the fonts, which fpdf2 leaves open."""
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def _describe(self) -> None:
        view, words = self._view, self._view.words
        title = f"{words('receipt_title')}: {view.title}"
        at = view.issued_at.astimezone(UTC)
        self.set_title(title)
        self.set_lang(words.language)
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        self.set_creation_date(at)
        self.set_producer("fpdf2")
        self.set_xmp_metadata(
            _XMP.format(at=at.isoformat(timespec="seconds"), title=escape(title), language=words.language)
        )

    def _draw(self) -> None:
        view, words = self._view, self._view.words
        self._text("P", words("receipt_title"), 1.2, bold=True)
        self._text("H1", view.title, 1.9, bold=True)
        self._text("P", view.statement, 1.1)
        self._rule()
        for name, told in view.rows:
            self._row(name, told)
        self._list(words("receipt_fields"), view.fields)
        self._list(words("receipt_barred"), view.barred)
        if view.difference:
            self._text("H2", words("receipt_difference"), 1.1, bold=True)
            for line in view.difference:
                self._text("P", f"• {line}")
        self._rule()
        self._row(words("receipt_withdraw"), view.withdraw)
        self._row(words("receipt_rights"), view.rights)
        self._rule()
        self._proof()

    def _proof(self) -> None:
        """Draw what identifies the receipt, and the QR code that leads to where it is checked."""
        view, words, top = self._view, self._view.words, self.get_y()
        side = self.epw - _QR_SIDE - 6
        for name, told in view.proofs:
            self._text("P", f"{name}: {told}", 0.85, width=side)
        self._text("P", words("receipt_check_paper", address=view.check_address), 0.85, width=side)
        bottom = self.get_y()
        self._qr(self.w - _MARGIN - _QR_SIDE, top)
        self.set_y(max(bottom, top + _QR_SIDE))

    def _qr(self, left: float, top: float) -> None:
        words = self._view.words
        matrix = list(segno.make(self._view.check_address, error="m", micro=False).matrix)
        dot = _QR_SIDE / len(matrix)
        self.set_fill_color(*_INK)
        with self._tagged("Figure", alt=words("receipt_qr")):
            for row, line in enumerate(matrix):
                for column, is_dark in enumerate(line):
                    if is_dark:
                        self.rect(left + column * dot, top + row * dot, dot, dot, style="F")

    def _list(self, heading: str, fields: Sequence[ReceiptField]) -> None:
        if not fields:
            return
        words = self._view.words
        self._text("H2", heading, 1.1, bold=True)
        for field in fields:
            mark = f" ({words('receipt_sensitive')})" if field.is_sensitive else ""
            self._text("P", f"• {field.label}{mark}: {field.form}")

    def _row(self, name: str, told: str) -> None:
        self._text("P", f"**{name}:** {_plain(told)}", markdown=True)

    def _rule(self) -> None:
        """Draw a line across the page: an artifact, which nobody reads aloud."""
        self.ln(1.2)
        self._out("/Artifact BMC")
        self.line(_MARGIN, self.get_y(), self.w - _MARGIN, self.get_y())
        self._out("EMC")
        self.ln(1.6)

    def _text(
        self,
        kind: str,
        text: str,
        scale: float = 1.0,
        *,
        bold: bool = False,
        markdown: bool = False,
        width: float = 0,
    ) -> None:
        self.set_font(_FAMILY, "B" if bold else "", self._size * scale)
        with self._tagged(kind):
            self.multi_cell(
                width,
                self._size * scale * 0.47,
                text,
                align="L",
                markdown=markdown,
                new_x="LMARGIN",
                new_y="NEXT",
            )
        self.ln(0.7)

    @contextmanager
    def _tagged(self, kind: str, alt: str | None = None) -> Iterator[None]:
        """Tag what is drawn within as a structure element (ISO 32000-1, 14.7). kind: its standard type."""
        number = self.struct_builder.next_mcid_for_page(self.page)
        self._add_marked_content(struct_type=f"/{kind}", mcid=number, alt_text=alt)
        self._out(f"/{kind} <</MCID {number}>> BDC")
        yield
        self._out("EMC")


def _plain(text: str) -> str:
    """Return a text in which nothing is taken for a mark of bold, italics or a line under it."""
    return text.replace("**", "* *").replace("__", "_ _").replace("--", "- -").replace("~~", "~ ~")
