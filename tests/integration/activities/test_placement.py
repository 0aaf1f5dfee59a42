"""Placing an order: everything or nothing, one bill for each payer, numbers without gaps."""

import asyncio

import pytest
from sqlalchemy import text
from sqlmodel import select

from activities.order_items import OrderItem
from activities.people import Actor
from activities.placement import PlaceOrder, place_order
from domain.accession import is_accession_no
from domain.clock import lab_day
from domain.einvoice import DocumentKind
from domain.enums import CollectionMode, EInvoiceState
from domain.errors import NotFoundError, RuleError
from store.counters import next_number
from store.tables.catalogue import Panel
from store.tables.orders import Order, OrderLine, Sample
from tests.fixtures.counting_house import EXEMPT, TAXABLE, CountingHouse


async def test_an_order_has_its_samples_bills_and_history(house: CountingHouse):
    placed = await house.order("CBC", EXEMPT)
    assert placed.stage == "registered"
    assert placed.workflow_id == f"order:LAB1:{placed.order_no}"
    assert all(is_accession_no(sample.accession_no) for sample in placed.samples)
    codes = [code for sample in placed.samples for code in sample.test_codes]
    assert EXEMPT in codes
    assert len(codes) == len(set(codes)) > 2
    assert await house.events(placed) == ["order_placed"]
    async with house.database.transaction() as session:
        lines = (await session.exec(select(OrderLine).where(OrderLine.order_id == placed.order_id))).all()
        samples = (await session.exec(select(Sample).where(Sample.order_id == placed.order_id))).all()
    assert len(lines) == len(codes)
    assert {line.sample_id for line in lines} == {sample.id for sample in samples}
    assert sum(line.price_paise for line in lines) == placed.invoices[0].total_paise


async def test_a_patients_bill_is_exempt_and_awaits_its_payment(house: CountingHouse):
    placed = await house.order()
    (bill,) = placed.invoices
    assert (bill.kind, bill.mode, bill.requires_irn) == ("bill_of_supply", CollectionMode.LINK, False)
    assert await house.balance(bill.document_no) == bill.total_paise == 15_000


async def test_a_registered_payer_gets_two_documents_on_credit(house: CountingHouse):
    placed = await house.order(TAXABLE, EXEMPT, payer="GRAMCARE")
    kinds = {bill.kind: bill for bill in placed.invoices}
    assert set(kinds) == {DocumentKind.TAX_INVOICE.value, DocumentKind.BILL_OF_SUPPLY.value}
    assert kinds["tax_invoice"].requires_irn
    assert not kinds["bill_of_supply"].requires_irn
    assert kinds["tax_invoice"].total_paise == 4_500_000 * 118 // 100
    assert all(bill.mode is CollectionMode.CREDIT for bill in placed.invoices)
    row = await house.einvoice(kinds["tax_invoice"].document_no)
    assert row.state is EInvoiceState.PENDING
    assert len(row.irn) == 64


async def test_each_payer_gets_a_bill(house: CountingHouse):
    request = PlaceOrder(
        branch_code="DEL",
        patient_no=house.lab.patients[0],
        items=[OrderItem(code="CBC", payer_code="GRAMCARE"), OrderItem(code=EXEMPT)],
    )
    async with house.database.transaction() as session:
        placed = await place_order(session, request, Actor(house.lab.users["front_desk"], "front_desk"))
    assert [bill.mode for bill in placed.invoices] == [CollectionMode.CREDIT, CollectionMode.LINK]


async def test_numbers_have_no_gaps_when_orders_come_together(house: CountingHouse):
    placed = await asyncio.gather(*(house.order() for _ in range(6)))
    for numbers in (
        sorted(int(order.order_no.rsplit("-", 1)[1]) for order in placed),
        sorted(int(order.invoices[0].document_no.rsplit("-", 1)[1]) for order in placed),
    ):
        assert numbers == list(range(numbers[0], numbers[0] + 6))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"branch_code": "XXX"}, "NOT_FOUND"),
        ({"patient_no": "P-none"}, "NOT_FOUND"),
        ({"doctor_id": "00000000-0000-7000-8000-000000000000"}, "DOCTOR_NOT_FOUND"),
        ({"items": [{"code": "NOSUCH"}]}, "TEST_NOT_FOUND"),
        ({"items": [{"code": EXEMPT, "payer_code": "NOBODY"}]}, "NOT_FOUND"),
        ({"items": [{"code": EXEMPT}, {"code": EXEMPT}]}, "TEST_REPEATED"),
    ],
)
async def test_a_wrong_order_leaves_nothing_behind(house: CountingHouse, changes: dict[str, object], code: str):
    good = {"branch_code": "DEL", "patient_no": house.lab.patients[0], "items": [{"code": EXEMPT}]}
    async with house.database.transaction() as session:
        before = len((await session.exec(select(Order.id))).all())
    with pytest.raises((NotFoundError, RuleError)) as caught:
        async with house.database.transaction() as session:
            await place_order(
                session, PlaceOrder.model_validate(good | changes), Actor(house.lab.users["front_desk"], "front_desk")
            )
    assert caught.value.code == code
    async with house.database.transaction() as session:
        assert len((await session.exec(select(Order.id))).all()) == before


async def test_a_wrong_order_is_refused_while_another_holds_the_numbers(house: CountingHouse):
    wrong = PlaceOrder(branch_code="DEL", patient_no=house.lab.patients[0], items=[OrderItem(code="NOSUCH")])

    async def place() -> None:
        async with house.database.transaction() as session:
            await session.execute(text("set local lock_timeout = '50ms'"))
            await place_order(session, wrong, Actor(house.lab.users["front_desk"], "front_desk"))

    async with house.database.transaction() as holder:
        await next_number(holder, f"order:DEL:{lab_day()}")
        with pytest.raises(NotFoundError, match="NOSUCH"):
            await place()


async def test_a_panel_without_tests_is_refused(house: CountingHouse):
    async with house.database.transaction() as session:
        session.add(Panel(code="EMPTY", name="Nothing", price_paise=100))
    request = PlaceOrder(branch_code="DEL", patient_no=house.lab.patients[0], items=[OrderItem(code="EMPTY")])
    with pytest.raises(RuleError) as caught:
        async with house.database.transaction() as session:
            await place_order(session, request, Actor(house.lab.users["front_desk"], "front_desk"))
    assert caught.value.code == "PANEL_EMPTY"
