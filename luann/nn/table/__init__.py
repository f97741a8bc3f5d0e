"""Table layers: their input or output is a list of tensors."""

from .arithmetic import CAddTable, CAddTensorTable, CDivTable, CMaxTable, CMinTable, CMulTable, CSubTable, MixtureTable
from .branches import ConcatTable, MapTable, ParallelTable
from .criterions import CriterionTable, ModuleFromCriterion
from .entries import (
    FlattenTable,
    JoinTable,
    NarrowTable,
    SelectTable,
    SplitTable,
    ZipTable,
    ZipTableOneToMany,
)
from .pairs import MM, MV, CosineDistance, DotProduct, PairwiseDistance

__all__ = [
    "MM",
    "MV",
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
    "MapTable",
    "MixtureTable",
    "ModuleFromCriterion",
    "NarrowTable",
    "PairwiseDistance",
    "ParallelTable",
    "SelectTable",
    "SplitTable",
    "ZipTable",
    "ZipTableOneToMany",
]
