"""This module runs a throw-away PostgreSQL server and makes databases in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

import asyncpg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class PostgresServer:
    """A fresh cluster on a free port of this machine, which can be stopped and started again."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment
        self._bin_folder = BINARIES[-1].parent
        # The server refuses to run as root.
        self._account = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="cj-postgres-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://cj@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        try:
            if self._account is not None:
                shutil.chown(self._folder, self._account)
            self._run("initdb", "--username=cj", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8")
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if (self._folder / "data/postmaster.pid").exists():
                self.stop()
        finally:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Return once it takes connections."""
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self._port} -c fsync=off -c unix_socket_directories={self._folder}"
        )
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self._folder / "log"), "--options", options)

    def stop(self) -> None:
        """End it as a crash would: clients lose their connections, and the next start recovers from the log."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--silent")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin_folder / program, "-D", self._folder / "data", *arguments],
            user=self._account,
            cwd=self._folder,
            env=self._environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def throw_away_server() -> Iterator[str]:
    """The URL of a fresh cluster on a free port of this machine."""
    with PostgresServer() as server:
        yield server.url


def fresh_database(server_url: str) -> str:
    """Make a database that no other test uses, and return its URL."""
    name = f"test_{uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return f"{server_url.rpartition('/')[0]}/{name}"
