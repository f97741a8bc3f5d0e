import records


@records.of(
    "nn",
    "Dropout",
)
def test_record(case):
    records.check_module(case)
