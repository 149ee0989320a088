"""Settings of the history: the `[history]` section of hooksift.toml."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class S3Settings(BaseModel):
    """How to reach S3-compatible storage. Only read where `files` is an s3:// address."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    endpoint: str = Field(default="", description="host:port; empty means Amazon's own")
    region: str = Field(default="us-east-1", description="region of the bucket")
    key_id: str = Field(default="", description="access key; empty means what the machine has")
    secret: str = Field(default="", description="secret key, as env:NAME or file:PATH")
    tls: bool = Field(default=True, description="false only for a server on this machine")
    url_style: Literal["path", "vhost"] = Field(
        default="path", description="path: http://host/bucket; vhost: http://bucket.host"
    )


class HistorySettings(BaseModel):
    """Where the history lives and how landing behaves."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(
        default=True, description="land with `hooksift serve`, in a process of its own"
    )
    catalog: str = Field(
        default="",
        description="file of the SQLite catalog, or postgresql://... as env:NAME; empty means"
        " history/catalog.sqlite in the data folder",
    )
    files: str = Field(
        default="",
        description="folder or s3://bucket/prefix of the Parquet files, this history's alone; empty"
        " means beside the catalog (needed with a PostgreSQL catalog)",
    )
    s3: S3Settings = Field(default_factory=S3Settings)
    interval_seconds: float = Field(
        default=1.0, gt=0, le=3600, description="how often a landing begins, at most"
    )
    page_rows: int = Field(
        default=50_000, ge=100, le=1_000_000, description="rows at most in one commit"
    )
    page_bytes: int = Field(
        default=64_000_000, ge=1_000_000, description="bytes of bodies at most in memory at once"
    )
    inline_rows: int = Field(
        default=200,
        ge=0,
        le=2_000,
        description="fewer new rows than this wait in a PostgreSQL catalog instead of a file of"
        " their own; an SQLite catalog holds none",
    )
    upkeep_seconds: float = Field(
        default=30,
        gt=0,
        description="pause between turns of upkeep: rows that wait in the catalog go into"
        " files, old snapshots and files go, memory that merges took is given back",
    )
    snapshot_hours: float = Field(
        default=24, ge=0, le=876_000, description="how long old snapshots can be read (AT VERSION)"
    )
    file_hours: float = Field(
        default=1,
        ge=0,
        le=876_000,
        description="how long a replaced file stays for readers that still hold it open",
    )
    standby_seconds: float = Field(
        default=2.0, gt=0, description="how often a waiting lander asks for the lock"
    )
    memory_mb: int = Field(
        default=512, ge=256, description="memory of the lander's DuckDB, at most"
    )
    threads: int = Field(default=1, ge=1, description="threads of the lander's DuckDB")
