# Trains a small convolutional net on 8x8 images of handwritten digits.
# The port of train.lua, line by line. Run it here:  python train.py
import os, re
import torch
import luann
from luann import nn, optim

opt = luann.Table(
    seed=1, epochs=5, batchSize=32, trainSize=1500, save="run",
    learningRate=0.05, learningRateDecay=1e-3, momentum=0.9, weightDecay=1e-4,
)
luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The data: 64 pixels from 0 to 16, then the digit. Classes count from 1.
def loadDigits(path):
    images, labels = [], []
    for line in open(path):
        row = []
        for number in re.findall(r"\d+", line): row.append(float(number))
        labels.append(row.pop() + 1)
        images.append(row)

    return torch.tensor(images).view(-1, 1, 8, 8).div_(16), torch.tensor(labels)


def createModel():
    model = nn.Sequential()
    model.add(nn.SpatialConvolution(1, 8, 3, 3, 1, 1, 1, 1))
    model.add(nn.SpatialBatchNormalization(8))
    model.add(nn.ReLU())
    model.add(nn.SpatialMaxPooling(2, 2))
    model.add(nn.SpatialConvolution(8, 16, 3, 3))
    model.add(nn.Tanh())
    model.add(nn.View(16 * 2 * 2))
    model.add(nn.Dropout(0.2))
    model.add(nn.Linear(16 * 2 * 2, 32))
    model.add(nn.BatchNormalization(32))
    model.add(nn.Threshold(0, 0))
    model.add(nn.Linear(32, 10))
    model.add(nn.LogSoftMax())
    return model


data, targets = loadDigits("digits.csv")
model = createModel()
criterion = nn.ClassNLLCriterion()
parameters, gradParameters = model.getParameters()
confusion = optim.ConfusionMatrix(10)
optimState = luann.Table(
    learningRate=opt.learningRate, learningRateDecay=opt.learningRateDecay,
    momentum=opt.momentum, weightDecay=opt.weightDecay,
)

os.makedirs(opt.save, exist_ok=True)
luann.save(opt.save + "/initial.t7", model)
losses = open(opt.save + "/losses.csv", "w")
log = open(opt.save + "/epochs.csv", "w")

def train(epoch):
    model.training()
    order = luann.random.randperm(opt.trainSize)
    for first in range(1, opt.trainSize + 1, opt.batchSize):
        last = min(first + opt.batchSize - 1, opt.trainSize)
        chosen = order[first - 1 : last].long() - 1
        inputs, classes = data[chosen], targets[chosen]
        def feval(x):
            gradParameters.zero_()
            outputs = model.forward(inputs)
            loss = criterion.forward(outputs, classes)
            model.backward(inputs, criterion.backward(outputs, classes))
            confusion.batchAdd(outputs, classes)
            return loss, gradParameters

        _, fs = optim.sgd(feval, parameters, optimState)
        losses.write("%d,%.17g\n" % (epoch, fs[0]))
        luann.progress(last, opt.trainSize)

    confusion.updateValids()
    accuracy = confusion.totalValid
    confusion.zero()
    return accuracy


def test():
    model.evaluate()
    outputs = model.forward(data[opt.trainSize :])
    confusion.batchAdd(outputs, targets[opt.trainSize :])
    confusion.updateValids()
    accuracy = confusion.totalValid
    confusion.zero()
    return accuracy, outputs


outputs = None
for epoch in range(1, opt.epochs + 1):
    trained = train(epoch)

    tested, outputs = test()
    print("epoch %d: training %.4f, test %.4f" % (epoch, trained, tested))
    log.write("%d,%.17g,%.17g\n" % (epoch, trained, tested))
    checkpoint = {"model": model, "optimState": optimState, "confusion": confusion, "opt": opt}
    luann.save(opt.save + "/checkpoint.t7", checkpoint)

losses.close()
log.close()

luann.save(opt.save + "/outputs.t7", outputs)
luann.save(opt.save + "/model.t7", model.clearState())
