"""Secrets: only their place and their key open them, and a value that was changed stays shut."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey

from shared import secrets
from shared.secrets import UnreadableError, Vault

OLD, NEW = bytes(32), bytes(range(32))
HERE = "person.ssn 0198c0de"


def a_sealing_key() -> dict[str, Any]:
    return dict(ECKey.generate_key("P-256", {"use": "enc"}).as_dict(private=True))


def public(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "d"}


@given(st.text())
def test_what_is_locked_is_opened_in_its_place(plain: str) -> None:
    vault = Vault({"k1": OLD})

    assert vault.open(vault.lock(plain, bound_to=HERE), bound_to=HERE) == plain


def test_equal_values_do_not_look_equal_when_locked() -> None:
    vault = Vault({"k1": OLD})

    assert vault.lock("123456789", bound_to=HERE) != vault.lock("123456789", bound_to=HERE)


def test_a_value_moved_to_another_place_is_not_opened() -> None:
    vault = Vault({"k1": OLD})
    locked = vault.lock("123456789", bound_to=HERE)

    with pytest.raises(UnreadableError, match=r"person\.ssn other"):
        vault.open(locked, bound_to="person.ssn other")


def test_a_value_of_another_key_is_not_opened() -> None:
    locked = Vault({"k1": OLD}).lock("123456789", bound_to=HERE)

    for vault in (Vault({"k1": NEW}), Vault({"k2": OLD})):
        with pytest.raises(UnreadableError):
            vault.open(locked, bound_to=HERE)


@pytest.mark.parametrize("spoilt", ["", "k1", "k1.", "k1.AAAA", "k1.A", "k1.ä", "k1." + "A" * 40, "no dot"])
def test_what_was_never_locked_is_not_opened(spoilt: str) -> None:
    with pytest.raises(UnreadableError):
        Vault({"k1": OLD}).open(spoilt, bound_to=HERE)


def test_a_changed_value_is_not_opened() -> None:
    vault = Vault({"k1": OLD})
    kid, _, body = vault.lock("123456789", bound_to=HERE).partition(".")
    raw = bytearray(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    for place in range(len(raw)):
        changed = bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(UnreadableError):
            vault.open(f"{kid}.{urlsafe_b64encode(changed).decode()}", bound_to=HERE)


def test_after_a_rotation_the_old_key_still_opens_and_the_new_one_locks() -> None:
    before = Vault({"k1": OLD})
    after = Vault({"k1": OLD, "k2": NEW})
    locked = before.lock("old", bound_to=HERE)

    assert after.open(locked, bound_to=HERE) == "old"
    assert Vault({"k2": NEW}).open(after.lock("new", bound_to=HERE), bound_to=HERE) == "new"
    assert after.lock("new", bound_to=HERE).startswith("k2.")


def test_a_fingerprint_is_equal_for_equal_parts_of_one_purpose_under_one_key() -> None:
    one = secrets.fingerprint(OLD, "tin", "123456789", "x")

    assert one == secrets.fingerprint(OLD, "tin", "123456789", "x")
    assert one != secrets.fingerprint(NEW, "tin", "123456789", "x")
    assert one != secrets.fingerprint(OLD, "ssn", "123456789", "x")
    assert one != secrets.fingerprint(OLD, "tin", "123456789x")
    assert "123456789" not in one


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_what_is_sealed_is_unsealed_by_its_owner_alone(plain: str) -> None:
    owner, other = a_sealing_key(), a_sealing_key()
    sealed = secrets.seal(public(owner), plain)

    assert secrets.unseal(owner, sealed) == plain
    with pytest.raises(UnreadableError):
        secrets.unseal(other, sealed)


def test_a_changed_seal_is_not_opened() -> None:
    owner = a_sealing_key()
    parts = secrets.seal(public(owner), "token").split(".")
    for number, part in enumerate(parts):
        for changed in ("A" + part[1:], part[1:], "", part + "AAAA", "ä"):
            if changed != part:
                spoilt = ".".join([*parts[:number], changed, *parts[number + 1 :]])
                with pytest.raises(UnreadableError):
                    secrets.unseal(owner, spoilt)
    for spoilt in ("", "a.b.c.d.e", "e30....", "bnVsbA....", "W10....", ".".join(parts[:4])):
        with pytest.raises(UnreadableError):
            secrets.unseal(owner, spoilt)


@pytest.mark.parametrize("changed", [{"crit": 1}, {"crit": None}, {"crit": [[]]}, {"enc": []}])
def test_a_seal_whose_header_says_what_cannot_be_is_not_opened(changed: dict[str, object]) -> None:
    owner = a_sealing_key()
    head, _, rest = secrets.seal(public(owner), "token").partition(".")
    header = {**json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4))), **changed}
    spoilt = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

    with pytest.raises(UnreadableError):
        secrets.unseal(owner, f"{spoilt}.{rest}")


def test_what_was_sealed_in_a_way_that_is_not_ours_is_not_opened() -> None:
    owner = a_sealing_key()
    for header in ({"alg": "ECDH-ES+A128KW", "enc": "A256GCM"}, {"alg": "ECDH-ES", "enc": "A128CBC-HS256"}):
        with pytest.raises(UnreadableError):
            secrets.unseal(owner, jwe.encrypt_compact(header, "token", ECKey.import_key(public(owner))))


def test_an_own_token_names_its_subject_for_its_purpose_alone() -> None:
    token = secrets.own_token(OLD, purpose="status", subject="0198", lives_seconds=60)

    assert secrets.read_own_token(OLD, token, purpose="status") == "0198"
    assert secrets.read_own_token(OLD, token, purpose="upload") is None
    assert secrets.read_own_token(NEW, token, purpose="status") is None


def test_an_own_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    token = secrets.own_token(OLD, purpose="status", subject="0198", lives_seconds=60)
    now = time.time()

    monkeypatch.setattr(time, "time", lambda: now + 59)
    assert secrets.read_own_token(OLD, token, purpose="status") == "0198"
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert secrets.read_own_token(OLD, token, purpose="status") is None


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"alg": "HS256", "typ": "at+jwt"}, {}),
        ({"alg": "HS256"}, {}),
        ({"alg": "HS512", "typ": "own+jwt"}, {}),
        ({"alg": "HS256", "typ": "own+jwt"}, {"exp": None}),
        ({"alg": "HS256", "typ": "own+jwt"}, {"exp": "tomorrow"}),
    ],
)
def test_a_token_of_another_kind_is_not_read_as_an_own_one(header: dict[str, str], claims: dict[str, object]) -> None:
    whole = {"aud": "status", "sub": "0198", "exp": int(time.time()) + 60, **claims}
    token = jwt.encode(header, whole, OctKey.import_key(bytes(64)), algorithms=[header["alg"]])

    assert secrets.read_own_token(bytes(64), token, purpose="status") is None


@pytest.mark.parametrize(
    "header",
    [
        *("{}", "[]", "null", "1", '"x"', '{"alg":null}', '{"alg":["HS256"]}', "{", ""),
        *('{"alg":"HS256","crit":1}', '{"alg":"HS256","crit":null}', '{"alg":"HS256","crit":[[]]}'),
    ],
)
def test_what_is_no_token_at_all_is_nobodys(header: str) -> None:
    head = urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    for token in (head, f"{head}.e30.AAAA", f"{head}.e30.", f"{head}..", f"{head}.ä.ä", f"{head}.e30.AAAA.AAAA"):
        assert secrets.read_own_token(OLD, token, purpose="status") is None
