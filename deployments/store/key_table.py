"""The API keys in the store: everything but their secrets."""

from deployments.settings.api_key import ApiKey
from deployments.store.database import Database


def all_keys(db: Database) -> dict[str, ApiKey]:
    """Every key that was ever made, by its public id."""
    rows = db.run("SELECT key_id, record FROM api_keys ORDER BY key_id")
    return {key_id: ApiKey.model_validate_json(record) for key_id, record in rows}


def put_key(db: Database, key: ApiKey) -> None:
    """Keep a key, new or changed."""
    db.run(
        """INSERT INTO api_keys (key_id, record) VALUES (?, ?)
        ON CONFLICT (key_id) DO UPDATE SET record = excluded.record""",
        [key.key_id, key.model_dump_json()],
    )
