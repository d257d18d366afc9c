"""Artifact on the Prefect server that shows the overview of what has landed."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from deployments.landing.rules import LandingRules
from deployments.server.facility_defaults import profile_name
from flows.run_links import AD_HOC as BY_HAND
from tasks.artifacts import artifact_key

logger = logging.getLogger(__name__)

NOT_FOUND = 404

SEARCH_PAUSE_S = 60.0
"""Pause before deployments that the server does not have are searched again."""


class OverviewArtifact:
    """One artifact of a watcher, made at the first text and changed by the later ones; its key names the results root."""

    def __init__(self, client: SyncPrefectClient, rules: LandingRules) -> None:
        self._client, self._rules = client, rules
        self._key = artifact_key(f"landing {rules.results_root}")
        self._artifact: UUID | None = None
        self._forms: dict[Path, str] = {}
        self._search_at = 0.0

    @property
    def ui_url(self) -> str:
        """Address of the UI."""
        settings = get_current_settings()
        return str(settings.ui_url or settings.api.url or "").removesuffix("/api").rstrip("/")

    @property
    def forms(self) -> Mapping[Path, str]:
        """Deployment for runs by hand of each landing folder: that of its profile, or the common one.

        Those that are missing are searched again: the set-up may come after the watcher.
        """
        if len(self._forms) < len(self._rules.folders) and time.monotonic() >= self._search_at:
            self._search_at = time.monotonic() + SEARCH_PAUSE_S
            flow = BY_HAND.partition("/")[0]
            profiles = self._rules.profiles
            names = {
                folder: f"{flow}/{profile_name(folder, profiles)}" if folder in profiles else BY_HAND
                for folder in self._rules.folders
            }
            found = {name: self._find(name) for name in set(names.values())}
            self._forms |= {folder: str(found[name]) for folder, name in names.items() if found[name]}
        return self._forms

    def show(self, text: str) -> bool:
        """Show a text in place of the one before; return whether the server took it."""
        try:
            self._write(text)
        except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
            logger.debug("the overview of what has landed is not shown: %s", error)
            return False
        return True

    def _write(self, text: str) -> None:
        if self._artifact is not None:
            try:
                # The client's own method also stores an event with the whole text, at each change.
                body = ArtifactUpdate(data=text).model_dump(mode="json", exclude_unset=True)
                self._client.request(
                    "PATCH", "/artifacts/{id}", path_params={"id": self._artifact}, json=body
                )
            except PrefectHTTPStatusError as error:
                if error.response.status_code != NOT_FOUND:
                    raise
                # The server lost its database, and has other deployments now.
                self._artifact, self._forms, self._search_at = None, {}, 0.0
        if self._artifact is None:
            new = ArtifactCreate(key=self._key, type="markdown", description="What has landed", data=text)
            self._artifact = self._client.create_artifact(new).id

    def _find(self, name: str) -> Any:
        try:
            return self._client.read_deployment_by_name(name).id
        except (ObjectNotFound, httpx.HTTPError, PrefectHTTPStatusError, OSError):
            return None
