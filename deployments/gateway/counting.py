"""Asks a tier's engine for tokens, not for an answer: nothing is scored, generated or paid for."""

import asyncio

from deployments.gateway.deciding import tiers_now
from deployments.gateway.hints import Hints
from deployments.gateway.ports import Ports
from deployments.gateway.privacy_gate import PrivacyGate
from deployments.protocol.engine import EngineRequest
from deployments.protocol.token_request import TokenRequest
from deployments.routing.model_names import ModelNames
from deployments.routing.route import counts
from deployments.routing.signals import Asked
from deployments.settings.app import AppConfig, TierName


class Counting:
    """Tokenises with the model that a request names; `auto` with the small tier's."""

    def __init__(self, config: AppConfig, names: ModelNames, ports: Ports) -> None:
        self._config = config
        self._names = names
        self._ports = ports
        self._privacy = PrivacyGate(config)

    async def document(self, request: TokenRequest, hints: Hints) -> bytes:
        """The engine's JSON document. Raises: `ServingError`."""
        name = await self._tier(request, hints)
        served = self._names.served(request.model, name, None)
        limit_s = self._config.gateway.max_request_s
        left_s = min(hints.timeout_s or limit_s, limit_s)
        asked = EngineRequest(
            endpoint="chat" if "messages" in request.body else "completions",
            body={**request.body, "model": request.model},
            request_id=hints.request_id,
            adapter=served if served in self._names.adapters[name] else None,
            local_only=True,  # there is nothing outside that would count
            needs=tuple(sorted(request.needs)),
            media_hosts=tuple(sorted(request.media_hosts)),
            timeout_s=left_s,
            purpose=request.purpose,
        )
        deadline_s = asyncio.get_running_loop().time() + left_s
        answer = await self._ports.tiers[name].open(asked, deadline_s)
        try:
            async for chunk in answer:
                return chunk.data
            return b"{}"
        finally:
            await answer.close()

    async def _tier(self, request: TokenRequest, hints: Hints) -> TierName:
        """The tier that counts: an engine reads an image wherever a chat names it."""
        asked = Asked(
            tier=self._names.tier(request.model),
            local_only=bool(await self._privacy.local_by(request, hints)),
            needs=request.needs,
            media_hosts=request.media_hosts,
        )
        return counts(asked, tiers_now(self._config, self._ports.health))
