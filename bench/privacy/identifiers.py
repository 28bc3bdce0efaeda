"""Valid identifiers by chance, and how people write them; made with the registries' own checks."""

import random
import string
from collections.abc import Callable
from importlib import import_module

import phonenumbers

# By kind: python-stdnum's module; templates of the bare number (9 digit, A letter, Y M D of a date,
# everything else itself); how it is written, as the lengths of its groups and what parts them.
NUMBERS: dict[str, tuple[str, list[str], list[tuple[tuple[int, ...], str]]]] = {
    "card": ("luhn", ["4999999999999999", "5199999999999999", "379999999999999"],
             [((4, 4, 4, 4), " "), ((4, 4, 4, 4), "-"), ((), "")]),
    "iban": ("iban", ["GB##WEST99999999999999", "DE##999999999999999999", "NL##ABNA9999999999"],
             [((4, 4, 4, 4, 4, 4), " "), ((), "")]),
    "vat": ("eu.vat", ["DE999999999", "FR99999999999", "IT99999999999", "ATU99999999"], [((), "")]),
    "us_ssn": ("us.ssn", ["999999999"], [((3, 2, 4), "-"), ((3, 2, 4), " "), ((), "")]),
    "us_itin": ("us.itin", ["999999999"], [((3, 2, 4), "-")]),
    "us_ein": ("us.ein", ["999999999"], [((2, 7), "-")]),
    "gb_nhs": ("gb.nhs", ["9999999999"], [((3, 3, 4), " "), ((3, 3, 4), "-"), ((), "")]),
    "ca_sin": ("ca.sin", ["999999999"], [((3, 3, 3), " "), ((3, 3, 3), "-")]),
    "au_tfn": ("au.tfn", ["999999999"], [((3, 3, 3), " ")]),
    "in_aadhaar": ("in_.aadhaar", ["999999999999"], [((4, 4, 4), " "), ((), "")]),
    "br_cpf": ("br.cpf", ["99999999999"], [((), "")]),
    "de_idnr": ("de.idnr", ["99999999999"], [((2, 3, 3, 3), " "), ((), "")]),
    "fr_nir": ("fr.nir", ["1YYMM7599999999", "2YYMM1399999999"],
               [((1, 2, 2, 2, 3, 3, 2), " "), ((), "")]),
    "es_dni": ("es.dni", ["99999999A"], [((), ""), ((8, 1), "-")]),
    "es_nie": ("es.nie", ["X9999999A", "Y9999999A"], [((), ""), ((1, 7, 1), "-")]),
    "it_codicefiscale": ("it.codicefiscale", ["RSSMRAYYADDH501A", "BNCLRDYYADDF205A"], [((), "")]),
    "nl_bsn": ("nl.bsn", ["999999999"], [((), "")]),
    "be_nn": ("be.nn", ["YYMMDD99999"], [((), "")]),
    "pl_pesel": ("pl.pesel", ["YYMMDD99999"], [((), "")]),
    "se_personnummer": ("se.personnummer", ["YYMMDD9999"], [((6, 4), "-")]),
    "dk_cpr": ("dk.cpr", ["DDMMYY9999"], [((6, 4), "-")]),
    "fi_hetu": ("fi.hetu", ["DDMMYY-999A"], [((), "")]),
    "ch_ssn": ("ch.ssn", ["7569999999999"], [((3, 4, 4, 2), ".")]),
    "cn_ric": ("cn.ric", ["11010119YYMMDD9999"], [((), "")]),
    "kr_rrn": ("kr.rrn", ["YYMMDD1999999", "YYMMDD2999999"], [((6, 7), "-")]),
    "za_idnr": ("za.idnr", ["YYMMDD9999089"], [((), "")]),
    "mx_curp": ("mx.curp", ["BADDYYMMDDHDFMLN09", "GOMCYYMMDDMJCRRR09"], [((), "")]),
    "tr_tckimlik": ("tr.tckimlik", ["99999999999"], [((), "")]),
}  # fmt: skip
MAX_TRIES = 200_000
# How the countries write a bare number.
FORMATS = {"br_cpf": "###.###.###-##", "be_nn": "##.##.##-###.##"}


def valid(kind: str, chance: random.Random) -> str:
    """A number of this kind that checks, written as people write it."""
    module, templates, writings = NUMBERS[kind]
    check: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    for _ in range(MAX_TRIES):
        bare = _filled(chance.choice(templates), chance)
        if check(bare):
            return _written(kind, bare, chance.choice(writings))
    raise RuntimeError(f"no valid {kind} in {MAX_TRIES} tries")


def phone(chance: random.Random) -> str:
    """A telephone number that its country's plan knows, in one of the usual ways."""
    region = chance.choice(["US", "GB", "DE", "FR", "IN", "BR", "JP", "AU"])
    example = phonenumbers.example_number(region)
    assert example is not None, region
    for _ in range(MAX_TRIES):
        digits = str(example.national_number)
        number = phonenumbers.PhoneNumber(
            example.country_code, int(digits[:4] + _digits(len(digits) - 4, chance))
        )
        if phonenumbers.is_valid_number(number):
            break
    forms = [phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164]
    if region in ("US", "GB"):  # the default's regions, the others are known with + only
        forms.append(phonenumbers.PhoneNumberFormat.NATIONAL)
    return phonenumbers.format_number(number, chance.choice(forms))


def email(chance: random.Random) -> str:
    """An address that could exist."""
    name = _word(chance) + chance.choice(["", ".", "_", "+"]) + _word(chance)
    domain = _word(chance) + chance.choice([".com", ".co.uk", ".de", ".io", ".example.org"])
    return f"{name}{chance.choice(['', str(chance.randrange(99))])}@{domain}"


def secret(chance: random.Random) -> str:
    """A credential in the form of its issuer, or given to a name that says what it is."""
    random_word = "".join(chance.choices(string.ascii_letters + string.digits, k=40))
    return chance.choice(
        [
            f"sk-{random_word}",
            f"ghp_{random_word[:36]}",
            f"AKIA{''.join(chance.choices(string.ascii_uppercase + '234567', k=16))}",
            f"AIza{random_word[:35]}",
            f"xoxb-{_digits(11, chance)}-{random_word[:24]}",
            f"password = {random_word[:10]}{chance.randrange(10)}x",
            f'"api_key": "{random_word[:32]}"',
            f"postgres://app:{random_word[:12]}@db.internal/app",
            f"Authorization: Bearer {random_word}",
        ]
    )


def _filled(template: str, chance: random.Random) -> str:
    year, month, day = chance.randrange(40, 99), chance.randrange(1, 13), chance.randrange(1, 29)
    dated = template.replace("YY", f"{year:02}").replace("MM", f"{month:02}")
    if "DD" in template and "MM" not in template:
        dated = dated.replace("YYA", f"{year:02}{chance.choice('ABCDEHLMPRST')}")
    dated = dated.replace("DD", f"{day:02}")
    return "".join(
        chance.choice(string.digits)
        if sign in "9#"
        else chance.choice(string.ascii_uppercase)
        if sign == "A" and not template.startswith(("ATU", "NL"))
        else sign
        for sign in dated
    )


def _written(kind: str, bare: str, writing: tuple[tuple[int, ...], str]) -> str:
    if kind in FORMATS:
        digits = iter(bare)
        return "".join(next(digits) if sign == "#" else sign for sign in FORMATS[kind])
    lengths, between = writing
    groups, at = [], 0
    for length in lengths:
        groups.append(bare[at : at + length])
        at += length
    return between.join(group for group in [*groups, bare[at:]] if group)


def _digits(count: int, chance: random.Random) -> str:
    return "".join(chance.choices(string.digits, k=count))


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_lowercase, k=chance.randrange(3, 9)))
