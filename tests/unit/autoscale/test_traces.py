"""Every trace format is read, and every kind of bad input is refused with its line."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from autoscale.simulation.arrivals import Cut, make_workload, mean_rate_rps
from autoscale.simulation.prometheus import query_week
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.traces import RateTrace, RequestTrace, TraceError
from autoscale.simulation.workload import Profile, with_spikes

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
SERVEGEN = "t_s,client,rate_rps,cv,pattern,p1,p2\n"


def written(tmp_path: Path, text: str | bytes, name: str = "trace.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


PROMETHEUS = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {"metric": {}, "values": [[1.7e9, "2"], [1.7e9 + 60, "3"]]},
            {"metric": {}, "values": [[1.7e9, "1"], [1.7e9 + 60, "NaN"]]},
        ],
    },
}

REQUESTS = {
    "azure": AZURE + "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:05.0319600,3180,8\n",
    "azure-offset": AZURE
    + "2024-05-10 00:00:00.009930+00:00,4808,10\n2024-05-10 00:00:01.062+00:00,3180,8\n",
    "burstgpt": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,4808,10,4818,API\n6.052,ChatGPT,3180,8,3188,API\n",
    "mooncake": '{"timestamp": 1000, "input_length": 4808, "output_length": 10, "hash_ids": [1]}\n'
    '{"timestamp": 2052, "input_length": 3180, "output_length": 8, "hash_ids": []}\n',
    "ledger": '{"time_s": 1e9, "tier": "small", "prompt_tokens": 4808, "completion_tokens": 10}\n'
    '{"time_s": 1000000001.052, "tier": "small", "prompt_tokens": 3180, "completion_tokens": 8}\n',
}


@pytest.mark.parametrize("text", REQUESTS.values(), ids=REQUESTS.keys())
def test_request_formats_give_times_and_tokens(tmp_path: Path, text: str) -> None:
    trace = read_trace(written(tmp_path, text))
    assert isinstance(trace, RequestTrace)
    assert trace.time_s.tolist() == pytest.approx([0.0, 1.052], abs=1e-3)
    assert trace.prompt_tokens.tolist() == [4808, 3180]
    assert trace.completion_tokens.tolist() == [10, 8]


RATES = {
    "azure-rate": ("t_s,req_per_min_mid,req_per_min_lo,req_per_min_hi\n0,120,1,2\n60,240,1,2\n", 3),
    "servegen": (SERVEGEN + "0,a,1,2.0,Gamma,1,1\n0,b,1,1.0,,,\n600,a,3,2.0,,,\n600,b,1,,,,\n", 3),
    "prometheus": (json.dumps(PROMETHEUS), 3),
    "prometheus-csv": ("timestamp,rate_rps\n1700000000,2\n1700000060,4\n", 3),
}


@pytest.mark.parametrize(("text", "rate"), RATES.values(), ids=RATES.keys())
def test_rate_formats_give_the_mean_rate(tmp_path: Path, text: str, rate: float) -> None:
    trace = read_trace(written(tmp_path, text))
    assert isinstance(trace, RateTrace)
    assert mean_rate_rps(trace) == pytest.approx(rate)


def test_a_byte_order_mark_and_gzip_do_not_matter(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf" + REQUESTS["azure"].encode()
    trace = read_trace(written(tmp_path, gzip.compress(raw), "trace.csv.gz"))
    assert trace.name == "trace"
    assert len(trace.time_s) == 2


BAD = {
    "empty": ("", "the file is empty"),
    "header only": (AZURE, "no request"),
    "unknown columns": ("a,b\n1,2\n", "line 1: columns .* fit no known format"),
    "missing column": (
        "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,1\n",
        "line 1: .* lack Generated",
    ),
    "bad number": (AZURE + "2023-11-16 18:17:03,1,2\n2023-11-16 18:17:04,x,2\n", "line 3: Context"),
    "short row": (AZURE + "2023-11-16 18:17:03,1\n", "line 2: GeneratedTokens"),
    "long row": (AZURE + "2023-11-16 18:17:03,1,2,000\n", "line 2: more cells than columns"),
    "negative": (AZURE + "2023-11-16 18:17:03,-1,2\n", "line 2: .*negative"),
    "not finite": (AZURE + "2023-11-16 18:17:03,nan,2\n", "line 2"),
    "bad time": (AZURE + "yesterday,1,2\n", "line 2: TIMESTAMP='yesterday' is not a time"),
    "bad json": ("{oops\n", "line 1: not JSON"),
    "json without tokens": ('{"time_s": 1}\n', "line 1: need time_s"),
    "json array": ("[1, 2]", "not a Prometheus range answer"),
    "prometheus error": ('{"status": "error", "error": "x"}', "answered an error"),
    "negative rate": (
        '[{"metric": {}, "values": [[1, "-2"], [61, "3"]]}]',
        "a rate is negative",
    ),
    "duplicate rate": (SERVEGEN + "0,a,1,1,,,\n0,a,1,1,,,\n", "line 3: time 0 appears twice"),
    "prometheus without a time": ('[{"values": [[NaN, "1"], [61, "3"]]}]', "not a Prometheus"),
    "prometheus without an end": ('[{"values": [[Infinity, "1"]]}]', "not a Prometheus"),
    "deep": ("[" * 9_999, "line 1: not JSON"),
    "a long number": ("9" * 5_000 + "\n", "fit no known format"),
    "a long number in JSON": ('{"time_s": ' + "9" * 5_000 + "}", "line 1: not JSON"),
    "thousands": ("timestamp,rate_rps\n0,1,000\n", "line 2: more cells than columns"),
    "no samples": ('{"data": {"result": []}}', "no sample"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_trace(written(tmp_path, text))


def test_a_header_beyond_the_limit_of_a_field_is_refused(tmp_path: Path) -> None:
    known = csv.field_size_limit(1_000)
    try:
        with pytest.raises(TraceError, match="line 1: field larger"):
            read_trace(written(tmp_path, '"' + "a" * 2_000 + "\n"))
    finally:
        csv.field_size_limit(known)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("text", REQUESTS.values(), ids=REQUESTS.keys())
def test_lines_end_as_on_any_system(tmp_path: Path, text: str, end: str) -> None:
    plain = read_trace(written(tmp_path, text))
    ended = read_trace(written(tmp_path, text.replace("\n", end).encode()))
    assert isinstance(plain, RequestTrace) and isinstance(ended, RequestTrace)
    assert ended.time_s.tolist() == plain.time_s.tolist()


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(written(tmp_path, b"\x1f\x8b broken"))
    with pytest.raises(TraceError, match="not UTF-8 text at byte 0"):
        read_trace(written(tmp_path, b"\xff\xfe\x00"))


def test_unsorted_times_are_sorted_and_said(tmp_path: Path) -> None:
    text = AZURE + "2023-11-16 18:17:05,5,1\n2023-11-16 18:17:03,3,1\n2023-11-16 18:17:03,4,1\n"
    trace = read_trace(written(tmp_path, text))
    assert isinstance(trace, RequestTrace)
    assert trace.prompt_tokens.tolist() == [3, 4, 5]
    assert "1 timestamps were out of order, the first in line 3" in trace.notes[0]


def test_unsorted_rates_are_sorted_and_said(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "timestamp,rate_rps\n0,1\n120,3\n60,2\n"))
    assert isinstance(trace, RateTrace)
    assert trace.rate_rps.tolist() == [1, 2, 3]
    assert "the first near line 4" in trace.notes[0]
    clients_apart = SERVEGEN + "600,a,1,1,,,\n1200,a,1,1,,,\n600,b,1,1,,,\n1200,b,1,1,,,\n"
    assert read_trace(written(tmp_path, clients_apart)).notes == ()


def test_gaps_are_said(tmp_path: Path) -> None:
    text = "timestamp,rate_rps\n0,1\n60,1\n120,1\n7200,1\n"
    assert "gap of 7080 s before line 5" in read_trace(written(tmp_path, text)).notes[0]
    far = AZURE + "".join(f"{3600 * 24 * (i == 200) + i},1,1\n" for i in range(201))
    assert "no request for 24.0 h before line 202" in read_trace(written(tmp_path, far)).notes[0]


def test_offsets_of_time_zones_count(tmp_path: Path) -> None:
    text = AZURE + "2024-05-10 02:00:00.5+02:00,1,1\n2024-05-10 00:00:01Z,1,1\n"
    trace = read_trace(written(tmp_path, text))
    assert trace.time_s.tolist() == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize("cv", [1.0, 4.0])
def test_made_arrivals_have_the_rate_and_burstiness_of_the_trace(tmp_path: Path, cv: float) -> None:
    rows = "".join(f"{600 * i},a,20,{cv},,,\n" for i in range(24))
    trace = read_trace(written(tmp_path, SERVEGEN + rows))
    load = make_workload(trace, Cut(), Profile(), seed=1)
    gaps = np.diff(load.arrival_s)
    assert load.rate_rps == pytest.approx(20.0, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.15)
    again = make_workload(trace, Cut(), Profile(), seed=1)
    np.testing.assert_array_equal(load.arrival_s, again.arrival_s)


def test_a_cut_without_requests_is_refused(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "timestamp,rate_rps\n0,0\n60,0\n"))
    with pytest.raises(TraceError, match="no request from hour 0 on"):
        make_workload(trace, Cut(), Profile(), seed=1)


@pytest.mark.parametrize(("scale", "count"), [(0.5, 500), (1.0, 1000), (2.5, 2500)])
def test_requests_are_thinned_or_repeated_to_scale(
    tmp_path: Path, scale: float, count: int
) -> None:
    rows = "".join(
        json.dumps({"time_s": i, "prompt_tokens": 400, "completion_tokens": 40}) + "\n"
        for i in range(1000)
    )
    trace = read_trace(written(tmp_path, rows))
    load = make_workload(trace, Cut(scale=scale), Profile(), seed=1)
    assert len(load.arrival_s) == pytest.approx(count, rel=0.1)
    assert load.work_s[0] == pytest.approx(400 / 4000 + 40 / 40)
    assert (np.diff(load.arrival_s) >= 0).all()


def test_spikes_triple_the_rate_inside_only(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "timestamp,rate_rps\n0,10\n3600,10\n"))
    load = with_spikes(make_workload(trace, Cut(), Profile(), 1), 3, (1000.0,), 600.0)
    inside = ((load.arrival_s >= 1000) & (load.arrival_s < 1600)).sum()
    assert inside == pytest.approx(18_000, rel=0.05)
    assert (load.arrival_s < 999).sum() == pytest.approx(9990, rel=0.05)


def served(status: int, body: object) -> httpx.Client:
    answer = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    return httpx.Client(transport=answer)


def test_prometheus_is_asked_for_a_range() -> None:
    trace = query_week("http://prom:9090/", "sum(rate(x[1m]))", served(200, PROMETHEUS))
    assert trace.rate_rps.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [(500, {}, "HTTP 500"), (200, {"status": "error"}, "query failed"), (200, [], "query failed")],
)
def test_prometheus_failures_are_said(status: int, body: object, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        query_week("http://prom:9090", "up", served(status, body))
