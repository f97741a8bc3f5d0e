import records


@records.of(
    "nn",
    "PixelShuffle",
    "SpatialReflectionPadding",
    "SpatialReplicationPadding",
    "SpatialUpSamplingBilinear",
    "SpatialUpSamplingNearest",
    "SpatialZeroPadding",
    "UpSampling",
    "VolumetricReplicationPadding",
)
def test_record(case):
    records.check_module(case)
