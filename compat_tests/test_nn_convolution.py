import records


@records.of(
    "nn",
    "SpatialConvolution",
)
def test_record(case):
    records.check_module(case)
