import records


@records.of(
    "nn",
    "View",
)
def test_record(case):
    records.check_module(case)
