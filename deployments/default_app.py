"""The application with its default settings: `serve build deployments.default_app:app`.

`serve build` takes an application, not a builder; everything else uses `deployments.app:build`.
"""

from deployments.app import build
from deployments.settings.app import AppConfig

app = build(AppConfig())
