# Trains a net on images of the digits 0 to 4; train.py takes it from there.
# The port of pretrain.lua, line by line. Run it here:  python pretrain.py
import os, re, sys
import torch
import luann
from luann import nn, optim


cmd = luann.CmdLine()
cmd.text("Train a net on the digits 0 to 4")
cmd.text("Options")
cmd.option("-data", "../digits/digits.csv", "the images, one a line")
cmd.option("-save", "run", "the folder for the net")
cmd.option("-seed", 1, "seed of the random numbers")
cmd.option("-epochs", 10, "how many times each image is shown")
cmd.option("-batchSize", 32, "images in a batch")
cmd.option("-learningRate", 0.1, "of sgd")
cmd.option("-momentum", 0.9, "of sgd")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The images of the digits 0 to 4, with classes from 1 to 5.
def loadDigits(path):
    images, classes = [], []
    for line in open(path):
        row = []
        for number in re.findall(r"\d+", line): row.append(int(number))
        label = row.pop() + 1
        if label <= 5:
            images.append(row)
            classes.append(label)


    return torch.tensor(images).double().view(-1, 1, 8, 8).div_(16), torch.tensor(classes)


model = nn.Sequential()
model.add(nn.SpatialConvolution(1, 8, 3, 3, 1, 1, 1, 1))
model.add(nn.SpatialBatchNormalization(8))
model.add(nn.ReLU(True))
model.add(nn.SpatialMaxPooling(2, 2))
model.add(nn.SpatialConvolution(8, 16, 3, 3, 1, 1, 1, 1))
model.add(nn.SpatialBatchNormalization(16))
model.add(nn.ReLU(True))
model.add(nn.View(16 * 4 * 4))
model.add(nn.Linear(16 * 4 * 4, 32))
model.add(nn.ReLU(True))
model.add(nn.Linear(32, 5))
model.add(nn.LogSoftMax())

images, classes = loadDigits(opt.data)
criterion = nn.ClassNLLCriterion()
parameters, gradParameters = model.getParameters()
optimState = luann.Table(learningRate=opt.learningRate, momentum=opt.momentum)
count = images.shape[0]
for epoch in range(1, opt.epochs + 1):
    order = luann.random.randperm(count).long() - 1
    total = 0
    for first in range(1, count + 1, opt.batchSize):
        size = min(opt.batchSize, count - first + 1)
        chosen = order.narrow(0, first - 1, size)
        inputs, targets = images[chosen], classes[chosen]
        def feval(x):
            gradParameters.zero_()
            outputs = model.forward(inputs)
            loss = criterion.forward(outputs, targets)
            model.backward(inputs, criterion.backward(outputs, targets))
            return loss, gradParameters

        _, fs = optim.sgd(feval, parameters, optimState)
        total = total + fs[0] * size
        luann.progress(first + size - 1, count)

    print("epoch %d: loss %.6f" % (epoch, total / count))


os.makedirs(opt.save, exist_ok=True)
luann.save(opt.save + "/base.t7", model.clearState())
