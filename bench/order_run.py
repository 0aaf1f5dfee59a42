"""One order as staff, analyzers and the patient carry it, with the times that its stages took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import httpx

from devstack.analyzers import measure
from devstack.demo import BRANCH, ITEMS
from devstack.lab_client import Json, LabClient, StaffError
from settings import Settings

STAGES = (
    "place (REST)", "workflow started", "collect, receive (REST)", "analyzer to resulted", "verify, authorise (REST)",
    "report issued", "payment settled", "IRN", "order closed", "report delivered", "record linked at ABDM", "all",
)  # fmt: skip
"""In the order of the story; `(REST)`: what staff wait for, the others: from their cause to their line in the
timeline."""

_LAST = {"order_closed", "report_delivered", "record_notified", "irn_generated"}
_RACK_SIZE = 40
_WITHIN_S = 300.0


class Rack:
    """One analyzer: takes the specimens that wait, measures them in one go and sends the results."""

    def __init__(self, device: str, host: str, port: int) -> None:
        self._device, self._host, self._port = device, host, port
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def put(self, specimens: list[str]) -> None:
        """Put specimens into the rack."""
        for specimen in specimens:
            self._waiting.put_nowait(specimen)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _RACK_SIZE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            sent = await measure(self._device, batch, self._host, self._port, with_controls=False)
            if not all(delivery.is_acknowledged for delivery in sent):
                raise StaffError(f"the listener did not acknowledge {self._device} results")


@dataclass
class Lab:
    """What all orders share."""

    settings: Settings
    client: LabClient
    http: httpx.AsyncClient
    chemistry: Rack
    haematology: Rack
    _numbers: count[int] = field(default_factory=lambda: count(1))

    async def patient(self) -> str:
        """Register somebody whom the simulated network knows; return the number."""
        number = next(self._numbers)
        name, address = f"Bench Person {number}", f"bench.{number}@sbx"
        known = {"abha_number": f"91{number:012d}", "abha_address": address, "name": name}
        if self.settings.abdm is None:
            raise StaffError("the stack runs without ABDM")
        people = httpx.URL(self.settings.abdm.base_url).join("/_sim/people")
        (await self.http.post(people, json=known | {"gender": "O", "year_of_birth": 1980})).raise_for_status()
        person = known | {
            "branch": BRANCH, "sex": "other", "birth_date": "1980-03-01", "phone": f"+9190{number:08d}",
            "has_record_consent": True,
        }  # fmt: skip
        patient_no: str = (await self.client.post("front_desk", "/v1/patients", person))["patient_no"]
        return patient_no


@asynccontextmanager
async def opened(settings: Settings, users: dict[str, str]) -> AsyncIterator[Lab]:
    """Open the lab: staff's logins, both analyzers and the patients' browser."""
    own = settings.instruments
    racks = (
        Rack("chemistry", own.host, own.astm_port),
        Rack("haematology", own.host, own.hl7_port),
    )
    base = f"http://{settings.api.host}:{settings.api.port}"
    async with (
        LabClient(base, users) as client,
        httpx.AsyncClient(trust_env=False, timeout=60, follow_redirects=True) as http,
        asyncio.TaskGroup() as devices,
    ):
        running = [devices.create_task(rack.run()) for rack in racks]
        yield Lab(settings, client, http, *racks)
        for task in running:
            task.cancel()


@dataclass
class OrderRun:
    """One order.

    Attributes:
        took: Seconds by stage.
    """

    lab: Lab
    patient_no: str
    path: str = ""
    took: dict[str, float] = field(default_factory=dict)
    _since: float = 0.0
    _analysed_from: float = 0.0
    _samples: list[Json] = field(default_factory=list)

    async def run(self) -> None:
        """Carry the order from the front desk to the patient's health locker.

        Raises:
            StaffError: Something was refused or did not come in time.
        """
        begun = self._since = time.perf_counter()
        bill = await self._place()
        await self._draw()
        await self._post("senior_technician", "verify", {})
        await self._post("pathologist", "authorise", {})
        self._reached("verify, authorise (REST)")
        await self._timeline({"report_issued"})
        paid_at = time.time()
        (await self.lab.http.post(await self._payment_url(bill))).raise_for_status()
        events = await self._timeline(_LAST)
        self.took["all"] = time.perf_counter() - begun
        self._read(events, paid_at)

    async def _place(self) -> str:
        body = {"branch_code": BRANCH, "patient_no": self.patient_no, "items": ITEMS}
        placed = await self.lab.client.post("front_desk", "/v1/orders", body)
        self._reached("place (REST)")
        self.path = f"/v1/orders/{placed['order_no']}"
        self._samples = placed["samples"]
        return next(str(bill["document_no"]) for bill in placed["invoices"] if bill["kind"] == "bill_of_supply")

    async def _draw(self) -> None:
        """Draw, receive, type in what no analyzer measures, and put into the analyzers; wait for their results."""
        self._since = time.perf_counter()
        numbers = [sample["accession_no"] for sample in self._samples]
        drawn = {"samples": [{"accession_no": number} for number in numbers]}
        await self._post("phlebotomist", "samples/collect", drawn)
        await self._post("technician", "samples/receive", {"accession_nos": numbers})
        self._reached("collect, receive (REST)")
        result = {"test_code": "RNGS50", "value": "No variant of known significance found"}
        await self._post("technician", "results", {"results": [result]})
        self._analysed_from = time.time()
        self.lab.chemistry.put(self._measured("GLU") + self._measured("ALT"))
        self.lab.haematology.put(self._measured("HGB"))
        await self._timeline({"stage_reached resulted"})

    def _measured(self, code: str) -> list[str]:
        return [sample["accession_no"] for sample in self._samples if code in sample["test_codes"]]

    async def _post(self, username: str, action: str, body: Json) -> None:
        await self.lab.client.post(username, f"{self.path}/{action}", body)

    def _reached(self, stage: str) -> None:
        now = time.perf_counter()
        self.took[stage], self._since = now - self._since, now

    async def _payment_url(self, bill: str) -> str:
        async def look() -> str | None:
            invoice = await self.lab.client.get("billing", f"/v1/invoices/{bill}")
            return invoice["payment_url"] or None

        return await self.lab.client.until(look, "the payment link", within=_WITHIN_S)

    async def _timeline(self, wanted: set[str]) -> dict[str, float]:
        """Wait until the timeline has these kinds of events; return when each kind first came, in seconds."""

        async def look() -> dict[str, float] | None:
            items: list[Json] = (await self.lab.client.get("admin", f"{self.path}/timeline", limit="200"))["items"]
            first: dict[str, float] = {}
            for event in items:
                name = " ".join([event["kind"], *filter(None, [event["detail"].get("stage")])])
                first.setdefault(name, datetime.fromisoformat(event["at"]).timestamp())
            return first if wanted <= first.keys() else None

        what = f"{', '.join(sorted(wanted))} of {self.path}"
        found = await self.lab.client.until(look, what, within=_WITHIN_S)
        self._since = time.perf_counter()
        return found

    def _read(self, at: dict[str, float], paid_at: float) -> None:
        """Take the stages that happen by themselves from the timeline, which does not depend on how often we look."""
        closed = at["order_closed"]
        self.took |= {
            "workflow started": at["workflow_started"] - at["order_placed"],
            "analyzer to resulted": at["stage_reached resulted"] - self._analysed_from,
            "report issued": at["report_issued"] - at["results_authorised"],
            "payment settled": at["payment_settled"] - paid_at,
            "IRN": at["irn_generated"] - at["workflow_started"],
            "order closed": closed - at["payment_settled"],
            "report delivered": at["report_delivered"] - closed,
            "record linked at ABDM": at["record_notified"] - closed,
        }
