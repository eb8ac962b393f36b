"""What an interrupted statement left, read from what the catalog has."""

import pytest

from dashboard.core import evidence
from dashboard.core.evidence import IndexSeen, Seen, Traces, subject_of, traces_of
from dashboard.core.script import Script, parse
from tests.oracle import folder_of

VALID, INVALID = True, False


def index(name: str, valid: bool, *, before: bool = False, itself: bool = False) -> IndexSeen:
    return IndexSeen(f"public.{name}", name, valid, before, itself)


def about(deed: str, *indexes: IndexSeen, subject: str | None = "public.ix") -> Traces:
    return traces_of(Seen(deed, subject, exists=True, indexes=indexes))


def subject(sql: str) -> evidence.Subject | None:
    script = parse(folder_of(("001_a.sql", sql)).migrations[0])
    assert isinstance(script, Script), script
    return subject_of(script.statements[0])


@pytest.mark.parametrize(
    ("sql", "deed", "parts", "name"),
    [
        ('CREATE INDEX CONCURRENTLY "Ix" ON a.t (id)', evidence.CREATE, ("a", "t"), "Ix"),
        ("CREATE INDEX CONCURRENTLY ON t (id)", evidence.CREATE_UNNAMED, ("t",), None),
        ("DROP INDEX CONCURRENTLY IF EXISTS a.ix", evidence.DROP, ("a", "ix"), None),
        ("REINDEX INDEX CONCURRENTLY a.ix", evidence.REINDEX_INDEX, ("a", "ix"), None),
        ("REINDEX (CONCURRENTLY) TABLE t", evidence.REINDEX_TABLE, ("t",), None),
        ("REINDEX SCHEMA CONCURRENTLY a", "REINDEX SCHEMA CONCURRENTLY", (), None),
        ("ALTER TABLE t DETACH PARTITION a.p CONCURRENTLY", evidence.DETACH, ("a", "p"), None),
    ],
)
def test_the_text_says_what_a_statement_is_about(sql: str, deed: str, parts: tuple[str, ...], name: str | None) -> None:
    assert subject(sql) == evidence.Subject(deed, parts, name)


@pytest.mark.parametrize(
    "sql", ["VACUUM t", "CREATE INDEX ix ON t (id)", "ALTER TABLE t DETACH PARTITION p", "REINDEX TABLE t"]
)
def test_what_leaves_nothing_half_made_is_about_nothing(sql: str) -> None:
    assert subject(sql) is None


def test_an_invalid_index_is_not_done_and_may_be_dropped() -> None:
    found = about(evidence.CREATE, index("ix", INVALID, itself=True), index("other", INVALID))
    assert (found.done, found.left, found.invalid) == (False, ("public.ix",), ("public.ix",))
    assert found.says == ("Index public.ix is INVALID.",)


def test_a_valid_index_that_was_there_before_proves_nothing() -> None:
    assert about(evidence.CREATE, index("ix", VALID, itself=True)).done is True
    found = about(evidence.CREATE, index("ix", VALID, itself=True, before=True))
    assert found.done is None
    assert "was there before" in found.says[0]


def test_of_an_index_without_a_name_only_what_is_new_counts() -> None:
    old = index("spoilt", INVALID, before=True)
    assert about(evidence.CREATE_UNNAMED, old).done is False
    assert about(evidence.CREATE_UNNAMED, old, index("t_id_idx", INVALID)).left == ("public.t_id_idx",)
    found = about(evidence.CREATE_UNNAMED, old, index("t_id_idx", VALID))
    assert (found.done, found.left) == (None, ())  # somebody else may have made it


@pytest.mark.parametrize("copy", ["ix_ccnew", "ix_ccold", "ix_ccnew12"])
def test_half_made_copies_of_the_index_that_was_rebuilt_may_be_dropped(copy: str) -> None:
    found = about(evidence.REINDEX_INDEX, index("ix", VALID, itself=True), index(copy, INVALID))
    assert (found.done, found.left) == (False, (f"public.{copy}",))


def test_copies_of_another_index_and_indexes_that_only_sound_like_it_are_let_alone() -> None:
    others = [index("ix2_ccnew", INVALID), index("ix_ccnew", VALID), index("i_ccnew", INVALID)]
    found = about(evidence.REINDEX_INDEX, index("ix", VALID, itself=True), *others)
    assert (found.done, found.left) == (None, ())


def test_a_copy_whose_name_had_to_be_cut_is_found() -> None:
    name = "x" * 63
    copy = "x" * 57 + "_ccnew"
    found = about(evidence.REINDEX_INDEX, index(name, VALID, itself=True), index(copy, INVALID))
    assert found.left == (f"public.{copy}",)


def test_an_invalid_index_that_reindex_table_leaves_out_is_never_dropped_by_us() -> None:
    found = about(evidence.REINDEX_TABLE, index("precious", INVALID), subject="public.t")
    assert (found.done, found.left, found.invalid) == (False, (), ("public.precious",))
    assert found.first == "REINDEX INDEX CONCURRENTLY public.precious;"


def test_of_a_whole_schema_only_what_is_new_counts() -> None:
    old, new = index("a_ccnew", INVALID, before=True), index("b_ccnew", INVALID)
    found = about("REINDEX SCHEMA CONCURRENTLY", old, new, subject=None)
    assert found.left == ("public.b_ccnew",)


def test_an_index_that_is_dropped_is_done_when_it_is_gone_and_never_dropped_twice() -> None:
    assert about(evidence.DROP).done is True
    half = about(evidence.DROP, index("ix", INVALID, itself=True))
    assert (half.done, half.left) == (False, ())
    assert about(evidence.DROP, index("ix", VALID, itself=True)).done is False


def test_a_half_detached_partition_has_to_be_finished_by_hand() -> None:
    def found(**how: object) -> Traces:
        return traces_of(Seen(evidence.DETACH, "public.p", exists=True, **how))  # type: ignore[arg-type]  # its fields

    half = found(parent="public.t", pending=True)
    assert half.first == "ALTER TABLE public.t DETACH PARTITION public.p FINALIZE;"
    assert found(parent="public.t").done is False
    assert found().done is True


@pytest.mark.parametrize("deed", ["VACUUM", "CALL", "INSERT", "CREATE DATABASE", "", "something new"])
def test_of_everything_else_the_catalog_knows_nothing(deed: str) -> None:
    found = about(deed, index("ix", INVALID, itself=True))
    assert (found.done, found.left, found.invalid) == (None, (), ())
    assert found.says == ("The catalog cannot tell whether it came to its end.",)
