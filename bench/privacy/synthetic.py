"""Texts with identifiers in known places, and texts that only look so.

`python -m bench.privacy.synthetic` writes `data/finds.jsonl` beside it anew, the same each time.
One JSON object a line: `text`, and `kind` and `value` of what is in it, or null. `how` says whether
it is written plainly, with look-alikes, or in a way that we do not claim to see.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.privacy.identifiers import NUMBERS, email, phone, secret, valid

DATA = Path(__file__).with_name("data") / "finds.jsonl"
SEED, EACH, NEGATIVES = 20261126, 40, 1500
KINDS = (*NUMBERS, "email", "phone", "secret")
# What people call a number before they write it; those are half of the texts.
CALLED = {
    "us_ssn": "SSN", "us_itin": "ITIN", "us_ein": "EIN", "gb_nhs": "NHS number", "ca_sin": "SIN",
    "au_tfn": "TFN", "in_aadhaar": "Aadhaar", "br_cpf": "CPF", "de_idnr": "Steuer-ID",
    "nl_bsn": "BSN", "pl_pesel": "PESEL", "dk_cpr": "CPR", "za_idnr": "ID number",
    "tr_tckimlik": "TC Kimlik No", "ch_ssn": "AHV", "phone": "phone", "email": "mail",
    "iban": "IBAN", "card": "card", "vat": "VAT no.", "secret": "credentials",
}  # fmt: skip
FRAMES = [
    "Please update the record of our customer: {} as of today.",
    "{}\n\nThat is all I have, can you draft the letter?",
    'He wrote: "{}". What should we answer?',
    "| name | value |\n| Doe, Jane | {} |",
    '{{"customer": {{"id": 7, "field": "{}"}}}}',
    "first line\nsecond line {}\nthird line",
]
# What holds no identifier and looks as if; # a digit, ~ a hexadecimal one.
LOOKS_SO = [
    "Order ########### shipped on 2026-0#-1#.",
    "2026-11-1#T10:2#:11.######Z INFO pid=#######",
    "commit ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ by build #########",
    "trace ~~~~~~~~-~~~~-~~~~-~~~~-~~~~~~~~~~~~ took ####.### ms",
    "ISBN 978-#-####-####-#, page ###",
    "revenue of ###,###.## EUR against #,###,###",
    "from 10.1##.#.1## to fe80::~~~~:~~~~",
    "at 4#.######, -7#.###### in 19##",
    "api_key = os.environ['API_KEY']; password = getpass(); token = request.headers.get(name)",
    "def f####(x):\n    return x * 0x~~~~~~~~ % #########",
    "#### #### #### #### #### #### #### #### #### ####",
    "######, ######, ####, ######, #####, ######, ######",
    "Ticket INC####### and PR \u2116#####: version 1#.2#.####",
    "parcel 1Z########## part no. ########-####",
    "Please keep the key words; the secret of a good token is that a password is long.",
    "@types/node@2#.# and decorator @app.route, mention @user##",
    "epoch 17######## (17########### ms)",
    "account balance: ######### units, invoice #########, id ######",
]
# Fullwidth digits and signs, Cyrillic letters.
LIKE = str.maketrans(
    "0123456789aeopc@-",
    "".join(chr(0xFF10 + digit) for digit in range(10))
    + "\u0430\u0435\u043e\u0440\u0441\uff20\u2010",
)


def main() -> None:
    """Write the set."""
    rows = [*_positives(random.Random(SEED)), *_negatives(random.Random(SEED + 1))]
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"wrote {len(rows)} texts to {DATA}")


def rows() -> list[dict[str, Any]]:
    """The committed set."""
    return [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


def _value(kind: str, chance: random.Random) -> str:
    own: dict[str, Callable[[random.Random], str]] = {
        "email": email, "phone": phone, "secret": secret
    }  # fmt: skip
    return own[kind](chance) if kind in own else valid(kind, chance)


def _positives(chance: random.Random) -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        for number in range(EACH):
            value = _value(kind, chance)
            how, written = _hidden(value, number, chance)
            called = f"{CALLED[kind]} {written}" if number % 2 and kind in CALLED else written
            frame = chance.choice(FRAMES)
            text = frame.format(called.replace('"', '\\"') if frame[0] == "{" else called)
            yield {"text": text, "kind": kind, "value": value, "how": how}


def _hidden(value: str, number: int, chance: random.Random) -> tuple[str, str]:
    """How a value is written: most plainly, some as somebody would who means to hide it."""
    match number % 10:
        case 6:
            return "look-alikes", value.translate(LIKE)
        case 7:
            return "invisible", "\u200b".join(value)
        case 8:
            return "base64", base64.b64encode(f"value: {value};".encode()).decode()
        case 9:
            return "unclaimed", chance.choice([" ".join, "_".join])(value)
    return "plain", value


def _negatives(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(NEGATIVES):
        like = LOOKS_SO[number % len(LOOKS_SO)]
        signs = {"#": "0123456789", "~": "0123456789abcdef"}
        filled = "".join(chance.choice(signs.get(sign, sign)) for sign in like)
        text = chance.choice(FRAMES).format(filled)
        yield {"text": text, "kind": None, "value": None, "how": "plain"}


if __name__ == "__main__":
    main()
