"""Asks the privacy policy about a request before it is routed."""

import asyncio

from deployments.gateway.hints import Hints
from deployments.privacy.payload import is_short
from deployments.privacy.policy import Policy, refusal
from deployments.protocol.openai_request import ParsedRequest
from deployments.protocol.token_request import TokenRequest
from deployments.settings.app import AppConfig


class PrivacyGate:
    """The policy as the gateway needs it: nothing is read where nothing could come of it."""

    def __init__(self, config: AppConfig) -> None:
        self._everything_local = config.local_only
        self._policy = Policy(config.privacy)
        self._way_out = any(tier.leads_out for tier in config.tiers.values())

    async def local_by(
        self, request: ParsedRequest | TokenRequest, hints: Hints
    ) -> tuple[str, ...]:
        """Why the request must stay: `config`, `header`, `key`, `tenant`, `model`, or kinds of what
        it holds; empty: it may leave.

        Raises: `PrivateDataRefused`.
        """
        by = ("config",) * self._everything_local + ("header",) * hints.local_only
        way_out = self._way_out or request.media_hosts
        if not self._policy.refuses and (by or not way_out):
            return by
        args = (request.body, request.model, hints.subject)
        if is_short(request.body):
            verdict = self._policy.judge(*args)
        else:  # every open stream would wait for it
            verdict = await asyncio.to_thread(self._policy.judge, *args)
        if verdict.refused_by:
            raise refusal(verdict.refused_by)
        return by + verdict.local_by
