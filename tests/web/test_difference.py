"""What changed between two texts of a file."""

from time import process_time

from dashboard.web.difference import MOST, SHOWN, difference


def drawn(old: str, new: str) -> list[str]:
    signs = {"same": " ", "removed": "-", "added": "+", "gap": "…"}
    return [f"{signs[line.kind]}{line.number} {line.text}" for line in difference(old, new)]


def test_a_changed_line_is_removed_and_added_with_its_number() -> None:
    assert drawn("a\nb\nc\n", "a\nB\nc\n") == [" 1 a", "-2 b", "+2 B", " 3 c"]


def test_what_is_the_same_for_long_is_counted() -> None:
    same = [f"line {number}" for number in range(20)]
    told = drawn("\n".join(["x", *same, "y"]), "\n".join(["X", *same, "Y"]))
    assert told[:2] == ["-1 x", "+1 X"]
    assert "… 16 lines unchanged" in told
    assert told[-2:] == ["-22 y", "+22 Y"]


def test_other_line_ends_are_a_difference_that_has_no_line() -> None:
    assert drawn("a\nb\n", "a\r\nb\r\n") == ["… Only the ends of lines differ."]


def test_a_long_comparison_is_cut_and_says_by_how_much() -> None:
    told = difference("", "\n".join(map(str, range(SHOWN + 7))))
    assert len(told) == SHOWN + 1
    assert told[-1].text == "7 more lines"


def test_a_file_that_would_take_too_long_is_not_compared() -> None:
    old, new = ("\n".join(str(number % modulus) for number in range(MOST + 20)) for modulus in (7, 5))
    assert difference(old, new) == ()


def test_a_small_change_in_a_long_file_is_found() -> None:
    lines = [f"line {number % 7}" for number in range(100_000)]
    changed = [*lines[:50_000], "another", *lines[50_001:]]
    assert [one for one in drawn("\n".join(lines), "\n".join(changed)) if one[0] in "+-"] == [
        "-50001 line 6",
        "+50001 another",
    ]


def test_the_worst_file_that_is_compared_takes_no_long_time() -> None:
    old, new = ("\n".join(str(number % modulus) for number in range(MOST)) for modulus in (7, 5))
    began = process_time()
    assert difference(old, new)
    assert process_time() - began < 1
