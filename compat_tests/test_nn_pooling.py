import records


@records.of(
    "nn",
    "SpatialMaxPooling",
)
def test_record(case):
    records.check_module(case)
