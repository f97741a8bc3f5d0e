import records


@records.of(
    "nn",
    "ParallelTable",
)
def test_record(case):
    records.check_module(case)
