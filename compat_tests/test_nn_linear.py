import records


@records.of(
    "nn",
    "Linear",
)
def test_record(case):
    records.check_module(case)
