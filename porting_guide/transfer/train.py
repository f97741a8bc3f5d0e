# Teaches the net of pretrain.py, which knows the digits 0 to 4, the digits 5 to 9 from a few images of each.
# The port of train.lua, line by line. Run it here:  python pretrain.py; python train.py
import re, sys
import torch
import luann
from luann import nn, optim

cmd = luann.CmdLine()
cmd.text("Teach a trained net new classes")
cmd.text("Options")
cmd.option("-data", "../digits/digits.csv", "the images, one a line")
cmd.option("-save", "run", "the folder for the net")
cmd.option("-base", "run/base.t7", "the net to begin with")
cmd.option("-scratch", False, "draw its parameters anew, for comparison")
cmd.option("-seed", 1, "seed of the random numbers")
cmd.option("-perClass", 4, "images of each class to learn from")
cmd.option("-headEpochs", 20, "how many times each image is shown while only the new layer learns")
cmd.option("-epochs", 40, "how many times each image is shown while all layers learn")
cmd.option("-batchSize", 5, "images in a batch")
cmd.option("-learningRate", 0.05, "of the new layer")
cmd.option("-baseRate", 0.1, "the factor to it for the other layers")
cmd.option("-momentum", 0.9, "of sgd")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The images of the digits 5 to 9, with classes from 1 to 5; the first of each to learn from, the others for the test.
def loadDigits(path, perClass):
    train, test = luann.Table(images=[], classes=[]), luann.Table(images=[], classes=[])
    seen = [0, 0, 0, 0, 0]
    for line in open(path):
        row = []
        for number in re.findall(r"\d+", line): row.append(int(number))
        label = row.pop() - 4
        if label >= 1:
            seen[label - 1] = seen[label - 1] + 1
            part = train if seen[label - 1] <= perClass else test
            part.images.append(row)
            part.classes.append(label)


    for part in [train, test]:
        part.images = torch.tensor(part.images).double().view(-1, 1, 8, 8).div_(16)
        part.classes = torch.tensor(part.classes)

    return train, test


# The net without its last four layers, and new ones in their place.
model = luann.load(opt.base)
for _ in range(4): model.remove()
head = nn.Sequential()
head.add(nn.Linear(16 * 4 * 4, 5))
head.add(nn.LogSoftMax())
model.add(head)
if opt.scratch: model.reset()
# Nobody uses the gradient with respect to the images: the first layer need not compute it.
model.get(1).gradInput = None
print(model)

trainSet, testSet = loadDigits(opt.data, opt.perClass)
criterion = nn.ClassNLLCriterion()
before = model.get(1).weight.clone()
batch, losses = luann.Table(), []

def train(feval, x, state):
    count = trainSet.classes.shape[0]
    order = luann.random.randperm(count).long() - 1
    for first in range(1, count + 1, opt.batchSize):
        chosen = order.narrow(0, first - 1, min(opt.batchSize, count - first + 1))
        batch.images, batch.classes = trainSet.images[chosen], trainSet.classes[chosen]
        _, fs = optim.sgd(feval, x, state)
        losses.append(fs[0])



def test(net, name):
    net.evaluate()
    _, best = net.forward(testSet.images).max(1)
    right = (best + 1).eq(testSet.classes).sum().item()
    accuracy = right / testSet.classes.shape[0]
    moved = (net.get(1).weight - before).abs().max().item()
    print("%s: test accuracy %.4f, the first layer moved by %.4f" % (name, accuracy, moved))
    return accuracy


# First only the new layers learn. The others are as in a test, and nothing goes back through them.
headParameters, headGradParameters = head.getParameters()
def fHead(x):
    headGradParameters.zero_()
    outputs = model.forward(batch.images)
    loss = criterion.forward(outputs, batch.classes)
    features = model.get(model.size() - 1).output
    head.backward(features, criterion.backward(outputs, batch.classes))
    return loss, headGradParameters

headState = luann.Table(learningRate=opt.learningRate, momentum=opt.momentum)
for epoch in range(1, opt.headEpochs + 1):
    model.evaluate()
    head.training()
    train(fHead, headParameters, headState)
    luann.progress(epoch, opt.headEpochs)

headAccuracy = test(model, "new layer")

# Then all learn, each at its own rate. From here on headParameters are no longer those of the net.
parameters, gradParameters = model.getParameters()
learningRates = torch.empty(parameters.shape[0]).fill_(opt.baseRate)
for parameter in head.parameters()[0]:
    learningRates.narrow(0, parameter.storage_offset(), parameter.numel()).fill_(1)

def fModel(x):
    gradParameters.zero_()
    outputs = model.forward(batch.images)
    loss = criterion.forward(outputs, batch.classes)
    model.backward(batch.images, criterion.backward(outputs, batch.classes))
    return loss, gradParameters

state = luann.Table(learningRate=opt.learningRate, momentum=opt.momentum, learningRates=learningRates)
for epoch in range(1, opt.epochs + 1):
    model.training()
    # The means and variances of the base come from many images; a few must not replace them.
    for module in [] if opt.scratch else model.findModules("nn.SpatialBatchNormalization")[0]:
        module.evaluate()

    train(fModel, parameters, state)
    luann.progress(epoch, opt.epochs)

accuracy = test(model, "all layers")

luann.save(opt.save + "/model.t7", model.clearState())
again = luann.load(opt.save + "/model.t7")
assert again.get(1).gradInput is None and test(again, "reloaded") == accuracy
