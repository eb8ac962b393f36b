"""The pages of docs/rules, from the rules and their examples: `make rules` writes them."""

from pathlib import Path

from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.rule import Claim, Rule
from dashboard.core.safety.rules import RULES
from tests.rules_left_out import LEFT_OUT

EXAMPLES = Path(__file__).parent / "examples"
FOLDER = Path(__file__).parents[1] / "docs" / "rules"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {"README.md": _index(), **{f"{rule.name}.md": _page(rule) for rule in RULES}}


def _page(rule: Rule) -> str:
    stops = "It stops a run." if rule.blocks else "It is shown, and stops nothing."
    if rule.catalog:
        stops += " Needs the environment's [catalog](../foresight.md#the-catalog): it speaks on the environment's page and in `rung check`."
    parts = [f"# {rule.name}", f"Class: {rule.risk}. {stops}", rule.about, f"**Safer:** {rule.safer}"]
    parts += ["## Reported", _sql(rule, "bad"), "## Not reported", _sql(rule, "good")]
    if rule.claim is not None:
        parts += ["## What the server does with the first example", _claimed(rule.claim)]
    return "\n\n".join(parts) + "\n"


def _sql(rule: Rule, name: str) -> str:
    return f"```sql\n{(EXAMPLES / rule.name / f'{name}.sql').read_text().strip()}\n```"


def _claimed(claim: Claim) -> str:
    facts = [f"PostgreSQL {claim.since} and newer"] if claim.since > 12 else []
    if claim.fails:
        facts.append(f"it fails with SQLSTATE `{claim.fails}`")
    else:
        facts.append(f"the strongest lock on a table that was there is `{claim.lock or 'none'}`")
        facts.append("it reads such a table in full" if claim.scans else "it reads none in full")
        facts.append("it writes such a table anew" if claim.rewrites else "it writes none anew")
    return "\n".join(f"- {fact}" for fact in facts) + "\n\nTests compare this with real servers."


def _index() -> str:
    lines = [
        "# Rules",
        "",
        (
            "What Rung says of a file before it runs it, from its text; those marked with the environment's catalog "
            "besides. Findings of the classes destructive, "
            "opaque and will fail stop a run; the others are shown. `make rules` writes these pages."
        ),
        "",
        "A finding that is meant is [allowed by name](../commands.md#findings-that-are-meant), in the file and with a reason.",
    ]
    for risk in RiskClass:
        named = sorted(rule.name for rule in RULES if rule.risk is risk)
        if named:
            lines += ["", f"## {risk.capitalize()}", "", *map(_entry, named)]
    lines += ["", "## Not looked for", "", *(f"- `{name}`: {why}" for name, why in sorted(LEFT_OUT.items()))]
    return "\n".join(lines) + "\n"


def _entry(name: str) -> str:
    marked = any(rule.catalog for rule in RULES if rule.name == name)
    return f"- [{name}]({name}.md){' (catalog)' if marked else ''}"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
