# Trains a variational autoencoder on images of handwritten digits, and draws digits with it.
# The port of train.lua, line by line. Run it here:  python train.py
import math, os
import re
import torch
import luann
from luann import nn, optim
from layers import KLDCriterion, Sampler

cmd = luann.CmdLine()
cmd.text("Trains a variational autoencoder on handwritten digits.")
cmd.text("Options")
cmd.option("-data", "../digits/digits.csv", "images of 8x8 pixels, and the digit, in each line")
cmd.option("-save", "run", "the folder for what is written")
cmd.option("-seed", 1, "of the random numbers")
cmd.option("-trainSize", 1500, "how many of the images are for training")
cmd.option("-epochs", 30, "how often they are seen")
cmd.option("-batchSize", 50, "how many images a batch has")
cmd.option("-hidden", 128, "the size of the hidden layers")
cmd.option("-code", 8, "the size of the codes")
cmd.option("-learningRate", 3e-3, "of the steps")
opt = cmd.parse()
luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The data: 64 pixels from 0 to 16, then the digit, which is not used here.
def loadImages(path):
    images = []
    for line in open(path):
        row = []
        for number in re.findall(r"\d+", line): row.append(float(number))
        row.pop()
        images.append(row)

    return torch.tensor(images).div_(16)


# From an image to the mean and the logarithm of the variance of its code.
def createEncoder(pixels, hidden, code):
    encoder = nn.Sequential()
    encoder.add(nn.Linear(pixels, hidden))
    encoder.add(nn.ReLU())
    encoder.add(nn.ConcatTable().add(nn.Linear(hidden, code)).add(nn.Linear(hidden, code)))
    return encoder


# From a code to an image.
def createDecoder(pixels, hidden, code):
    decoder = nn.Sequential()
    decoder.add(nn.Linear(code, hidden))
    decoder.add(nn.ReLU())
    decoder.add(nn.Linear(hidden, pixels))
    decoder.add(nn.Sigmoid())
    return decoder


images = loadImages(opt.data)
encoder = createEncoder(64, opt.hidden, opt.code)
sampler = Sampler()
decoder = createDecoder(64, opt.hidden, opt.code)
model = nn.Sequential().add(encoder).add(sampler).add(decoder)
bce, kld = nn.BCECriterion(), KLDCriterion()
bce.sizeAverage = False
parameters, gradParameters = model.getParameters()
optimState = luann.Table(learningRate=opt.learningRate)

os.makedirs(opt.save, exist_ok=True)
losses = open(opt.save + "/losses.csv", "w")

def train(epoch):
    model.training()
    order, total = (luann.random.randperm(opt.trainSize).long() - 1).split(opt.batchSize), 0
    for batch, chosen in enumerate(order, 1):
        inputs = images[chosen]
        def feval(x):
            gradParameters.zero_()
            code = encoder.forward(inputs)
            z = sampler.forward(code)
            outputs = decoder.forward(z)
            loss = (bce.forward(outputs, inputs) + kld.forward(code)) / inputs.size(0)
            dz = decoder.backward(z, bce.backward(outputs, inputs))
            dcode, dkld = sampler.backward(code, dz), kld.backward(code)
            encoder.backward(inputs, [dcode[0] + dkld[0], dcode[1] + dkld[1]])
            gradParameters.div_(inputs.size(0))
            return loss, gradParameters

        _, fs = optim.adam(feval, parameters, optimState)
        losses.write("%d,%.17g\n" % (epoch, fs[0]))
        total = total + fs[0]
        luann.progress(batch, len(order))

    return total / len(order)


# The loss on the test images, with the means as codes.
def test(model):
    model.evaluate()
    inputs = images[opt.trainSize :]
    outputs = model.forward(inputs)
    return (bce.forward(outputs, inputs) + kld.forward(model.get(1).output)) / inputs.size(0)


shades = " .:-=+*#%@"

# Prints images side by side.
def draw(images):
    for row in range(8):
        line = ""
        for i in range(images.size(0)):
            for column in range(8):
                level = math.floor(images[i][8 * row + column] * 9.99)
                line = line + shades[level]

            line = line + "   "

        print(line)



for epoch in range(1, opt.epochs + 1):
    trained, tested = train(epoch), test(model)
    print("epoch %d: training %.4f, test %.4f" % (epoch, trained, tested))

losses.close()

luann.save(opt.save + "/model.t7", model.clearState())
loaded = luann.load(opt.save + "/model.t7")
print("out of the file: test %.4f" % test(loaded))

print("test images, and what is left of them after coding and decoding:")
some = images[opt.trainSize : opt.trainSize + 6]
draw(some)
draw(loaded.forward(some))
print("images of codes that were drawn at random:")
draw(loaded.get(3).forward(luann.random.randn(6, opt.code)))
