import records


@records.of(
    "nn",
    "BatchNormalization",
    "LayerNormalization",
    "Normalize",
    "SpatialBatchNormalization",
    "SpatialContrastiveNormalization",
    "SpatialCrossMapLRN",
    "SpatialDivisiveNormalization",
    "SpatialDropout",
    "SpatialSubtractiveNormalization",
    "VolumetricBatchNormalization",
    "VolumetricDropout",
)
def test_record(case):
    records.check_module(case)
