"""The `smallfirst` command: each verb is a module of `deployments.commands`."""

import typer

import autoscale.cli
import classifier.cli
import deployments.commands.audit
import deployments.commands.k8s
import deployments.commands.keys
import deployments.commands.ledger
from deployments.commands import answer_check
from deployments.commands.client import chat, route, status
from deployments.commands.doctor import doctor
from deployments.commands.finite_numbers import FiniteNumbers
from deployments.commands.plan import plan, quantize
from deployments.commands.report import report
from deployments.commands.serve import serve
from deployments.commands.swap import apply, swap

app = typer.Typer(
    cls=FiniteNumbers,
    help="Small INT4 models first, the large model only where it pays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for verb in (serve, route, chat, status, plan, quantize, swap, apply, doctor, report):
    app.command()(verb)
for name, group in {
    "keys": deployments.commands.keys.app,
    "audit": deployments.commands.audit.app,
    "ledger": deployments.commands.ledger.app,
    "autoscale": autoscale.cli.app,
    "classifier": classifier.cli.app,
    "k8s": deployments.commands.k8s.app,
    "answer-check": answer_check.app,
}.items():
    app.add_typer(group, name=name, cls=FiniteNumbers)


def main() -> None:
    """Entry point of the `smallfirst` command."""
    app()
