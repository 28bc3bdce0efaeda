"""What is found in a text, what is not, and what a text looks like to a detector."""

import json
import random
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.privacy.identifiers import NUMBERS, valid
from bench.privacy.synthetic import KINDS, rows
from deployments.privacy.credentials import find_credentials
from deployments.privacy.detectors import Detectors
from deployments.privacy.folding import fold
from deployments.privacy.randomness import is_random
from deployments.settings.api_key import FORM, Limits, make_key
from deployments.settings.privacy import KINDS as NAMED
from deployments.settings.privacy import NUMBERS as NAMED_NUMBERS
from deployments.settings.privacy import UNMASKABLE, PrivacyConfig

ALL = Detectors(PrivacyConfig(patterns={"mrn": r"mrn[- ]?\d{7}"}))
CARD = "4111 1111 1111 1111"


def finds(text: str, *more: str) -> set[tuple[str, str]]:
    """Kind and place, as it stands in the text, of every find."""
    texts = [text, *more]
    return {(f.kind, texts[f.text][f.start : f.end]) for f in ALL.find(texts)}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        pytest.param(f"card {CARD} 12/27 123", "card", CARD, id="expiry and code behind it"),
        pytest.param(f"order 17 {CARD}.", "card", CARD, id="a number before it"),
        pytest.param("card=4111+1111+1111+1111&x=1", "card", "4111+1111+1111+1111", id="a form"),
        pytest.param("4111\t1111\t1111\t1111", "card", "4111\t1111\t1111\t1111", id="columns"),
        pytest.param("no. 4111/1111/1111/1111", "card", "4111/1111/1111/1111", id="slashes"),
        pytest.param("pay 4111 1111 1111\n1111", "card", "4111 1111 1111\n1111", id="a line's end"),
        pytest.param("3782\n822463\n10005", "card", "3782\n822463\n10005", id="fifteen in lines"),
        pytest.param("Tel 020 7946 0958 4111 1111 1111 1111 12 27", "card", CARD,
                     id="a telephone number before it"),
        pytest.param("BE68 5390 0754 7034", "iban", "BE68 5390 0754 7034",
                     id="a bank that no list has"),
        pytest.param('{"phone_number": "2127365000"}', "phone", "2127365000", id="a name in data"),
        pytest.param('{"phoneNumber":"2127365000"}', "phone", "2127365000", id="in CamelCase"),
        pytest.param('{"homePhone": "2127365000"}', "phone", "2127365000", id="as its end"),
        pytest.param("mobile_no: 07400123456", "phone", "07400123456", id="with its abbreviation"),
        pytest.param("phone=2127365000", "phone", "2127365000", id="given to its name"),
        pytest.param("/u?tel=+442079460958", "phone", "+442079460958", id="in a query"),
        pytest.param("PHONE=+4930901820", "phone", "+4930901820", id="in capitals"),
        pytest.param("378282246310005", "card", "378282246310005", id="fifteen digits"),
        pytest.param("DE89 3704 0044 0532 0130 00 then", "iban", "DE89 3704 0044 0532 0130 00",
                     id="a word that looks like a group"),
        pytest.param("AT61 1904 3002 3457 3201 then", "iban", "AT61 1904 3002 3457 3201",
                     id="a word in the place of the last group"),
        pytest.param("SSN: 536-90-4399", "us_ssn", "536-90-4399", id="dashes"),
        pytest.param("social security number 536904399", "us_ssn", "536904399", id="by its word"),
        pytest.param("SSN: 078-05-1120", "us_ssn", "078-05-1120", id="printed on a wallet's card"),
        pytest.param("943 476 5919", "gb_nhs", "943 476 5919", id="by its groups"),
        pytest.param("BE 0428.759.497", "vat", "BE 0428.759.497", id="a country's dots"),
        pytest.param("mail a.b+c@mail.example.co.uk, please", "email", "a.b+c@mail.example.co.uk",
                     id="e-mail"),
        pytest.param("call (212) 736-5000 now", "phone", "(212) 736-5000", id="a national number"),
        pytest.param("+49 (0)30 901820", "phone", "+49 (0)30 901820", id="the dialled zero"),
        pytest.param("reach me at 2127365000", "phone", "2127365000", id="by its word"),
        pytest.param("0044 20 7946 0958", "phone", "0044 20 7946 0958", id="00 for +"),
        pytest.param("MRN-1234567", "mrn", "MRN-1234567", id="the operator's own"),
        pytest.param('{"db_password": "hunter22x!"}', "secret", "hunter22x!", id="JSON"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----", "secret", "-----BEGIN RSA PRIVATE KEY-----",
                     id="a private key"),
        pytest.param("postgres://app:s3cr3t@db/x", "secret", "postgres://app:s3cr3t@db",
                     id="in a URL"),
        pytest.param("POSTGRES://u:p4ssw0rd@db/x", "secret", "POSTGRES://u:p4ssw0rd@db",
                     id="a scheme in capitals"),
        pytest.param("postgres://app:p%40ss:w0rd@db/x", "secret", "postgres://app:p%40ss:w0rd@db",
                     id="an @ in a password"),
        pytest.param("redis://u:pa%2Fs@s@h:6379/0", "secret", "redis://u:pa%2Fs@s@h",
                     id="a slash in a password"),
        pytest.param("smtp://bob%40ex.com:pw12@ex.com", "secret", "smtp://bob%40ex.com:pw12@ex.com",
                     id="an @ in a user's name"),
        pytest.param("Authorization: Bearer xUACpXHlUgOimlScUCJLmEKzIZxQutXWNNhValwp", "secret",
                     "xUACpXHlUgOimlScUCJLmEKzIZxQutXWNNhValwp", id="letters only"),
        pytest.param('"api_key": "sYCjoaZteDHNfBZWQehhqgSpxCHjCzmM"', "secret",
                     "sYCjoaZteDHNfBZWQehhqgSpxCHjCzmM", id="letters only, given to a name"),
        pytest.param("password: qzkwxvbjtrmhgd", "secret", "qzkwxvbjtrmhgd", id="small letters"),
        pytest.param("password: 83749201", "secret", "83749201", id="digits only"),
        pytest.param("db_pwd='20418837'", "secret", "20418837", id="digits in quotes"),
        pytest.param("to bob@xn--e1afmkfd.xn--p1ai", "email", "bob@xn--e1afmkfd.xn--p1ai",
                     id="a top level in ASCII's disguise"),
        pytest.param("to bob@\u043f\u0438.XN--P1AI.", "email", "bob@\u043f\u0438.XN--P1AI",
                     id="the same in capitals"),
    ],
)  # fmt: skip
def test_an_identifier_is_found_where_it_stands(text: str, kind: str, value: str) -> None:
    assert (kind, value) in finds(text)


@pytest.mark.parametrize("between", [" ", "  ", "\n", "\t", ", ", " and ", "\n2 "])
@pytest.mark.parametrize(
    "cards",
    [
        ("4111-1111-1111-1111", "5555-5555-5555-4444"),
        (CARD, "5555 5555 5555 4444"),
        ("3782 822463 10005", "3714 496353 98431"),
        ("4111111111111111", "5555 5555 5555 4444"),
        (CARD, "5555 5555 5555 4444", "3782 822463 10005", CARD),
        ("4111\t1111\t1111\t1111", "5555\t5555\t5555\t4444"),
    ],
)
def test_cards_in_a_row_are_each_found(cards: tuple[str, ...], between: str) -> None:
    found = {value for kind, value in finds(f"cards: {between.join(cards)}.") if kind == "card"}
    assert found == set(cards)


@pytest.mark.parametrize("parted", [" ", "\t", " | "])
def test_a_table_of_numbers_holds_no_card(parted: str) -> None:
    chance = random.Random(parted)
    rows = [parted.join(str(chance.randrange(1000, 9999)) for _ in range(10)) for _ in range(99)]
    assert finds("\n".join(rows)) == set()


KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 4


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"),
        ("key-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\\n"])
def test_a_private_key_is_one_to_its_end_or_the_texts(begin: str, end: str, line_end: str) -> None:
    body = KEY_BODY.replace("\n", line_end)
    written = {value for kind, value in finds(f"fix {begin}{line_end}{body}{end} now", "and this")}
    assert written == {f"{begin}{line_end}{body}{end}".removeprefix("key")}
    assert {value for _, value in finds(f"fix {begin}{line_end}{body}", "and this")} == {
        f"{begin}{line_end}{body}".removeprefix("key")
    }


# What an issuer's tokens begin with, how many characters follow, and of what.
HEX, ALNUM = "0123456789abcdef", string.ascii_letters + string.digits


@pytest.mark.parametrize(
    ("begins", "chars", "of"),
    [
        ("xapp-1-A0123-1234567890-", 64, HEX), ("xoxe.xoxp-1-", 100, ALNUM), ("whsec_", 32, ALNUM),
        ("glpat-", 20, ALNUM), ("glrt-", 20, ALNUM), ("gldt-", 20, ALNUM), ("hvs.", 90, ALNUM),
        ("dckr_pat_", 27, ALNUM), ("nvapi-", 64, ALNUM), ("dapi", 32, HEX), ("ntn_", 46, ALNUM),
        ("lin_api_", 40, ALNUM), ("ATATT3xFfGF0", 60, ALNUM), ("sbp_", 40, HEX), ("r8_", 37, ALNUM),
        ("pplx-", 48, ALNUM), ("secret_", 43, ALNUM), ("doo_v1_", 64, HEX), ("figd_", 40, ALNUM),
        ("pscale_tkn_", 43, ALNUM), ("sq0atp-", 22, ALNUM), ("tgp_v1_", 43, ALNUM),
        ("NRAK-", 27, string.ascii_uppercase), ("glsa_" + "a1" * 16 + "_", 8, HEX),
    ],
)  # fmt: skip
def test_a_token_is_known_by_its_issuers_form(begins: str, chars: int, of: str) -> None:
    chance = random.Random(begins)
    for _ in range(20):
        token = begins + "".join(chance.choices(of, k=chars))
        assert ("secret", token) in finds(f"use {token}, please")


def test_a_key_of_ours_is_known_by_its_form() -> None:
    for _ in range(50):
        token = make_key("a", Limits(), 0.0).text
        assert FORM.fullmatch(token)
        assert ("secret", token) in finds(f"curl -H 'x-api-key: {token}'")


def test_of_random_letters_next_to_none_are_words() -> None:
    chance, missed, tries = random.Random(1), 0, 30_000
    for _ in range(tries):
        missed += not is_random("".join(chance.choices(string.ascii_letters, k=32)))
    # One value in 280 of 32 letters and digits has no digit.
    assert missed / tries * (52 / 62) ** 32 < 1e-6


@pytest.mark.parametrize(
    "word",
    [
        "AuthenticationTokenProvider", "getUserByIdAndToken", "XMLHttpRequestFactory",
        "kubernetesServiceAccountToken", "AWSSecretAccessKey", "DJANGO_SECRET_KEY", "ENDOFTEXT",
        "Zugangsberechtigung", "contrasenaSegura", "your-api-key-here", "changeme-please",
        "getpass.getpass", "settings.openai_key", "process.env.STRIPE_KEY", "config/secrets.yaml",
    ],
)  # fmt: skip
def test_names_and_words_are_not_random(word: str) -> None:
    assert not is_random(word)
    assert finds(f'password = "{word}", token: {word}') == set()


def test_no_credential_is_seen_in_this_projects_code() -> None:
    # Everything but what the tests and benches hold on purpose.
    rooms = ("deployments", "classifier", "autoscale", "models", "answer_check", "docs", "k8s")
    root = Path(__file__).parents[3]
    files = [path for room in rooms for path in (root / room).rglob("*")]
    texts = [path.read_text() for path in files if path.suffix in (".py", ".md", ".yaml")]
    assert len(texts) > 300
    assert {text[a:b] for text in texts for _, a, b in find_credentials(text)} == set()


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # its check digit is wrong
        "2021 2022 2023 2024 2025 2026 2027 2028",  # a table of years
        "536904399",  # nine digits that nothing calls by a name
        "000-99-9999",  # no such area
        "2026-11-26T02:03:29.123456Z pid=1234567",
        "10.128.3.44:8080 and fe80::1ff:fe23:4567:890a",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "password = getpass.getpass(); api_key = os.environ['API_KEY']",
        "the secret of a good token: it is long and the password is short",
        "https://packages.example.com:443/@types/node and http://localhost:8080/a@b.c",
        "# routes of the shop\n@app.route('/x')",
        "| 2023 2024 2025 |",
        "megaphone_id=2127365000 phonetic: 2127365000 abc=+4930901820=",
        "4111\t1111\t1111\t1112\n4111\t1111\t1111\t1113",
        "on 2026/11/26\n10/20/30 4000",
        "@app.route('/x') and npm i @types/node@20.1.2",
        "00000000-0000-4000-8000-000000000000",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert finds(text) == set()


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("\uff14\uff11\uff11\uff11" + CARD[4:], id="fullwidth"),
        pytest.param("\u0664\u0661\u0661\u0661" + CARD[4:], id="another script's digits"),
        pytest.param("\u200b".join(CARD), id="invisible characters"),
        pytest.param(CARD.replace(" ", "\u00a0"), id="other spaces"),
        pytest.param(CARD.replace(" ", "\u2011"), id="other dashes"),
        pytest.param(CARD.replace("4", "\\u0034", 1), id="JSON's escapes"),
        pytest.param(CARD.replace("4", "&#52;", 1), id="HTML's escapes"),
        pytest.param(CARD.replace(" ", "%20"), id="a URL's escapes"),
    ],
)
def test_a_look_alike_is_what_it_looks_like(written: str) -> None:
    assert ("card", written) in finds(f"it is {written}, yes")


def test_an_address_in_another_alphabet_is_one() -> None:
    written = "\u0430lice@ex\u0430mple.com"
    assert finds(f"to {written}!") == {("email", written)}


@pytest.mark.parametrize("written", ["用户@例子.公司", "jürgen@müller.example", "a_b@xn--fsq.com"])
def test_an_address_may_have_letters_of_every_script(written: str) -> None:
    assert {kind for kind, _ in finds(f"mail {written}, please")} == {"email"}


@pytest.mark.parametrize(
    "text", ["_bob@example.com_", "bob@example.comに" + "連絡してください" * 4, "(bob@example.com)"]
)
def test_an_address_ends_where_other_text_begins(text: str) -> None:
    assert [written.endswith("bob@example.com") for kind, written in finds(text)] == [True]


def test_two_texts_are_not_one() -> None:
    assert finds(CARD[:9], CARD[10:]) == set()
    assert finds("alice@exam", "ple.com") == set()


def test_every_kind_that_has_a_name_is_looked_for_and_no_other() -> None:
    assert set(NAMED) == set(KINDS) | UNMASKABLE | {"gb_nino"}
    assert set(NAMED_NUMBERS) - {"gb_nino"} == set(NUMBERS)


@pytest.mark.parametrize("kind", sorted(NUMBERS))
def test_ten_numbers_of_each_kind_are_found(kind: str) -> None:
    chance = random.Random(kind)
    named = {"us_ssn": "SSN", "us_itin": "ITIN", "us_ein": "EIN", "gb_nhs": "NHS", "ca_sin": "SIN"}
    word = named.get(kind) or {
        "au_tfn": "TFN", "in_aadhaar": "Aadhaar", "de_idnr": "Steuer-ID", "nl_bsn": "BSN",
        "pl_pesel": "PESEL", "dk_cpr": "CPR", "za_idnr": "ID", "tr_tckimlik": "TC", "br_cpf": "CPF",
    }.get(kind, "")  # fmt: skip
    for _ in range(10):
        value = valid(kind, chance)
        assert (kind, value) in finds(f"{word} {value}.")


def test_what_is_ignored_is_not_looked_for() -> None:
    config = PrivacyConfig(default_action="ignore", actions={"email": "local"})
    found = [f.kind for f in Detectors(config).find([f"{CARD} a@example.com +1 212 736 5000"])]
    assert found == ["email"]


def test_the_committed_set_is_what_its_script_writes() -> None:
    from bench.privacy.synthetic import SEED, _negatives, _positives

    written = [*_positives(random.Random(SEED)), *_negatives(random.Random(SEED + 1))]
    assert json.loads(json.dumps(written)) == rows()


def test_of_the_committed_set_most_plain_ones_are_found_and_few_others_are_taken_for_one() -> None:
    asked: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in rows():
        kinds = {kind for kind, _ in finds(row["text"])}
        if row["kind"] is None:
            wrong.update(kinds)
        elif row["how"] in ("plain", "look-alikes", "invisible"):
            asked[row["kind"]] += 1
            missed[row["kind"]] += row["kind"] not in kinds
    # Half of the texts do not say what a number is, and some kinds are known by that only.
    assert sum(missed.values()) < 0.25 * sum(asked.values())
    assert sum(wrong.values()) < 0.02 * len(rows())
    for kind in ("card", "iban", "email", "secret", "it_codicefiscale"):
        assert missed[kind] <= 0.05 * asked[kind], kind


ODD = st.text(
    st.characters(codec=None)
    | st.sampled_from("0123456789 -.@+()%\\&#;u\u200b\uff14\u0430\x1e\ud800"),
    max_size=200,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ODD, max_size=4))
def test_any_text_is_read_and_every_find_lies_in_it(texts: list[str]) -> None:
    for found in ALL.find(texts):
        assert 0 <= found.start < found.end <= len(texts[found.text])


@settings(max_examples=150, deadline=None)
@given(ODD)
def test_what_a_place_folds_from_folds_to_it(text: str) -> None:
    folded = fold(text)
    for at in range(len(folded.text)):
        start, end = folded.span(at, at + 1)
        assert 0 <= start < end <= len(text)


@settings(max_examples=60, deadline=None)
@given(st.text(string.ascii_letters + " ,;", max_size=60), st.text(string.ascii_letters + " ,;"))
def test_a_card_is_found_in_any_prose(before: str, after: str) -> None:
    assert ("card", CARD) in finds(f"{before} {CARD} {after}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"actions": {"mail": "local"}}, "no such kind"),
        ({"actions": {"image": "mask"}}, "cannot be masked"),
        ({"actions": {"email": "allow"}}, "audit"),
        ({"patterns": {"mrn": "("}}, "regular expression"),
        ({"patterns": {"mrn": "x*"}}, "empty text"),
        ({"patterns": {"mrn": r"f\xfcr"}}, "no folded text"),
        ({"patterns": {"mrn": r"f\u00fcr"}}, "no folded text"),
        ({"patterns": {"mrn": "[\u0430-\u044f]+\\d"}}, "no folded text"),
        ({"patterns": {"mrn": "[A-Z\u00c0-\u00ff]+\\d"}}, "no folded text"),
        ({"patterns": {"mrn": r"id%3A\d"}}, "no folded text"),
        ({"patterns": {"email": "x"}}, "a kind is a new word"),
        ({"phone_regions": ["ZZ"]}, "ZZ"),
        ({"audit_key_env": "KEY"}, "audit_dir"),
    ],
)
def test_a_wrong_setting_is_named(settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PrivacyConfig.model_validate(settings)
