"""Microsoft Presidio as a detector beside ours: names and places, by a language model of its own.

An extra (`pip install smallfirst[presidio]`, and a spaCy model): it takes milliseconds to seconds.
"""

from collections.abc import Iterator, Sequence

from deployments.settings.config_mistake import ConfigError

# Presidio's own default.
MODEL = "en_core_web_lg"


class PresidioEntities:
    """The entities that a policy asks Presidio for; each is a kind of its name."""

    def __init__(self, entities: Sequence[str]) -> None:
        """Raises: `ConfigError` where Presidio is missing or does not know an entity."""
        try:
            import spacy.util
            from presidio_analyzer import AnalyzerEngine
        except ImportError:
            raise ConfigError(
                "privacy.presidio: presidio-analyzer is not installed: "
                "pip install 'smallfirst[presidio]'"
            ) from None
        # Presidio would fetch it from the internet.
        if not spacy.util.is_package(MODEL):
            raise ConfigError(
                f"privacy.presidio: its model {MODEL} is not installed: see spaCy's docs"
            )
        self._engine = AnalyzerEngine()
        self._entities = list(entities)
        known = set(self._engine.get_supported_entities(language="en"))
        if unknown := sorted(set(entities) - known):
            raise ConfigError(f"privacy.presidio: {unknown[0]!r} is no entity of Presidio's")

    def __call__(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Kind, start and end of every entity in a folded text."""
        for found in self._engine.analyze(text=text, entities=self._entities, language="en"):
            yield found.entity_type, found.start, found.end
