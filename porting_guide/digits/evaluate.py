# Loads a trained net and tests it on the digits that it has not seen.
#   python evaluate.py [MODEL]      MODEL: a .t7 file, by default what train.py wrote, run/model.t7
import os
import sys

import torch

import luann
from luann import optim

path = sys.argv[1] if len(sys.argv) > 1 else "run/model.t7"
model = luann.load(path)
print(model)

rows = torch.tensor([[float(n) for n in line.split(",")] for line in open("digits.csv")][1500:])
data = rows[:, :64].reshape(-1, 1, 8, 8).div_(16).type_as(model.parameters()[0][0])
targets = rows[:, 64] + 1

model.evaluate()
outputs = model.forward(data)
confusion = optim.ConfusionMatrix(10)
confusion.batchAdd(outputs, targets)
print(confusion)
print("test accuracy %.4f" % confusion.totalValid)

recorded = os.path.join(os.path.dirname(path), "outputs.t7")
if os.path.exists(recorded):
    difference = (outputs - luann.load(recorded)).abs().max()
    print("largest difference from the outputs that were saved with it: %.3g" % difference)
