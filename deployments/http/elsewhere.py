"""What clients ask for that is not served here, and where it is: the end of a 404's sentence."""

EMBEDDINGS = (
    "Embeddings, reranking and scores are not served here: put an app for them beside this one "
    "(docs/embeddings.md)."
)
STATELESS = "Nothing is stored here that could be fetched, cancelled or deleted by its id."
MEDIA = "The models here read text, some of them images, and write text."
TRAINING = "Files, batches and training are not served here."

# By the first part of the path behind its version.
_ELSEWHERE = {
    **dict.fromkeys(("embeddings", "embed", "rerank", "score", "pooling", "classify"), EMBEDDINGS),
    **dict.fromkeys(("responses", "conversations", "threads", "assistants"), STATELESS),
    **dict.fromkeys(("audio", "images", "videos", "realtime"), MEDIA),
    **dict.fromkeys(("files", "uploads", "batches", "fine_tuning", "vector_stores"), TRAINING),
}
_VERSIONS = ("v1", "v2")


def elsewhere(path: str) -> list[str]:
    """The sentence for an unknown path, if there is one to say."""
    parts = [part for part in path.split("/") if part][:3]
    if parts[:1] and parts[0] in _VERSIONS:
        parts = parts[1:]
    if parts[:2] == ["messages", "batches"]:
        return [TRAINING]
    return [_ELSEWHERE[parts[0]]] if parts and parts[0] in _ELSEWHERE else []
