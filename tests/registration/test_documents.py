"""Documents: who may send and read them, what is taken, and how they are handed out."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from starlette.requests import ClientDisconnect

from services.registration import files, tables, usecases
from services.registration.files import Files
from shared.contracts import approval, registration
from shared.errors import Refusal
from shared.ids import RequestId, new_id
from shared.tables import audit
from shared.testing.waiting import someone_waits_for_a_lock
from tests.registration.desk import PDF, PNG, Desk, a_wish, bearer


async def send(desk: Desk, filed: dict[str, str], body: bytes = PDF, *, code: str = "irs_letter") -> httpx.Response:
    url = f"/registration/v1/requests/{filed['request_id']}/documents/{code}"
    return await desk.http.post(url, content=body, headers=bearer(filed.get("action_token")))


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def stored(desk: Desk) -> list[Path]:
    return files_below(desk.folder)


async def test_an_applicant_sends_a_document_by_the_token_of_the_proof(desk: Desk) -> None:
    filed = await desk.submitted()
    answer = await send(desk, filed)
    assert answer.status_code == 201
    assert answer.json()["media_type"] == "application/pdf"
    assert answer.json()["sha256"] == hashlib.sha256(PDF).hexdigest()
    (said,) = await desk.announced(registration.DocumentAdded)
    assert (said.document, said.size_bytes, str(said.document_id)) == (
        "irs_letter",
        len(PDF),
        answer.json()["document_id"],
    )
    assert [path.read_bytes() for path in stored(desk)] == [PDF]
    status = await desk.status(filed["tracking_number"])
    assert status["documents"][0]["received"] is True
    assert [moment["what"] for moment in status["timeline"]][-1] == "document_received"
    assert "add_document" in [act.act for act in await desk.rows(audit)]


async def test_a_document_far_larger_than_a_call_may_be_is_taken_up_to_ten_megabytes(desk: Desk) -> None:
    filed = await desk.submitted()
    assert (await send(desk, filed, PNG + bytes(files.LARGEST_BYTES - len(PNG)))).status_code == 201
    answer = await send(desk, filed, PNG + bytes(files.LARGEST_BYTES - len(PNG) + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert len(stored(desk)) == 1


async def test_a_document_that_grows_too_large_while_it_is_sent_is_refused(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield PNG
        for _ in range(11):
            yield bytes(1024 * 1024)

    kept = Files(tmp_path.as_uri())
    with pytest.raises(Refusal) as refusal:
        await kept.put("a/b", chunks())
    assert refusal.value.code == "too_large"
    assert files_below(tmp_path) == []


async def test_what_a_document_is_does_not_depend_on_the_pieces_in_which_it_comes(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(PNG), 2):
            yield PNG[start : start + 2]

    stored = await Files(tmp_path.as_uri()).put("a/b", chunks())
    assert stored == files.Stored("a/b", "image/png", hashlib.sha256(PNG).hexdigest(), len(PNG))
    assert [path.read_bytes() for path in files_below(tmp_path)] == [PNG]


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"<html><script>alert(1)</script></html>", b"PK\x03\x04" + bytes(100), b"MZ" + bytes(100)],
    ids=["empty", "text", "page", "archive", "program"],
)
async def test_the_content_decides_what_is_taken_whatever_it_is_called(desk: Desk, body: bytes) -> None:
    filed = await desk.submitted()
    url = f"/registration/v1/requests/{filed['request_id']}/documents/irs_letter"
    headers = bearer(filed["action_token"]) | {"content-type": "application/pdf"}
    answer = await desk.http.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "document_refused")
    assert stored(desk) == []
    assert await desk.rows(tables.document) == []


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (PDF, "application/pdf"),
        (PNG, "image/png"),
        (b"GIF89a" + bytes(64), "image/gif"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(64), "image/jpeg"),
    ],
)
def test_the_four_accepted_types_are_told_from_their_first_bytes(body: bytes, media_type: str) -> None:
    assert files.media_type_of(body) == media_type


async def test_the_same_file_sent_again_is_the_document_that_is_there(desk: Desk) -> None:
    filed = await desk.submitted()
    first, again = await send(desk, filed), await send(desk, filed)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(await desk.announced(registration.DocumentAdded)) == 1
    assert len(stored(desk)) == 1  # The bytes that came second went at once.


@pytest.mark.parametrize("is_folder_gone", [False, True], ids=["the file is gone", "the store cannot be read"])
async def test_a_document_whose_bytes_cannot_be_read_is_unavailable(desk: Desk, is_folder_gone: bool) -> None:
    filed = await desk.submitted()
    document_id = (await send(desk, filed)).json()["document_id"]
    (kept,) = stored(desk)
    kept.unlink()
    if is_folder_gone:
        kept.parent.rmdir()
        kept.parent.write_bytes(b"")
    url = f"/registration/v1/requests/{filed['request_id']}/documents/{document_id}"
    answer = await desk.http.get(url, headers=bearer(filed["action_token"]))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_a_document_that_cannot_be_written_is_unavailable_and_has_no_row(desk: Desk) -> None:
    filed = await desk.submitted()
    (desk.folder / filed["request_id"]).write_bytes(b"")  # Where its folder should be.
    answer = await send(desk, filed)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert await desk.rows(tables.document) == []


async def test_files_go_though_some_are_gone_and_what_cannot_go_now_stops_nobody(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield PNG

    kept = Files(tmp_path.as_uri())
    await kept.put("a/there", chunks())
    await kept.delete(["a/gone", "a/there"])
    assert files_below(tmp_path) == []
    (tmp_path / "b").write_bytes(b"")  # Where a folder should be.
    await kept.drop("b/there")


async def test_a_file_that_is_refused_after_it_was_written_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed = await desk.submitted()
    put = Files.put

    async def put_and_end(self: Files, key: str, chunks: AsyncIterator[bytes]) -> files.Stored:
        written = await put(self, key, chunks)
        await desk.approval(approval.RequestClosed, filed["request_id"], why="scope_closed")
        return written

    monkeypatch.setattr(Files, "put", put_and_end)  # The request ends while its applicant still sends.
    assert (await send(desk, filed)).json()["code"] == "request_closed"
    assert stored(desk) == []


async def test_what_its_sender_broke_off_is_no_document(desk: Desk) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield PDF
        raise ClientDisconnect

    filed = await desk.submitted()
    url = f"/registration/v1/requests/{filed['request_id']}/documents/irs_letter"
    answer = await desk.http.post(url, content=half(), headers=bearer(filed["action_token"]))
    assert (answer.status_code, answer.json()["code"]) == (422, "document_refused")
    assert (stored(desk), await desk.rows(tables.document)) == ([], [])


async def test_a_document_may_be_added_while_the_request_is_returned(desk: Desk) -> None:
    filed = await desk.submitted()
    more = {"version": 2, "returned_by": new_id(), "reason": "document_missing"}
    await desk.approval(approval.RequestReturned, filed["request_id"], **more)
    assert (await send(desk, filed)).status_code == 201


async def test_one_document_takes_ten_files_at_most(desk: Desk) -> None:
    filed = await desk.submitted()
    answers = [await send(desk, filed, PDF + bytes([number])) for number in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [422]
    again = await send(desk, filed, PDF + bytes([9]))  # Whoever has lost the answer asks once more.
    assert (again.status_code, again.json()) == (200, answers[9].json())
    assert len(stored(desk)) == 10


async def test_two_at_once_do_not_make_eleven_files_of_one_document(desk: Desk) -> None:
    filed = await desk.submitted()
    for number in range(9):
        await send(desk, filed, PDF + bytes([number]))
    tenth = files.Stored("a key", "application/pdf", "a digest", 1)
    async with desk.db.begin() as tx:  # The tenth is there but not committed ...
        await usecases.add_document(tx, RequestId(UUID(filed["request_id"])), "irs_letter", tenth, None)
        late = asyncio.create_task(send(desk, filed))
        await someone_waits_for_a_lock(desk.db)  # ... when another arrives.
    assert (await late).status_code == 422


async def test_a_document_that_the_kind_does_not_ask_for_is_not_found(desk: Desk) -> None:
    assert (await send(desk, await desk.submitted(), code="passport")).status_code == 404


async def test_nobody_sends_documents_to_somebody_elses_request(desk: Desk) -> None:
    mine = await desk.submitted()
    other = await desk.account()
    theirs = (await desk.file(a_wish(applicant=None), desk.token(other))).json()
    assert (await send(desk, {"request_id": mine["request_id"]})).status_code == 401
    assert (await send(desk, theirs | {"action_token": mine["action_token"]})).status_code == 401
    assert (await send(desk, mine | {"action_token": desk.token(other)})).status_code == 404
    assert (await send(desk, theirs | {"action_token": desk.token(other)})).status_code == 201
    assert stored(desk) != []
    assert len(stored(desk)) == 1


async def test_a_signed_in_applicant_whose_account_is_locked_sends_nothing(desk: Desk) -> None:
    me = await desk.account()
    mine = (await desk.file(a_wish(applicant=None), desk.token(me))).json()
    await desk.account(me, status="locked", version=2)
    assert (await send(desk, mine | {"action_token": desk.token(me)})).status_code == 401


async def test_a_request_that_has_ended_takes_no_document(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestClosed, filed["request_id"], why="scope_closed")
    answer = await send(desk, filed)
    assert (answer.status_code, answer.json()["code"]) == (409, "request_closed")


async def test_a_document_is_handed_out_as_a_download_that_no_browser_runs(desk: Desk) -> None:
    filed = await desk.submitted()
    document = (await send(desk, filed)).json()
    url = f"/registration/v1/requests/{filed['request_id']}/documents"
    answer = await desk.http.get(f"{url}/{document['document_id']}", headers=bearer(filed["action_token"]))
    assert answer.content == PDF
    assert answer.headers["content-disposition"] == 'attachment; filename="irs_letter.pdf"'
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(len(PDF))  # Else nobody would see that the end is missing.
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    missing = await desk.http.get(f"{url}/{new_id()}", headers=bearer(filed["action_token"]))
    assert missing.status_code == 404


async def test_documents_are_read_by_the_applicant_and_the_help_desk_of_that_community_alone(desk: Desk) -> None:
    filed = await desk.submitted()
    document = (await send(desk, filed)).json()
    here, elsewhere = desk.community.place_id, new_id()
    help_desk, other_desk, locked, official = [await desk.account() for _ in range(4)]
    await desk.assignment(help_desk, "HELP_DESK", here, here)
    await desk.assignment(other_desk, "HELP_DESK", elsewhere, elsewhere)
    await desk.assignment(locked, "HELP_DESK", here, here)
    await desk.account(locked, status="locked", version=2)
    await desk.assignment(official, "SECURITY_OFFICIAL", here, here)
    former = await desk.account()
    await desk.assignment(former, "HELP_DESK", here, here, status="ended")
    base = f"/registration/v1/requests/{filed['request_id']}/documents"
    for url in (base, f"{base}/{document['document_id']}"):
        seen = {
            name: (await desk.http.get(url, headers=bearer(token))).status_code
            for name, token in {
                "applicant": filed["action_token"],
                "help desk": desk.token(help_desk),
                "other desk": desk.token(other_desk),
                "locked": desk.token(locked),
                "official": desk.token(official),
                "former": desk.token(former),
                "nobody": None,
            }.items()
        }
        assert seen == {
            "applicant": 200,
            "help desk": 200,
            "other desk": 404,
            "locked": 404,
            "official": 404,
            "former": 404,
            "nobody": 401,
        }
