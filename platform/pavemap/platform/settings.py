"""Every setting of the program, read from PAVEMAP_* in one place and passed on from there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pavemap.geo.errors import BadInput
from pavemap.geo.roads.road_defaults import ROAD_WIDTH_M, SEGMENT_LENGTH_M
from pavemap.geo.secrets import read_secret
from pavemap.platform.default_server import API_HOST, API_PORT
from pavemap.platform.env_file import read_env_file

ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")
"""RFC 6454, section 6.2, as browsers write it: small letters, no path, not even a slash at the end."""


class Settings(BaseSettings):
    """What an operator can set; the defaults run everything on this machine, under `home`."""

    model_config = SettingsConfigDict(env_prefix="PAVEMAP_", extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path.cwd() / ".pavemap",
        description="Folder of the private database, storage and logs.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host/database; none starts a private one.",
    )
    database_url_file: Path | None = Field(
        default=None,
        description="File with the database's URL, in place of PAVEMAP_DATABASE_URL; new connections "
        "take user and password from it anew.",
    )
    storage_url: str | None = Field(
        default=None,
        description="Folder or s3://bucket/prefix of the imagery; none is `home`/storage.",
    )
    api_host: str = Field(default=API_HOST, description="Address the API listens on.")
    api_port: int = Field(
        default=API_PORT, ge=0, le=65535, description="Port of the API; 0 picks a free one."
    )
    cors_origins: str = Field(
        default="",
        description="Web pages that may read from the API in a browser: their origins with commas "
        "between, as https://maps.example.org, or *. Also those under which a proxy on this machine shows "
        "an API that listens for this machine alone.",
    )
    ray_address: str | None = Field(
        default=None, description="Ray's GCS (host:6379) to join; none starts Ray on this machine."
    )
    ray_jobs_url: str = Field(
        default="http://127.0.0.1:8265", description="Where Ray takes jobs (its dashboard)."
    )
    ray_token_file: Path | None = Field(
        default=None,
        description="File of the token that Ray asks for; none is Ray's own RAY_AUTH_TOKEN or "
        "RAY_AUTH_TOKEN_PATH, or that of the Ray started here.",
    )
    job_backend: Literal["ray", "kubernetes"] = Field(
        default="ray",
        description="Who runs training jobs: a running Ray cluster, or KubeRay with one for each.",
    )
    rayjob_template: Path | None = Field(
        default=None, description="YAML of the RayJob that each training job is made from."
    )
    kubernetes_namespace: str | None = Field(
        default=None, description="Namespace of the RayJobs; none is that of this pod."
    )
    kubernetes_url: str | None = Field(
        default=None, description="The Kubernetes API; none is that of this pod's cluster."
    )
    kubernetes_account: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        description="Folder of the service account's token, ca.crt and namespace.",
    )
    serve_port: int = Field(
        default=8001, ge=0, le=65535, description="Port of Ray Serve; 0 picks a free one."
    )
    max_upload_bytes: int = Field(
        default=64 * 2**30, gt=0, description="Largest orthophoto accepted, in bytes."
    )
    max_network_bytes: int = Field(
        default=2 * 2**30, gt=0, description="Largest road network file accepted, in bytes."
    )
    upload_idle_s: float = Field(
        default=60.0, gt=0.0, description="Silence after which an upload counts as given up."
    )
    readers: int = Field(
        default=2, gt=0, le=64, description="Uploaded rasters checked and converted at once."
    )
    reader_limit_s: float = Field(
        default=1800.0, gt=0.0, description="Time after which the check of one raster is given up."
    )
    segment_length_m: float = Field(
        default=SEGMENT_LENGTH_M, gt=0.0, description="Default length of a segment."
    )
    road_width_m: float = Field(
        default=ROAD_WIDTH_M,
        gt=0.0,
        description="Width of a road whose file states none, in metres.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What pavemap itself logs."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines for people, or one JSON object a line."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_database_url(cls, given: dict[str, Any]) -> dict[str, Any]:
        file = given.get("database_url_file")
        if file and not given.get("database_url"):
            return {**given, "database_url": read_secret(Path(file))}
        return given

    @field_validator("database_url")
    @classmethod
    def _without_line_break(cls, given: SecretStr | None) -> SecretStr | None:
        return given and SecretStr(given.get_secret_value().strip())

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, given: str) -> str:
        wrong = [each for each in _listed(given) if each != "*" and not ORIGIN.fullmatch(each)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no origin; write scheme://host or scheme://host:port"
            )
        return given

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @property
    def web_origins(self) -> list[str]:
        """The origins whose pages may read from the API."""
        return _listed(self.cors_origins)

    @property
    def storage_location(self) -> str:
        """The storage URL in force."""
        return self.storage_url or str(self.home / "storage")

    @property
    def ray_folder(self) -> Path:
        """Folder of the Ray started here, and of the token without which no one may use it."""
        return self.home / "ray"

    @property
    def postgres_folder(self) -> Path:
        """Folder of the private PostgreSQL cluster."""
        return self.home / "postgres"


def _listed(given: str) -> list[str]:
    return [each.strip() for each in given.split(",") if each.strip()]


def load_settings() -> Settings:
    """Return the settings of the environment and of `.env`. Raises BadInput for one that can't be."""
    read_env_file()
    try:
        return Settings()
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = "PAVEMAP_" + "_".join(str(part) for part in first["loc"]).upper()
        raise BadInput(f"{name} can't be {str(first['input'])[:100]!r}: {first['msg']}") from exc
