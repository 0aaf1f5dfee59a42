"""Work for a device: what is on the analyzer's screen is nowhere in a log."""

from datetime import date

from domain.device_orders import DeviceWork, WorkAction, WorkPriority, WorkQuery


def test_a_patient_is_in_no_repr():
    work = DeviceWork("261123000049", ("GLU",), patient_name="Asha Rao", birth_date=date(1961, 2, 3))
    assert "Asha" not in repr(work)
    assert "1961" not in repr(work)
    assert work.patient_name == "Asha Rao"


def test_work_is_new_and_routine_unless_said_otherwise():
    work = DeviceWork("261123000049", ("GLU", "CREA"))
    assert (work.action, work.priority, work.sex) == (WorkAction.NEW, WorkPriority.ROUTINE, "unknown")


def test_a_query_asks_for_nothing_unless_it_names_something():
    query = WorkQuery()
    assert (query.specimen_ids, query.wants_all, query.is_cancelled) == ((), False, False)
