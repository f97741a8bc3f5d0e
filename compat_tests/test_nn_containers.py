import records


@records.of(
    "nn",
    "Parallel",
    "Sequential",
)
def test_record(case):
    records.check_module(case)
