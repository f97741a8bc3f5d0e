import records


@records.of(
    "nn",
    "LogSoftMax",
    "ReLU",
    "Tanh",
    "Threshold",
)
def test_record(case):
    records.check_module(case)
