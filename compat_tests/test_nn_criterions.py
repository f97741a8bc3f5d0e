import records


@records.of(
    "criterion",
    "ClassNLLCriterion",
    "MSECriterion",
)
def test_record(case):
    records.check_criterion(case)
