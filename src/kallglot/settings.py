"""Settings: the environment (``KALLGLOT_…``) over ``kallglot.toml`` in the working folder over the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KALLGLOT_", toml_file="kallglot.toml", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data_dir: Path = Path("var")
    database_url: str | None = None
    """``postgresql://user:password@host/database`` or ``sqlite:///path``; SQLite in the data folder when unset."""
    public_url: str | None = None
    """The origin that clients see, ``https://voice.example.com``; the listening address when unset."""
    public_stream_url: str | None = None
    """The origin of ``stream.url``, ``wss://…``; made from ``public_url`` when unset."""
    bootstrap_api_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    """Encrypts stored secrets and signs stream tokens; a file in the data folder when unset."""
    stripe_webhook_secret: SecretStr | None = None
    """The signing secret of the webhook endpoint at Stripe; without it there is none here."""
    stripe_plans: str = ""
    """``price_x=pro,price_y=starter``."""
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    access_log: bool = True
    """A line for each request."""
    metrics_token: SecretStr | None = None
    """What ``/metrics`` asks for as a bearer token; it is open when unset."""
    otlp_endpoint: str | None = None
    """Where traces go, over OTLP/HTTP: ``http://collector:4318``; there are none when unset."""
    analysis_profiles: Path | None = None
    """A TOML or JSON file of profiles beside the built-in ones (``docs/analysis.md``)."""
    llm_url: str | None = None
    """A server of the chat completions API, ``https://api.openai.com/v1``: it makes summaries, sentiment and keywords.
    They are made by counting words when unset."""
    llm_api_key: SecretStr | None = None
    llm_model: str | None = Field(default=None, validate_default=True)
    llm_timeout_seconds: float = Field(default=120.0, gt=0)
    """For one answer."""
    webhook_allowed_networks: str = ""
    scripted_engines: Path | None = None
    """A JSON file of scripted engines (``docs/scripted-engines.md``), for tests and load runs without models."""
    engines: Path | None = None
    """A TOML file of engines elsewhere, and of which are asked first (``docs/engines.md``)."""
    recognition_processes: int = Field(default=0, ge=0, le=64)
    """Child processes that recognise speech; 0 = one a core."""
    recording_store: str | None = None
    """Where finished recordings lie: ``s3://bucket/prefix``, ``gs://…``, ``az://…``, ``file:///…``.

    In the data folder when unset."""
    recording_retention_days: float = Field(default=30.0, gt=0)
    transcript_retention_days: float | None = Field(default=None, gt=0)
    """From the end of the session, unless the organisation says otherwise; for ever when unset."""
    event_retention_days: float = Field(default=30.0, gt=0)
    models_dir: Path | None = None
    """Downloaded models; ``models`` in the data folder when unset. :attr:`models_folder` is either."""
    models_mirror: str | None = None
    """Where ``kallglot models pull`` fetches from instead: each file under its original's host and path."""
    twilio_api_url: str | None = None
    """In place of https://api.twilio.com: a proxy, or a stand-in."""
    telnyx_api_url: str | None = None
    """In place of https://api.telnyx.com/v2."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    max_connections_per_session: int = Field(default=16, ge=1)
    reconnect_seconds: float = Field(default=300.0, gt=0)
    never_connected_seconds: float = Field(default=1800.0, gt=0)
    idle_seconds: float = Field(default=1800.0, gt=0)
    overload_lag_ms: float = Field(default=60.0, gt=0)
    """New sessions are refused with 503 while the event loop's ticks come later than this, one in twenty of them."""
    overload_busy: float = Field(default=0.9, gt=0, le=1)
    """The same while the event loop is busy for more than this share of its time."""

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in LEVELS:
            raise ValueError(f"expected one of {', '.join(LEVELS)}, got {value!r}")
        return value.lower()

    @field_validator("otlp_endpoint")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://unset")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("expected an address like http://collector:4318")
        return value.rstrip("/") if value else None

    @field_validator("llm_url")
    @classmethod
    def _http_server(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://unset")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("expected an address like https://api.openai.com/v1")
        return value.rstrip("/") if value else None

    @field_validator("models_mirror")
    @classmethod
    def _mirror_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://unset")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("expected an address like https://mirror.example.com/models")
        return value.rstrip("/") if value else None

    @field_validator("llm_model")
    @classmethod
    def _model_is_named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("llm_url") is not None and not value:
            raise ValueError("expected the name of the model that KALLGLOT_LLM_URL is asked for")
        return value or None

    @field_validator("public_url", "public_stream_url")
    @classmethod
    def _origin_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
            raise ValueError(f"expected an origin like https://voice.example.com, got {value!r}")
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def base_url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def stream_base_url(self) -> str:
        return self.public_stream_url or self.base_url.replace("http", "ws", 1)

    @property
    def models_folder(self) -> Path:
        return self.models_dir or self.data_dir / "models"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'kallglot.sqlite3'}"
