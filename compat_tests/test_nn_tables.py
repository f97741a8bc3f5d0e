import records


@records.of(
    "nn",
    "CAddTable",
    "CAddTensorTable",
    "CDivTable",
    "CMaxTable",
    "CMinTable",
    "CMulTable",
    "CSubTable",
    "ConcatTable",
    "CosineDistance",
    "CriterionTable",
    "DotProduct",
    "FlattenTable",
    "JoinTable",
    "MM",
    "MV",
    "MixtureTable",
    "NarrowTable",
    "PairwiseDistance",
    "ParallelTable",
    "SelectTable",
    "SplitTable",
    "ZipTable",
    "ZipTableOneToMany",
)
def test_record(case):
    records.check_module(case)
