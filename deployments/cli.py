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
from deployments.commands.plan import plan, quantize
from deployments.commands.report import report
from deployments.commands.serve import serve
from deployments.commands.swap import apply, swap

app = typer.Typer(
    help="Small INT4 models first, the large model only where it pays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for verb in (serve, route, chat, status, plan, quantize, swap, apply, doctor, report):
    app.command()(verb)
app.add_typer(deployments.commands.keys.app, name="keys")
app.add_typer(deployments.commands.audit.app, name="audit")
app.add_typer(deployments.commands.ledger.app, name="ledger")
app.add_typer(autoscale.cli.app, name="autoscale")
app.add_typer(classifier.cli.app, name="classifier")
app.add_typer(deployments.commands.k8s.app, name="k8s")
app.add_typer(answer_check.app, name="answer-check")


def main() -> None:
    """Entry point of the `smallfirst` command."""
    app()
