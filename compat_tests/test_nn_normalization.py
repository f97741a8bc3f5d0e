import records


@records.of(
    "nn",
    "BatchNormalization",
    "SpatialBatchNormalization",
)
def test_record(case):
    records.check_module(case)
