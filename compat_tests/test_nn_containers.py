import records


@records.of(
    "nn",
    "Bottle",
    "Concat",
    "Decorator",
    "DepthConcat",
    "DontCast",
    "GPU",
    "MapTable",
    "ModuleFromCriterion",
    "NaN",
    "Parallel",
    "PrintSize",
    "Profile",
    "Sequential",
    "WeightNorm",
)
def test_record(case):
    records.check_module(case)
