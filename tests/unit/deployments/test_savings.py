"""What is said to be saved is what was not spent, net of all that our own way costs."""

import json
import os
import random
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from classifier import Score
from deployments.accounting.booking import record_of
from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.accounting.reporting import report
from deployments.accounting.savings import Prices, Ratio, length_ratio, savings
from deployments.cli import app
from deployments.protocol.chunk import Usage
from deployments.routing.cause import Cause
from deployments.routing.route import Route
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.prices import check_prices, list_price
from deployments.store.capacity import add_capacity
from deployments.store.reading import Capacity, Pairs, Sums, capacity, pairs
from deployments.store.records import DAY_S, Record, book
from deployments.store.schema import migrate
from deployments.store.sqlite import Sqlite

NANO = 10**9
# A thousand prompt tokens cost 0.002 USD at the small tier and 0.06 USD at the large one.
SMALL, LARGE = Price(2 * NANO, 0), Price(60 * NANO, 0)
THOUSAND = Usage(1000, 0)
NO_COST = Prices()


def exchanged(
    tier: str,
    usage: Usage = THOUSAND,
    key_id: str = "",
    tenant: str = "",
    score: float | None = None,
) -> Record:
    one = Exchange("r", "chat", "auto", False, 0.0, key_id=key_id, tenant=tenant)
    if score is not None:
        one.score = Score(score, 0.5, 0.5, 0.0, 1.0)
    price = SMALL if tier == "small" else LARGE
    attempt = one.attempt(Route(tier, Cause.CLASSIFIER, True), f"{tier}-m", price)  # type: ignore[arg-type]
    attempt.usage = usage
    one.end(None)
    return record_of(one, LARGE, "c")


def summed(tier: str, requests: int, one: Record) -> Sums:
    return Sums(
        "",
        tier,
        requests,
        *(requests * getattr(one, name) for name in Sums._fields[3:]),
    )


def test_the_arithmetic_of_small_first() -> None:
    """200,000 queries: 190,000 x $0.002 + 10,000 x $0.06 = $980 against $12,000."""
    found = savings(
        [
            summed("small", 190_000, exchanged("small")),
            summed("large", 10_000, exchanged("large")),
        ],
        Ratio(),
        [],
        NO_COST,
    )
    assert found["requests"] == 200_000
    assert found["cost_usd"] == pytest.approx(980, abs=1e-9)
    assert found["all_large_usd"] == pytest.approx(12_000, abs=1e-9)
    assert found["saved_usd"] == pytest.approx(11_020, abs=1e-9)
    assert found["saved_share"] == pytest.approx(11_020 / 12_000)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two thousand requests of the same shape, a hundredth of the arithmetic's."""
    path = tmp_path / "a.sqlite"
    db = Sqlite(str(path), owns=True)
    migrate(db)
    with db.transaction():
        book(db, [exchanged("small", key_id="k1", tenant="acme") for _ in range(1900)])
        book(db, [exchanged("large", key_id="k2", tenant="beta") for _ in range(100)])
    db.close()
    return path


def test_the_same_through_the_ledger_the_command_and_the_export(store: Path) -> None:
    def run(*args: str) -> str:
        at = ["--store", str(store), "--config", str(store.with_name("none.yaml"))]
        done = CliRunner().invoke(app, [*args, *at])
        assert done.exit_code == 0, done.output
        return done.stdout

    found = json.loads(run("report", "--json", "--by", "tenant"))
    assert found["total"]["cost_usd"] == pytest.approx(9.8)
    assert found["total"]["all_large_usd"] == pytest.approx(120)
    rows = {row["tenant"]: row["cost_usd"] for row in found["rows"]}
    assert rows == {"acme": pytest.approx(3.8), "beta": pytest.approx(6.0)}
    assert "91.8%" in run("report")
    assert "sum of its records" in run("ledger", "check")
    out = store.with_name("ledger.jsonl")
    run("ledger", "export", "--out", str(out))
    exported = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(exported) == 2000
    assert sum(line["cost_nano_usd"] for line in exported) == 9_800_000_000
    assert exported == sorted(exported, key=lambda line: line["time_s"])
    parquet = store.with_name("ledger.parquet")
    run("ledger", "export", "--format", "parquet", "--out", str(parquet))
    table = pq.read_table(parquet)
    assert table.num_rows == 2000
    assert table["record_id"].to_pylist() == [line["record_id"] for line in exported]
    assert set(table.column_names) >= exported[0].keys()
    assert run("ledger", "export", "--until", "2001-01-01") == ""


def test_another_policy_for_the_same_requests(tmp_path: Path) -> None:
    """A twentieth went large; a tenth would have, at thirty times the price each."""
    path, chance = tmp_path / "a.sqlite", random.Random(0)
    db = Sqlite(str(path), owns=True)
    migrate(db)
    with db.transaction():
        scored = [chance.random() for _ in range(4000)]
        book(db, [exchanged("large" if s > 0.95 else "small", score=s) for s in scored])
    db.close()
    at = ["--store", str(path), "--config", str(tmp_path / "none.yaml")]

    def found(*what_if: str) -> Any:
        done = CliRunner().invoke(app, ["report", "--json", *what_if, *at])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    asked = ["--what-if", "target_rate=0.1", "--what-if", "threshold=0.9"]
    total, other = found(*asked)["total"], found(*asked)["what_if"]
    assert other["requests"] == 4000
    assert 0.09 < other["would_be_large"] / 4000 < 0.11
    more = other["would_be_large"] - other["large"]
    assert other["would_cost_usd"] - total["cost_usd"] == pytest.approx(more * (0.06 - 0.002))
    assert other["saved_usd"] == pytest.approx(total["saved_usd"] - more * (0.06 - 0.002))
    assert "what_if" not in found()
    shown = CliRunner().invoke(app, ["report", *asked, *at]).stdout
    assert "under target_rate=0.1, threshold=0.9" in shown
    assert "saved would be" in shown
    for wrong, said in (
        ("colour=1", "colour=1: NAME=VALUE, of threshold, target_rate"),
        ("target_rate", "target_rate: NAME=VALUE"),
        ("target_rate=2", "escalation.target_rate: Input should be"),
        ("threshold=none", "threshold: Input should be"),
    ):
        done = CliRunner().invoke(app, ["report", "--what-if", wrong, *at])
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())


def test_what_a_tier_that_answered_nothing_would_cost_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = Sqlite(str(path), owns=True)
    migrate(db)
    with db.transaction():
        book(db, [exchanged("small", score=0.6) for _ in range(100)])
    db.close()
    asked = ["report", "--store", str(path), "--config", str(tmp_path / "none.yaml")]
    asked += ["--what-if", "hold=false", "--what-if", "threshold=0.5"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["what_if"]
    assert told["would_be_large"] > 0
    assert told["would_cost_usd"] is told["saved_usd"] is None
    shown = CliRunner().invoke(app, asked).stdout
    assert "unknown" in shown and "saved would be" not in shown


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_an_export_that_cannot_be_written_says_so_and_harms_nothing(
    store: Path, format_: str
) -> None:
    folder = store.with_name("folder")
    folder.mkdir()
    file = store.with_name("file")
    file.write_text("kept")
    at = ["--store", str(store), "--config", str(store.with_name("none.yaml"))]
    for out in (folder, file / "l", Path("/proc/none/l")):
        done = CliRunner().invoke(
            app, ["ledger", "export", "--format", format_, "--out", str(out), *at]
        )
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert done.stderr.startswith(f"error: {out}: ")
    assert file.read_text() == "kept"
    assert not list(store.parent.glob("*.new"))


def test_an_export_goes_through_a_pipe(store: Path) -> None:
    pipe, read = store.with_name("pipe"), list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.extend(pipe.read_text().splitlines()))
    reader.start()
    at = ["--store", str(store), "--config", str(store.with_name("none.yaml"))]
    done = CliRunner().invoke(app, ["ledger", "export", "--out", str(pipe), *at])
    reader.join()
    assert done.exit_code == 0
    assert len(read) == 2000
    assert pipe.is_fifo()


def test_an_export_pages_through_records_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = Sqlite(str(path), owns=True)
    migrate(db)
    with db.transaction():
        book(db, [exchanged("small")._replace(time_s=1e9) for _ in range(2500)])
    db.close()
    at = ["--store", str(path), "--config", str(tmp_path / "none.yaml")]
    done = CliRunner().invoke(app, ["ledger", "export", *at])
    assert len(done.stdout.splitlines()) == 2500


def test_a_changed_record_is_found(store: Path) -> None:
    db = Sqlite(str(store), owns=True)
    db.run("UPDATE ledger SET cost_nano_usd = cost_nano_usd + 1 WHERE tier = 'large'")
    db.close()
    at = ["--store", str(store), "--config", str(store.with_name("none.yaml"))]
    done = CliRunner().invoke(app, ["ledger", "check", *at])
    assert done.exit_code == 2
    assert "key:k2 day" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["report", "--by", "colour"], "--by: one of key"),
        (["report", "--since", "soon"], "--since: a day as"),
        (["ledger", "export", "--format", "csv"], "jsonl or parquet"),
        (["ledger", "export", "--format", "parquet"], "name a file with --out"),
        (["ledger", "check", "--store", "/nowhere/a.sqlite"], "no accounts there yet"),
    ],
)
def test_a_command_says_what_it_cannot_mean(tmp_path: Path, args: list[str], said: str) -> None:
    more = [] if "--store" in args else ["--store", str(tmp_path / "a")]
    at = [*args, *more, "--config", str(tmp_path / "none.yaml")]
    done = CliRunner().invoke(app, at)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize("since", ["0001-01-01", "0999-12-31", "1000-01-01", "9999-12-31"])
@pytest.mark.parametrize("more", [[], ["--what-if", "threshold=0.3"]], ids=str)
def test_a_report_since_any_day_says_that_day(store: Path, since: str, more: list[str]) -> None:
    at = ["report", "--json", "--since", since, *more, "--store", str(store)]
    done = CliRunner().invoke(app, [*at, "--config", str(store.parent / "none.yaml")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["since"] == since


def test_our_own_cost_is_taken_off() -> None:
    small = summed("small", 1000, exchanged("small"))._replace(
        wasted_nano_usd=NANO // 2, cost_nano_usd=5 * NANO // 2, score_us=3_600_000_000
    )
    held = [Capacity("small", 0, 7 * NANO)]
    found = savings([small._replace(gpu_nano_usd=NANO)], Ratio(), held, Prices(cpu_hour=0.25))
    assert found["cost_usd"] == 2.5
    assert found["of_it_wasted_tries_usd"] == 0.5
    assert found["classifier_usd"] == 0.25
    assert found["idle_gpu_usd"] == 6.0
    assert found["net_cost_usd"] == 8.75
    assert found["saved_usd"] == pytest.approx(60 - 8.75)


def test_what_the_large_tier_answered_after_a_failed_try_costs_its_answer_alone() -> None:
    one = summed("large", 1, exchanged("large"))._replace(
        cost_nano_usd=62_000_000, wasted_nano_usd=2_000_000
    )
    found = savings([one], Ratio(), [], NO_COST)
    assert found["all_large_usd"] == 0.06
    assert found["saved_usd"] == pytest.approx(-0.002)


def test_how_long_large_answers_are_is_said_with_its_interval() -> None:
    both = [(10 + n % 5, 20 + 2 * (n % 5) + n % 3) for n in range(60)]
    found = length_ratio(
        Pairs(
            60,
            sum(s for s, _ in both),
            sum(b for _, b in both),
            sum(s * s for s, _ in both),
            sum(b * b for _, b in both),
            sum(s * b for s, b in both),
        )
    )
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(25 / 12)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.1
    assert length_ratio(Pairs(29, 1, 1, 1, 1, 1)) == Ratio(pairs=29)
    report_ = savings([Sums("", "small", 1, 0, 0, 0, 0, 0, 0, 0, NANO, 0)], found, [], NO_COST)
    assert report_["all_large_usd"] == pytest.approx(25 / 12)
    assert report_["saved_usd_low"] < report_["saved_usd"] < report_["saved_usd_high"]


def test_pairs_and_capacity_are_summed_by_day(tmp_path: Path) -> None:
    db = Sqlite(str(tmp_path / "a.sqlite"), owns=True)
    migrate(db)
    now_s = time.time()
    with db.transaction():
        two = [
            exchanged("large")._replace(pair_small_tokens=s, pair_large_tokens=b)
            for s, b in ((3, 5), (4, 6))
        ]
        book(db, two)
        book(db, two)
        for _ in range(2):
            add_capacity(db, now_s, {"small": (500, 7), "large": (100, 0)})
    today = int(now_s) // DAY_S * DAY_S
    assert pairs(db, today) == Pairs(2, 7, 11, 25, 61, 39)
    assert pairs(db, today + DAY_S) == Pairs(0, 0, 0, 0, 0, 0)
    assert capacity(db, today) == [Capacity("large", 200, 0), Capacity("small", 1000, 14)]
    assert report(db, now_s, None, NO_COST)["total"]["idle_gpu_usd"] == pytest.approx(1.4e-8)
    # Idle GPUs are nobody's: a key's own report leaves them out.
    assert report(db, now_s, None, NO_COST, "k1")["total"]["idle_gpu_usd"] == 0


# -- prices -----------------------------------------------------------------------------------


def upstream(model: str, base_url: str = "https://llm.example.com/v1", **more: float) -> AppConfig:
    engine = {"kind": "upstream", "base_url": base_url, "model": model}
    large = {"model": "big", "engine": engine, **more}
    return AppConfig.model_validate({"large": large, "accounts": {"store": "a.sqlite"}})


def test_a_known_models_price_is_looked_up_and_said_with_its_source() -> None:
    config = upstream("gpt-4o", "https://api.openai.com/v1")
    listed = list_price(config.large)
    assert listed is not None
    assert listed.prompt > 0
    assert listed.completion > listed.prompt
    (said,) = check_prices(config)
    assert "by genai-prices 0." in said


def test_an_operators_price_goes_before_the_list() -> None:
    config = upstream(
        "gpt-4o",
        "https://api.openai.com/v1",
        usd_per_million_prompt_tokens=0,
        usd_per_million_completion_tokens=0,
    )
    assert Price.of(config.large) == Price(0, 0)
    assert check_prices(config) == []


def test_a_model_that_nobody_priced_is_refused_unless_it_is_said_to_be_free() -> None:
    with pytest.raises(ConfigError, match=r"nobody knows what big costs: set large\.usd_per"):
        check_prices(upstream("big-model"))
    free = {"usd_per_million_prompt_tokens": 0.0, "usd_per_million_completion_tokens": 0.0}
    assert check_prices(upstream("big-model", "https://llm.example.com/v1", **free)) == []


def test_a_cap_wants_a_price_of_every_tier_and_a_store() -> None:
    caps = {"accounts": {"store": "a", "usd": {"day": 1}}}
    with pytest.raises(ConfigError, match="nobody knows what smollm2-135m-int4 and smollm2-135m"):
        check_prices(AppConfig.model_validate(caps))
    with pytest.raises(ConfigError, match="caps need a store"):
        check_prices(AppConfig.model_validate({"accounts": {"usd": {"day": 1}}}))


def test_half_a_price_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together: give both"):
        upstream("m", usd_per_million_prompt_tokens=1)


def test_long_prompts_cost_what_they_are_listed_at_from_the_first_token_on() -> None:
    price = Price(NANO, 2 * NANO, steps=((100, 3 * NANO, 4 * NANO),))
    assert price.cost_nano_usd(Usage(100, 10)) == 100 * 1000 + 10 * 2000
    assert price.cost_nano_usd(Usage(101, 10)) == 101 * 3000 + 10 * 4000
    assert price.most_nano_usd(Usage(101, 10), 0) == price.cost_nano_usd(Usage(101, 10))


def test_a_slot_of_a_gpu_costs_its_part_for_as_long_as_it_is_used() -> None:
    engine = {"kind": "simulated", "max_num_seqs": 8}
    small = {"model": "s", "engine": engine, "gpu_share": 0.25, "usd_per_gpu_hour": 3.6}
    price = Price.of(AppConfig.model_validate({"small": small}).small)
    # 3.6 USD an hour, a quarter of the GPU, an eighth of the replica: 31,250 nano-USD a second.
    assert price.time_nano_usd(2.0) == 62_500
    assert price.most_nano_usd(Usage(0, 0), 600.0) == 600 * 31_250
