"""The journal replays to identical decisions and answers why and why not."""

from __future__ import annotations

import json
import re
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from autoscale.core import decide
from autoscale.explain import entry_at, explanation, why_not
from autoscale.journal import Journal, _append, as_line
from autoscale.journal_entries import Entry, JournalError, read_journal
from autoscale.observation import Observation
from autoscale.parameters import Parameters

PARAMETERS = Parameters.from_kwargs(
    {
        "slots_per_replica": 10,
        "service_prior_s": 5.0,
        "replicas_per_gpu": 2,
        "hold_down_s": 60.0,
        "schedule": [{"days": "mon-fri", "from": "08:00", "to": "18:30", "min_replicas": 2}],
    }
)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes at 6 rps and a step to 14 rps, with a slow sine, one line every tick."""
    path = tmp_path_factory.mktemp("journal") / "small.jsonl"
    state, replicas, done, lines = None, 4, 0.0, []
    for second in range(900):
        rate = 6.0 if second < 600 else 14.0
        done += rate
        busy = min(10.0 * replicas, rate * 5.0 + (second * 7 % 11) / 3.0)
        seen = Observation(
            time_s=1.7e9 + second,
            total_requests=busy,
            queued=0.0,
            current_replicas=replicas,
            target_replicas=replicas,
            min_replicas=1,
            max_replicas=30,
            engine_waiting=0.0,
            engine_running=busy,
            completed_total=done,
            reporting_replicas=replicas,
        )
        decision = decide(seen, PARAMETERS, state)
        lines.append(as_line("Small", seen, state, decision, PARAMETERS))
        state, replicas = decision.state, decision.replicas
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_recorded_decision_replays_to_the_same(journal: Path) -> None:
    entries = list(read_journal(journal))
    assert len(entries) == 900
    assert all(entry.replays() for entry in entries)


def test_a_tampered_record_does_not_replay(journal: Path) -> None:
    entry = entry_at(journal, None, None)
    assert not replace(entry, replicas=entry.replicas + 2).replays()
    assert not replace(entry, constraint="idle").replays()


def test_the_settings_survive_the_journal(journal: Path) -> None:
    assert entry_at(journal, None, "Small").parameters == PARAMETERS


def settled(journal: Path) -> Entry:
    return entry_at(journal, 1.7e9 + 590, "Small")


def test_the_explanation_names_the_terms_and_a_true_counterfactual(journal: Path) -> None:
    text = " ".join(explanation(settled(journal)))
    assert re.search(r"Demand 6\.0\d rps x [45]\.\d\d s", text)
    assert "% more traffic: " in text


def test_why_not_fewer_names_the_late_share(journal: Path) -> None:
    assert "P(wait > 2 s) would be" in " ".join(why_not(settled(journal), 2))


def test_why_not_more_says_it_is_not_needed(journal: Path) -> None:
    assert why_not(settled(journal), 8) == [
        "it would work, but fewer replicas meet the objective for less"
    ]


def test_why_not_a_part_filled_gpu(journal: Path) -> None:
    assert "7 leaves a paid GPU part empty; 8 costs the same" in why_not(settled(journal), 7)


def test_why_not_beyond_the_bounds(journal: Path) -> None:
    assert "the bounds are 1 to 30" in why_not(settled(journal), 40)


def test_a_line_cut_short_by_a_crash_is_left_out_but_not_one_in_the_middle(
    journal: Path, tmp_path: Path
) -> None:
    lines = journal.read_text(encoding="utf-8").splitlines()[:3]
    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join([*lines, lines[0][:50]]), encoding="utf-8")
    assert len(list(read_journal(cut))) == 3
    cut.write_text("\n".join([lines[0][:50], *lines]), encoding="utf-8")
    with pytest.raises(JournalError, match="line 1: not JSON"):
        list(read_journal(cut))


@pytest.mark.parametrize("line", ["[" * 9_999, "9" * 5_000, "[]", '{"state": []}', '{"state": 1}'])
def test_an_odd_line_is_named(journal: Path, tmp_path: Path, line: str) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text("\n".join([line, journal.read_text(encoding="utf-8")]), encoding="utf-8")
    with pytest.raises(JournalError, match="line 1: "):
        list(read_journal(odd))
    odd.write_bytes(b"\xff\xfe")
    for path in (odd, tmp_path):
        with pytest.raises(JournalError, match="cannot be read"):
            list(read_journal(path))


def test_no_journal_and_no_entry_are_said(journal: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="set journal_path"):
        entry_at(tmp_path / "none.jsonl", None, None)
    with pytest.raises(JournalError, match=r"the first decision is of \d{4}-"):
        entry_at(journal, 1.0, None)
    with pytest.raises(JournalError, match="no deployment 'Large'; known are "):
        entry_at(journal, None, "Large")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(JournalError, match="no decision recorded yet"):
        entry_at(tmp_path / "empty.jsonl", None, None)


def test_a_shadow_decision_says_that_it_was_not_acted_on(journal: Path) -> None:
    entry = entry_at(journal, None, None)
    shadow = replace(entry, parameters=replace(entry.parameters, shadow=True))
    assert "Shadow mode: this was not acted on." in explanation(shadow)
    assert "Shadow" not in " ".join(explanation(entry))


def test_the_journal_writes_changes_and_one_line_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "small.jsonl"
    writer = Journal(str(path))
    for second in range(130):
        target = 4 if second < 90 else 5
        seen = Observation(1e6 + second, 1.0, 0.0, 4, target, 1, 9)
        decision = replace(decide(seen, Parameters(), None), replicas=target)
        writer.record("Small", seen, None, decision, Parameters())
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and _times(path) != [0, 60, 90]:
        time.sleep(0.01)
    assert _times(path) == [0, 60, 90]


def _times(path: Path) -> list[int]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [round(json.loads(line)["observation"]["time_s"] - 1e6) for line in lines]


def test_a_disk_that_refuses_never_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    writer = Journal(str(tmp_path / "file" / "below.jsonl"))
    seen = Observation(1e6, 1.0, 0.0, 4, 4, 1, 9)
    writer.record("Small", seen, None, decide(seen, Parameters(), None), Parameters())


def test_a_full_journal_is_rotated_and_the_older_file_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoscale.journal.ROTATE_BYTES", 10)
    path = tmp_path / "small.jsonl"
    for line in (b"first line\n", b"second line\n", b"third line\n"):
        _append(path, line)
    assert path.read_bytes() == b"third line\n"
    assert path.with_name("small.jsonl.1").read_bytes() == b"second line\n"


def test_a_line_of_which_the_disk_took_half_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl"
    _append(path, b"first line\n")
    most, ever = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15, ever))  # as a disk that is nearly full
    try:
        with pytest.raises(OSError, match="half a line"):
            _append(path, b"second line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, ever))
    _append(path, b"third line\n")
    assert path.read_bytes() == b"first line\nthird line\n"
