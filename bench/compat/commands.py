"""What the command-line kits do once against an endpoint, as `kits.py` does with libraries.

Runs in an environment that holds one kit, not this project: `python commands.py NAME URL MODEL`
prints a line of JSON for each check.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = Path(sys.executable).parent
QUESTIONS = ("What is the capital of France?", "Say hello.")
# A task of lm-eval's that needs no hub; JSON is YAML.
TASK: dict[str, Any] = {
    "task": "local_questions",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"max_gen_toks": 16, "until": ["\n\n"]},
    "metric_list": [{"metric": "exact_match"}],
}


def lm_eval(url: str, model: str, folder: Path) -> Iterator[tuple[str, str]]:
    """A local task, through both of OpenAI's older endpoints."""
    data = folder / "questions.jsonl"
    data.write_text("\n".join(json.dumps({"question": q, "answer": "-"}) for q in QUESTIONS))
    task = TASK | {"dataset_kwargs": {"data_files": {"test": str(data)}}}
    (folder / "task.yaml").write_text(json.dumps(task))
    for check, kind, path, more in (
        ("chat", "local-chat-completions", "chat/completions", ["--apply_chat_template"]),
        ("completions", "local-completions", "completions", []),
    ):
        args = f"model={model},base_url={url}/v1/{path},tokenizer_backend=None"
        out = folder / check
        failed = ran(
            "lm_eval", "run", "--model", kind, "--model_args", args, "--tasks", TASK["task"],
            "--include_path", str(folder), "--output_path", str(out), "--log_samples", *more,
        )  # fmt: skip
        samples = [json.loads(line) for file in out.rglob("samples_*.jsonl")
                   for line in file.read_text().splitlines()]  # fmt: skip
        answered = [sample for sample in samples if sample["resps"][0][0]]
        if not failed and len(answered) != len(QUESTIONS):
            failed = f"{len(answered)} of {len(QUESTIONS)} questions were answered"
        yield check, failed


def guidellm(url: str, model: str, folder: Path) -> Iterator[tuple[str, str]]:
    """A benchmark of two requests, whole and streamed."""
    data = folder / "questions.csv"
    data.write_text("\n".join(["prompt", *QUESTIONS]))
    for check, path, stream in (
        ("chat", "/v1/chat/completions", False),
        ("chat stream", "/v1/chat/completions", True),
        ("completions stream", "/v1/completions", True),
        ("responses stream", "/v1/responses", True),
    ):
        backend = f"kind=openai_http,target={url},model={model},request_format={path}"
        out = folder / f"{check}.json"
        failed = ran(
            "guidellm", "run", "--backend", f"{backend},stream={str(stream).lower()},max_tokens=16",
            "--profile", "kind=synchronous", "--data", f"kind=csv_file,path={data}",
            "--constraint", f"kind=max_requests,count={len(QUESTIONS)}",
            "--output", f"kind=json,path={out}", "--disable-console",
        )  # fmt: skip
        if not failed:
            (benchmark,) = json.loads(out.read_text())["benchmarks"]
            answered = benchmark["metrics"]["request_totals"]["successful"]
            if answered != len(QUESTIONS):
                failed = f"{answered} of {len(QUESTIONS)} questions were answered"
        yield check, failed


def ran(*line: str) -> str:
    """Nothing, or the last line of what a command said before it failed."""
    done = subprocess.run(
        [str(PROGRAMS / line[0]), *line[1:]], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1][:200]


KITS = {kit.__name__: kit for kit in (guidellm, lm_eval)}


def main(name: str, url: str, model: str) -> None:
    """Print what became of each check: nothing, or why it failed in one line."""
    with tempfile.TemporaryDirectory() as folder:
        for check, failed in KITS[name](url, model, Path(folder)):
            print(json.dumps({"check": check, "failed": failed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
