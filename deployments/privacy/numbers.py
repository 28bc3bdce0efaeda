"""Identifiers with check digits: cards, bank accounts, and the numbers that states give to people.

How a number is written stands here; whether its digits check is python-stdnum's to say. Where a
tenth of all numbers would check, a number must be written as its owners write it, or a word before
it must say what it is: precision is what keeps a detector switched on.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import NamedTuple

from deployments.privacy.pictures import Picture

# How far before a number the word may stand that says what it is.
CONTEXT_CHARS = 48
# Digits of two cards, or of a telephone number and a card with its expiry and code; in longer runs,
# which are tables, cards are next to all of it or stand in one group.
MAX_CARD_RUN_DIGITS = 38
MIN_CARD_DIGITS, MAX_CARD_DIGITS = 12, 19
_CARD_RUN = re.compile(rb"9(?:[ \-.]{0,2}9){12,}")
# Line ends, columns and a form's data part other numbers as well: here the groups must be a card's.
_LOOSE_RUN = re.compile(rb"9(?:[ \-.\t\n/+]{0,2}9){12,}")
_LOOSE = re.compile(rb"[\t\n/+]")
_CARD_GROUPS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)})
_GROUP = re.compile(rb"9+")
# Issuers' prefixes with the lengths of their numbers (ISO/IEC 7812; Visa, Mastercard, Amex, …).
_ISSUED = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11,13}|6(?:011|4[4-9]\d|5\d\d)\d{12,15}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"
)
_IBAN = re.compile(rb"AA99(?:[ \-]?[A9]{4}){2,7}(?:[ \-]?[A9]{1,3})?")
MIN_IBAN_CHARS = 15
# Written by rule, with no digit that checks it (HMRC's manual, NIM39110).
_NINO = re.compile(
    r"(?!BG|GB|NK|KN|TN|NT|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z]\d{6}[A-D]", re.IGNORECASE
)
# Never issued are 000, 666 and 9xx, 00, and 0000 (SSA, POMS RM 10201.030). stdnum also refuses two
# that were printed in advertisements, and that thousands of people have used as theirs.
_SSN = re.compile(r"(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}")
_SEPARATORS = str.maketrans("", "", " -")
Check = Callable[[str], bool]
Place = tuple[int, int]
Lengths = frozenset[tuple[int, ...]]


def _stdnum(module: str) -> Check:
    check: Check = import_module(f"stdnum.{module}").is_valid
    return check


def _is_nino(written: str) -> bool:
    return _NINO.fullmatch(written.replace(" ", "")) is not None


def _is_ssn(written: str) -> bool:
    return _SSN.fullmatch(written.translate(_SEPARATORS)) is not None


def _is_aadhaar(written: str) -> bool:
    """Whether three groups of four check; three years are a table's head."""
    is_years = len(written) == 12 and {written[at : at + 2] for at in (0, 4, 8)} <= {"19", "20"}
    return not is_years and _checks_aadhaar(written)


_luhn, _checks_aadhaar = _stdnum("luhn"), _stdnum("in_.aadhaar")
# The registries' lists of banks lag behind the banks.
_is_iban = partial(import_module("stdnum.iban").is_valid, check_country=False)


class _Number(NamedTuple):
    """How one kind is written, and who checks it."""

    kind: str
    # 9 a digit, A a letter, _ a space; everything else itself.
    pictures: tuple[bytes, ...]
    check: Check
    # One of these must stand before the number, as a word; empty: it is known by how it is written.
    words: tuple[str, ...]

    def is_called_so(self, before: str) -> bool:
        """Whether what stands before a number says what it is."""
        return any(_stands_in(word, before) for word in self.words)


def _number(kind: str, check: str | Check, pictures: str, words: str = "") -> _Number:
    drawn = tuple(picture.replace("_", " ").encode() for picture in pictures.split())
    said = tuple(words.split("|")) if words else ()
    return _Number(kind, drawn, _stdnum(check) if isinstance(check, str) else check, said)


def _stands_in(word: str, lowered: str) -> bool:
    """Whether a text has this word, the last time as one of its own: `ssn:`, not `ssns`."""
    at = lowered.rfind(word)
    if at < 0:
        return False
    end = at + len(word)
    return not (lowered[at - 1 : at].isalpha() or lowered[end : end + 1].isalpha())


_VAT_BODIES = (
    *("9" * length for length in range(8, 13)),
    *("A99999999", "99999999A", "A9999999A", "AA999999999", "A9999999999", "9A999999999"),
    *("9999999A", "9999999AA", "9A99999A", "999999999A99"),
    *("999_999_999", "9999.999.999", "9999_999_999", "99_999999999", "99_999_999_999"),
)
_VAT = " ".join(f"AA{space}{body}" for body in _VAT_BODIES for space in ("", "_"))
NUMBERS = (
    _number("vat", "eu.vat", _VAT),
    _number("vat", "gb.vat", "AA999999999 AA_999999999 AA_999_9999_99 AA999_9999_99"),
    _number("vat", "ch.uid", "AAA-999.999.999 AAA999999999 AAA_999.999.999 AAA-999_999_999"),
    _number("us_ssn", _is_ssn, "999-99-9999"),
    _number("us_ssn", _is_ssn, "999_99_9999 999999999", "ssn|social security"),
    _number("us_itin", "us.itin", "999-99-9999"),
    _number("us_itin", "us.itin", "999_99_9999 999999999", "itin|taxpayer id"),
    _number("us_ein", "us.ein", "99-9999999 999999999", "ein|fein|employer id"),
    _number("gb_nhs", "gb.nhs", "999_999_9999"),
    _number("gb_nhs", "gb.nhs", "999-999-9999 9999999999", "nhs"),
    _number("gb_nino", _is_nino, "AA999999A AA_99_99_99_A AA_999999_A"),
    _number("ca_sin", "ca.sin", "999-999-999 999_999_999 999999999", "sin|social insurance|nas"),
    _number("au_tfn", "au.tfn", "999_999_999 999999999 99999999", "tfn|tax file"),
    _number("in_aadhaar", _is_aadhaar, "9999_9999_9999"),
    _number("in_aadhaar", "in_.aadhaar", "9999-9999-9999 999999999999", "aadhaar|aadhar|uidai"),
    _number("br_cpf", "br.cpf", "999.999.999-99"),
    _number("br_cpf", "br.cpf", "99999999999", "cpf"),
    _number(
        "de_idnr", "de.idnr", "99_999_999_999 99999999999",
        "steuer-id|steuerid|idnr|id-nr|steuernummer|identifikationsnummer|tax id",
    ),
    _number("fr_nir", "fr.nir", "9_99_99_99_999_999_99 9_99_99_9A_999_999_99"),
    _number("fr_nir", "fr.nir", "999999999999999 9999999999999_99 99999A99999999_99"),
    _number("es_dni", "es.dni", "99999999A 99999999-A"),
    _number("es_nie", "es.nie", "A9999999A A-9999999-A A9999999-A"),
    _number("it_codicefiscale", "it.codicefiscale", "AAAAAA99A99A999A"),
    _number("nl_bsn", "nl.bsn", "999999999 9999.99.999", "bsn|burgerservicenummer|sofinummer"),
    _number("be_nn", "be.nn", "99.99.99-999.99"),
    _number("pl_pesel", "pl.pesel", "99999999999", "pesel"),
    _number("se_personnummer", "se.personnummer", "999999-9999 99999999-9999 999999+9999"),
    _number("dk_cpr", "dk.cpr", "999999-9999 9999999999", "cpr"),
    _number("fi_hetu", "fi.hetu", "999999-999A 999999-9999 999999A999A 999999A9999 999999+999A"),
    _number("ch_ssn", "ch.ssn", "999.9999.9999.99 999_9999_9999_99"),
    _number("ch_ssn", "ch.ssn", "9999999999999", "ahv|avs|sozialversicherung"),
    _number("cn_ric", "cn.ric", "999999999999999999 99999999999999999A"),
    _number("kr_rrn", "kr.rrn", "999999-9999999"),
    _number("za_idnr", "za.idnr", "9999999999999 999999_9999_999", "id|identity|rsa"),
    _number("mx_curp", "mx.curp", "AAAA999999AAAAAA99 AAAA999999AAAAAAA9"),
    _number("tr_tckimlik", "tr.tckimlik", "99999999999", "tc|t.c|kimlik"),
)  # fmt: skip


def find_numbers(text: str, picture: Picture) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every identifier in a folded text."""
    yield from _cards(text, picture)
    yield from _ibans(text, picture)
    lowered = text.lower()
    # Folding has left next to nothing that changes its length with its case.
    same = len(lowered) == len(text)
    for number in NUMBERS:
        if same and number.words and not any(word in lowered for word in number.words):
            continue
        for drawn in number.pictures:
            for start, end in picture.places(drawn):
                before = text[max(0, start - CONTEXT_CHARS) : start].lower()
                if number.words and not number.is_called_so(before):
                    continue
                if number.check(text[start:end].replace(" ", "")):
                    yield number.kind, start, end


def _ibans(text: str, picture: Picture) -> Iterator[tuple[str, int, int]]:
    for match in _IBAN.finditer(picture.drawn):
        start, end = match.span()
        if not picture.is_edge(start, start):
            continue
        # A word that follows looks like the last group of an account.
        while end - start >= MIN_IBAN_CHARS and not _is_iban(text[start:end]):
            end = max(text.rfind(" ", start, end), text.rfind("-", start, end))
        if end - start >= MIN_IBAN_CHARS and picture.is_edge(end, end):
            yield "iban", start, end


def _cards(text: str, picture: Picture) -> Iterator[tuple[str, int, int]]:
    """Cards: whole groups of a run of digits, whatever they are parted by."""
    found: set[int] = set()
    for form, lengths in ((_CARD_RUN, None), (_LOOSE_RUN, _CARD_GROUPS)):
        for run in form.finditer(picture.drawn):
            if lengths and not _LOOSE.search(run[0]):
                continue
            groups = [found.span() for found in _GROUP.finditer(picture.drawn, *run.span())]
            for start, end in _cards_of(text, picture, groups, lengths):
                if start not in found:
                    found.add(start)
                    yield "card", start, end


def _cards_of(
    text: str, picture: Picture, groups: list[Place], lengths: Lengths | None
) -> list[Place]:
    """The cards of one run; in a table those that are next to all of it, or one group."""
    cards = _in_turn(text, picture, groups, lengths)
    digits = sum(end - start for start, end in groups)
    if digits <= MAX_CARD_RUN_DIGITS:
        return cards
    in_cards = sum(picture.drawn.count(b"9", *card) for card in cards)
    if 8 * in_cards >= 7 * digits:
        return cards
    return _in_turn(text, picture, groups, frozenset())


def _in_turn(
    text: str, picture: Picture, groups: list[Place], lengths: Lengths | None
) -> list[Place]:
    cards: list[Place] = []
    for first, (start, _) in enumerate(groups):
        if (cards and start < cards[-1][1]) or not picture.is_edge(start, start):
            continue
        end = _card_end(text, groups[first : first + MAX_CARD_DIGITS], lengths)
        if end is not None and picture.is_edge(end, end):
            cards.append((start, end))
    return cards


def _card_end(text: str, groups: list[Place], lengths: Lengths | None) -> int | None:
    """Where a card ends that begins with the first of these groups of digits; of several groups
    only where they are as long as they may be, if that is said."""
    digits, found = "", None
    for number, (start, end) in enumerate(groups):
        digits += text[start:end]
        if len(digits) > MAX_CARD_DIGITS:
            break
        if len(digits) < MIN_CARD_DIGITS or not _may_be(groups[: number + 1], lengths):
            continue
        if _ISSUED.fullmatch(digits) and _luhn(digits):
            found = end
    return found


def _may_be(groups: list[Place], lengths: Lengths | None) -> bool:
    return (
        lengths is None
        or len(groups) == 1
        or tuple(end - start for start, end in groups) in lengths
    )
