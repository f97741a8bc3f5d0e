import records


@records.of(
    "nn",
    "Bilinear",
    "Cosine",
    "Euclidean",
    "IndexLinear",
    "Kmeans",
    "Linear",
    "LinearWeightNorm",
    "LookupTable",
    "PartialLinear",
    "SparseLinear",
    "WeightedEuclidean",
)
def test_record(case):
    records.check_module(case)
