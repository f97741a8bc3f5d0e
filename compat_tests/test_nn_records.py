import records


@records.of(
    "nn",
    "BatchNormalization",
    "Dropout",
    "Linear",
    "LogSoftMax",
    "Parallel",
    "ReLU",
    "Sequential",
    "SpatialBatchNormalization",
    "SpatialConvolution",
    "SpatialMaxPooling",
    "Tanh",
    "Threshold",
    "View",
)
def test_module(case):
    records.check_module(case)


@records.of("criterion", "ClassNLLCriterion", "MSECriterion")
def test_criterion(case):
    records.check_criterion(case)
