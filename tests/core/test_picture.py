"""A picture as home keeps it."""

from datetime import UTC, datetime

from dashboard.core.picture import Picture, UnfinishedFile, picture_from_json, picture_to_json

AT = datetime(2026, 11, 3, 14, 2, tzinfo=UTC)


def test_an_unfinished_file_is_kept_with_what_is_known_of_it() -> None:
    file = UnfinishedFile(
        "002_i.sql",
        AT,
        1,
        2,
        "x" * 64,
        ("Index a.i is INVALID.",),
        77,
        ("a.i",),
        done=False,
        first="REINDEX;",
        drop=(),
        failed=True,
    )
    picture = Picture("local", AT, "18.1", unfinished=(file,))
    assert picture_from_json(picture_to_json(picture)) == picture


def test_an_unfinished_file_that_an_earlier_version_kept_is_read_as_well() -> None:
    stored = picture_to_json(Picture("local", AT, "18.1"))
    stored["unfinished"] = [["002_i.sql", AT.isoformat(), 1, 2, "x" * 64, ["Index a.i is INVALID."]]]
    (file,) = picture_from_json(stored).unfinished
    assert (file.filename, file.interrupted, file.evidence) == ("002_i.sql", 2, ("Index a.i is INVALID.",))
