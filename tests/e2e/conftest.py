"""What every end-to-end test needs: partners on a good day, and a patient whose name must not be found anywhere."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e.visits import SENTINEL, person, register
from tests.fixtures.stack import LabStack


@pytest.fixture
async def stack(lab_stack: LabStack) -> AsyncIterator[LabStack]:
    """The running laboratory; whatever a test lets its partners do ends with the test."""
    yield lab_stack
    await lab_stack.behave_well()


@pytest.fixture(scope="session")
async def patient_no(lab_stack: LabStack) -> str:
    """Someone without an ABHA. Every order of these tests is this person's: what leaks is found by the name."""
    return await register(lab_stack, person(name=f"{SENTINEL} Walkin", phone="+919876501234"))
