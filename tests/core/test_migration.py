import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.migration import Folder, Migration, Refusal, order_of, read_migration


def made(name: str, data: bytes = b"SELECT 1;") -> Migration:
    migration = read_migration(name, data)
    assert isinstance(migration, Migration)
    return migration


def refused(name: str, data: bytes = b"", **options: int) -> Refusal:
    refusal = read_migration(name, data, **options)
    assert isinstance(refusal, Refusal)
    return refusal


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    "name",
    [
        "add_users.sql",
        "017.sql",
        "017-add.sql",
        "017_.sql",
        "017_add.SQL",
        "017_add.sql.bak",
        " 017_add.sql",
        "017_add users.sql",
        "017_añadir.sql",
        "017_a\nb.sql",
        "017_a<b>.sql",
        "../017_a.sql",
        "017_a/b.sql",
        "017_\u202egpj.sql",
        "٣_arabic_digit.sql",
        "-1_minus.sql",
        "",
    ],
)
def test_a_name_that_is_not_number_and_slug_is_refused(name: str) -> None:
    assert refused(name).code == "bad-name"


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("name", "number", "slug"),
    [
        ("1_a.sql", 1, "a"),
        ("017_add_user_preferences.sql", 17, "add_user_preferences"),
        ("0_zero.sql", 0, "zero"),
        ("20240131235959_from_elsewhere.sql", 20240131235959, "from_elsewhere"),
        ("00000000000000000000000000000000000001_x.sql", 1, "x"),
        ("99999999999999999999999999_x.sql", 99999999999999999999999999, "x"),
        ("3_v1.2-final_REALLY.sql", 3, "v1.2-final_REALLY"),
    ],
)
def test_any_number_of_digits_is_a_number(name: str, number: int, slug: str) -> None:
    migration = made(name)
    assert (migration.number, migration.slug) == (number, slug)


@pytest.mark.fault(70)
def test_files_are_in_the_order_of_number_then_name() -> None:
    names = ["10_a.sql", "9_z.sql", "009_a.sql", "2_b.sql", "02_b.sql", "20240101_a.sql"]
    ordered = [m.filename for m in sorted((made(name) for name in names), key=order_of)]
    assert ordered == ["02_b.sql", "2_b.sql", "009_a.sql", "9_z.sql", "10_a.sql", "20240101_a.sql"]


@pytest.mark.fault(71)
def test_a_nul_byte_is_refused_with_line_and_byte() -> None:
    refusal = refused("1_a.sql", b"SELECT 1;\nDROP \x00 TABLE t;")
    assert (refusal.code, refusal.line, refusal.byte) == ("nul-byte", 2, 15)


@pytest.mark.fault(71)
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", "ä".encode("latin-1")])
def test_what_is_not_utf_8_is_refused_with_line_and_byte(bad: bytes) -> None:
    refusal = refused("1_a.sql", b"-- ok\n\nSELECT '" + bad + b"';")
    assert (refusal.code, refusal.line, refusal.byte) == ("not-utf-8", 3, 15)


def test_utf_16_is_refused() -> None:
    assert refused("1_a.sql", "SELECT 1;".encode("utf-16")).code in ("nul-byte", "not-utf-8")


def test_a_file_over_the_limit_is_refused_and_one_at_the_limit_passes() -> None:
    assert refused("1_a.sql", b"-" * 11, size_limit=10).code == "too-large"
    assert isinstance(read_migration("1_a.sql", b"-" * 10, size_limit=10), Migration)


@pytest.mark.fault(63)
def test_a_byte_order_mark_is_left_out_and_does_not_change_the_normalised_hash() -> None:
    plain, marked = made("1_a.sql", b"SELECT 1;"), made("1_a.sql", b"\xef\xbb\xbfSELECT 1;")
    assert marked.text == "SELECT 1;"
    assert marked.size == plain.size + 3
    assert marked.raw_hash != plain.raw_hash
    assert marked.normalised_hash == plain.normalised_hash


def test_only_the_first_byte_order_mark_is_left_out() -> None:
    assert made("1_a.sql", b"\xef\xbb\xbf\xef\xbb\xbfSELECT 1;").text == "\ufeffSELECT 1;"


def test_the_raw_hash_is_the_sha_256_of_the_file() -> None:
    assert made("1_a.sql", b"SELECT 1;\r\n").raw_hash == hashlib.sha256(b"SELECT 1;\r\n").hexdigest()


@pytest.mark.fault(62)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"])), max_size=6))
def test_line_ends_do_not_change_the_normalised_hash(lines: list[str]) -> None:
    hashes = {made("1_a.sql", end.join(lines).encode()).normalised_hash for end in ("\n", "\r\n", "\r")}
    assert len(hashes) == 1


@given(st.binary(max_size=60))
def test_every_content_is_a_migration_or_a_refusal_never_a_crash(data: bytes) -> None:
    migration = read_migration("1_a.sql", data)
    assert isinstance(migration, Migration | Refusal)
    if isinstance(migration, Migration):
        assert migration.text.encode() == data.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.fault(68)
def test_files_with_one_number_are_duplicates_whatever_their_zeros() -> None:
    folder = Folder(tuple(made(name) for name in ["3_a.sql", "003_b.sql", "4_c.sql", "5_d.sql", "05_e.sql"]))
    assert [[m.filename for m in group] for group in folder.duplicates] == [
        ["3_a.sql", "003_b.sql"],
        ["5_d.sql", "05_e.sql"],
    ]
