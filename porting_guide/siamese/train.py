# Trains a siamese net on pairs of images: two branches with the same parameters give each image a code, and
# images of the same digit get codes that are close together.
# The port of train.lua, line by line. Run it here:  python train.py
import os
import re
import torch
import luann
from luann import nn, optim

cmd = luann.CmdLine()
cmd.text("Trains a siamese net on pairs of handwritten digits.")
cmd.text("Options")
cmd.option("-data", "../digits/digits.csv", "images of 8x8 pixels, and the digit, in each line")
cmd.option("-save", "run", "the folder for what is written")
cmd.option("-seed", 1, "of the random numbers")
cmd.option("-trainSize", 1500, "how many of the images are for training")
cmd.option("-epochs", 10, "how often the codes are tested")
cmd.option("-batches", 100, "how many batches an epoch has")
cmd.option("-batchSize", 64, "how many pairs a batch has; half of them of the same digit")
cmd.option("-code", 16, "the size of the codes")
cmd.option("-loss", "cosine", "cosine: of the angle between two codes; hinge: of their distance")
cmd.option("-margin", 0.2, "below which cosine, or from which distance on, different digits are different enough")
cmd.option("-learningRate", 0.5, "of the first step")
cmd.option("-learningRateDecay", 1e-3, "how fast it falls")
cmd.option("-momentum", 0.9, "of the steps")
opt = cmd.parse()
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

    return torch.tensor(images).div_(16), torch.tensor(labels)


def createBranch(code):
    branch = nn.Sequential()
    branch.add(nn.Linear(64, 64))
    branch.add(nn.ReLU())
    branch.add(nn.Linear(64, code))
    return branch


# The branch twice, side by side; then the distance of the codes, unless the criterion compares them itself.
def createSiamese(branch, loss):
    twins = nn.ParallelTable()
    twins.add(branch)
    twins.add(branch.clone("weight", "bias", "gradWeight", "gradBias"))
    siamese = nn.Sequential().add(twins)
    if loss == "hinge": siamese.add(nn.PairwiseDistance(2))
    return siamese


images, labels = loadDigits(opt.data)
branch = createBranch(opt.code)
siamese = createSiamese(branch, opt.loss)
hinge = opt.loss == "hinge"
criterion = nn.HingeEmbeddingCriterion(opt.margin) if hinge else nn.CosineEmbeddingCriterion(opt.margin)
parameters, gradParameters = siamese.getParameters()
optimState = luann.Table(
    learningRate=opt.learningRate, learningRateDecay=opt.learningRateDecay, momentum=opt.momentum,
)
print(siamese)
print(str(parameters.size(0)) + " parameters")

# The training images of each class.
members = {}
for c in range(1, 11): members[c] = []
for i in range(opt.trainSize): members[int(labels[i])].append(i)

# Two training images of the same digit, or of different ones.
def drawPair(same):
    one = luann.random.random(10)
    two = one
    while not same and two == one: two = luann.random.random(10)
    i, j = luann.random.random(len(members[one])), luann.random.random(len(members[two]))
    return members[one][i - 1], members[two][j - 1]


def drawBatch():
    first, second = torch.zeros(opt.batchSize, dtype=torch.long), torch.zeros(opt.batchSize, dtype=torch.long)
    targets = torch.zeros(opt.batchSize)
    for k in range(opt.batchSize):
        same = k % 2 == 0
        first[k], second[k] = drawPair(same)
        targets[k] = 1 if same else -1

    return [images[first], images[second]], targets


os.makedirs(opt.save, exist_ok=True)
losses = open(opt.save + "/losses.csv", "w")
logger = optim.Logger(opt.save + "/train.log")
logger.setNames(["loss", "nearest"])

def trainEpoch():
    total = 0
    for batch in range(1, opt.batches + 1):
        inputs, targets = drawBatch()
        def feval(x):
            gradParameters.zero_()
            outputs = siamese.forward(inputs)
            loss = criterion.forward(outputs, targets)
            siamese.backward(inputs, criterion.backward(outputs, targets))
            return loss, gradParameters

        _, fs = optim.sgd(feval, parameters, optimState)
        losses.write("%d,%.17g\n" % (batch, fs[0]))
        total = total + fs[0]
        luann.progress(batch, opt.batches)

    return total / opt.batches


# For how many of the test images the nearest training image shows the same digit.
def test(branch):
    codes = branch.forward(images).clone()
    if not hinge: codes.div_(codes.norm(2, 1, keepdim=True).expand_as(codes))
    known, new = codes[: opt.trainSize], codes[opt.trainSize :]
    distances = torch.mm(new, known.t()).mul_(-2)
    distances.add_(torch.pow(known, 2).sum(1, keepdim=True).t().expand_as(distances))
    _, nearest = torch.min(distances, 1)
    found = labels[nearest]
    return found.eq(labels[opt.trainSize :]).sum().item() / new.size(0)


for epoch in range(1, opt.epochs + 1):
    loss, accuracy = trainEpoch(), test(branch)
    print("epoch %d: loss %.4f, nearest neighbour %.4f" % (epoch, loss, accuracy))
    logger.add([loss, accuracy])

losses.close()

# The file keeps what the branches share.
luann.save(opt.save + "/model.t7", siamese.clearState())
loaded = luann.load(opt.save + "/model.t7")
one, two = loaded.get(1).get(1), loaded.get(1).get(2)
print("out of the file: nearest neighbour %.4f" % test(one))
print("the branches differ by %g" % torch.dist(one.forward(images), two.forward(images)))
