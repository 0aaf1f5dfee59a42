from workflows.details import details


def test_a_run_says_where_it_is_and_what_it_waits_for():
    text = details("Received", "results", {"Samples": "2 of 2", "Tests": "0 of 3"}, {})
    assert text == "**Received**. Waits for: results.\n\n| | |\n|---|---|\n| Samples | 2 of 2 |\n| Tests | 0 of 3 |"


def test_what_needs_attention_is_last():
    text = details("Open", "payment", {}, {"payment": "unpaid", "generate_irn": "IRP_DOWN"})
    assert text.endswith("\n- **payment** needs attention: `unpaid`\n- **generate_irn** needs attention: `IRP_DOWN`")
    assert "|" not in text
