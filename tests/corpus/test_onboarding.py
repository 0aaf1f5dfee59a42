"""Public captures as unknown devices: each gives findings, and known makes are recognised."""

import os
from pathlib import Path

import pytest

from connectors.onboarding.capture import read_capture
from connectors.onboarding.examination import examine
from domain.control_names import readable

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
FOLDERS = (CORPUS / "instruments" / "astm", CORPUS / "instruments" / "hl7")

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FOLDERS[0].is_dir(), reason="no public captures under LABSETU_CORPUS"),
]


def captures():
    files = [path for folder in FOLDERS if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in files if path.suffix in {".astm", ".hl7", ".txt", ".bin"}]


@pytest.mark.parametrize("path", captures(), ids=lambda path: path.name)
def test_every_capture_gives_findings(path):
    raw = path.read_bytes()[:200_000]
    found = examine(read_capture(readable(raw)))
    assert found.protocol in {"astm", "hl7", "unknown"}
    if path.suffix == ".hl7":
        assert found.protocol == "hl7"


@pytest.mark.parametrize(
    ("pattern", "title", "field"),
    [("gmcs_erba_xl*", "Erba / Transasia XL", "O.3.1"), ("gmcs_vitros3600_2*", "Ortho VITROS", None)],
)
def test_known_makes_are_recognised(pattern, title, field):
    for path in sorted(FOLDERS[0].glob(pattern)):
        found = examine(read_capture(readable(path.read_bytes())))
        assert (found.protocol, found.frame_style) == ("astm", "standard"), path.name
        assert found.candidates[0].title == title
        assert not [problem for problem in found.problems if problem.code == "CHECKSUM"]
        if field:
            assert found.specimen_fields[0].path == field
