"""The content service of one machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from cj_pipeline.local.content import CONTENT_PATH, MAX_TEXT_BYTES, build_app


class Client:
    """The service over a folder, called in this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str) -> httpx.Response:
        return self._ask("GET", path, b"")

    def post(self, text: bytes) -> httpx.Response:
        return self._ask("POST", CONTENT_PATH, text)

    def _ask(self, method: str, path: str, content: bytes) -> httpx.Response:
        async def scene() -> httpx.Response:
            transport = httpx.ASGITransport(build_app(self._folder))
            async with httpx.AsyncClient(transport=transport, base_url="http://content") as client:
                return await client.request(method, path, content=content)

        return asyncio.run(scene())


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "texts")


def test_a_text_comes_back_to_the_byte_and_has_one_id(client: Client, tmp_path: Path) -> None:
    text = "Två uppsatser,\r\nen bild \N{SMILING FACE WITH SUNGLASSES}."
    first, second = (client.post(text.encode()) for _ in range(2))
    assert first.status_code == 201
    assert first.json() == second.json()
    answer = client.get(f"{CONTENT_PATH}/{first.json()['storage_id']}")
    assert answer.content == text.encode()
    # As the CJ service reads it.
    assert answer.text == text
    assert len(list((tmp_path / "texts").iterdir())) == 1
    # Another process on the same folder.
    other = Client(tmp_path / "texts")
    assert other.get(f"{CONTENT_PATH}/{first.json()['storage_id']}").text == text


@pytest.mark.parametrize("storage_id", ["0" * 64, "..", "..%2Fsecret", "%2Fetc%2Fpasswd", "secret"])
def test_what_is_no_id_of_a_text_is_not_found(storage_id: str, client: Client, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "secret").write_text("not a text")
    (tmp_path / "secret").write_text("not a text")
    assert client.get(f"{CONTENT_PATH}/{storage_id}").status_code == 404


def test_what_is_no_text_is_refused_and_not_kept(client: Client, tmp_path: Path) -> None:
    assert client.post(b"\xff\xfe").status_code == 400
    assert client.post(b"a" * (MAX_TEXT_BYTES + 1)).status_code == 413
    assert not (tmp_path / "texts").exists()
