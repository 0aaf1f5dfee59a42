"""Relative links in documents lead to files that exist, and their fragments to headings that exist."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(```|~~~).*?^\1", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", flags=re.MULTILINE)
ELSEWHERE = ("http://", "https://", "mailto:")
DOCUMENTS = sorted(
    list(ROOT.glob("*.md"))
    + [path for folder in ("docs", "tests", "bench", "connectors") for path in (ROOT / folder).rglob("*.md")]
)


def links_of(path: Path) -> list[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    # link texts may hold code, link targets never do
    return LINK.findall(CODE.sub("code", text))


def anchors_of(path: Path) -> set[str]:
    """Return the fragments that GitHub makes of a document's headings."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(1 for known in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known))
        found.add(f"{slug}-{number}" if slug in found else slug)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path):
    for link in links_of(path):
        if link.startswith(ELSEWHERE):
            continue
        file, _, fragment = unquote(link).partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.is_relative_to(ROOT), f"{link} leaves the project"
        assert target.exists(), f"{link} leads nowhere"
        if fragment:
            assert target.suffix == ".md", f"{link}: only documents have headings"
            assert fragment in anchors_of(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_index():
    reached, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in links_of(page):
            if not link.startswith(ELSEWHERE):
                target = (page.parent / unquote(link).partition("#")[0]).resolve()
                # a linked folder is reached with all its pages
                waiting += target.glob("*.md") if target.is_dir() else [target] if target.suffix == ".md" else []
    assert [path for path in DOCUMENTS if (ROOT / "docs") in path.parents and path not in reached] == []


def test_the_check_would_notice():
    assert "who-owns-which-truth" in anchors_of(ROOT / "docs" / "architecture.md")
    assert "workflows/lab_order.py" in links_of(ROOT / "README.md")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
