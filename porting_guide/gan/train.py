# Trains a generative adversarial pair on 8x8 images of handwritten digits.
# The port of train.lua, line by line. Run it here:  python train.py
import os, re, sys
import torch
import luann
from luann import nn, optim


cmd = luann.CmdLine()
cmd.text("Train a generator of images of digits against a discriminator")
cmd.text("Options")
cmd.option("-data", "../digits/digits.csv", "the images, one a line")
cmd.option("-save", "run", "the folder for what is written")
cmd.option("-seed", 1, "seed of the random numbers")
cmd.option("-epochs", 15, "how many times each image is shown")
cmd.option("-trainSize", 1797, "how many images are used")
cmd.option("-batchSize", 32, "images in a batch")
cmd.option("-nz", 16, "numbers of noise that make an image")
cmd.option("-ngf", 16, "filters of the generator")
cmd.option("-ndf", 16, "filters of the discriminator")
cmd.option("-learningRate", 0.002, "of both optimisers")
cmd.option("-beta1", 0.5, "of both optimisers")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The data: 64 pixels from 0 to 16, then the digit, which is not used. Pixels become -1 to 1, as Tanh gives them.
def loadImages(path, count):
    images = []
    for line in open(path):
        row = []
        for number in re.findall(r"\d+", line): row.append(float(number))
        row.pop()
        images.append(row)
        if len(images) == count: break

    return torch.tensor(images).view(-1, 1, 8, 8).div_(8).add_(-1)


def weightsInit(module):
    name = luann.type(module)
    if "Convolution" in name:
        luann.random.normal(module.weight, 0, 0.05)
        module.bias.zero_()
    elif "BatchNormalization" in name:
        luann.random.normal(module.weight, 1, 0.05)
        module.bias.zero_()



# From noise to an image.
nz, ngf, ndf = opt.nz, opt.ngf, opt.ndf
netG = nn.Sequential()
netG.add(nn.View(nz, 1, 1).setNumInputDims(1))
netG.add(nn.SpatialFullConvolution(nz, ngf * 2, 4, 4))
netG.add(nn.SpatialBatchNormalization(ngf * 2)).add(nn.ReLU(True))
# ngf * 2 planes of 4 x 4
netG.add(nn.SpatialFullConvolution(ngf * 2, ngf, 3, 3, 1, 1, 1, 1))
netG.add(nn.SpatialBatchNormalization(ngf)).add(nn.ReLU(True))
netG.add(nn.SpatialFullConvolution(ngf, 1, 4, 4, 2, 2, 1, 1))
netG.add(nn.Tanh())
netG.apply(weightsInit)

# From an image to the probability that it comes from the data.
netD = nn.Sequential()
netD.add(nn.SpatialConvolution(1, ndf, 4, 4, 2, 2, 1, 1))
netD.add(nn.LeakyReLU(0.2, True))
# ndf planes of 4 x 4
netD.add(nn.SpatialConvolution(ndf, ndf * 2, 3, 3, 1, 1, 1, 1))
netD.add(nn.SpatialBatchNormalization(ndf * 2)).add(nn.LeakyReLU(0.2, True))
netD.add(nn.SpatialConvolution(ndf * 2, 1, 4, 4))
netD.add(nn.Sigmoid())
netD.add(nn.View(1).setNumInputDims(3))
netD.apply(weightsInit)

data = loadImages(opt.data, opt.trainSize)
criterion = nn.BCECriterion()
realLabel, fakeLabel = 1, 0
optimStateD = luann.Table(learningRate=opt.learningRate, beta1=opt.beta1)
optimStateG = luann.Table(learningRate=opt.learningRate, beta1=opt.beta1)
parametersD, gradParametersD = netD.getParameters()
parametersG, gradParametersG = netG.getParameters()

real = torch.empty(opt.batchSize, 1, 8, 8)
noise = torch.empty(opt.batchSize, nz)
label = torch.empty(opt.batchSize, 1)
says = luann.Table()

# The discriminator should say 1 of images from the data and 0 of images from the generator.
def fDx(x):
    gradParametersD.zero_()
    label.fill_(realLabel)
    output = netD.forward(real)
    errReal = criterion.forward(output, label)
    netD.backward(real, criterion.backward(output, label))
    says.real = output.mean().item()

    luann.random.normal(noise, 0, 1)
    fake = netG.forward(noise)
    label.fill_(fakeLabel)
    output = netD.forward(fake)
    errFake = criterion.forward(output, label)
    netD.backward(fake, criterion.backward(output, label))
    says.fake = output.mean().item()
    return errReal + errFake, gradParametersD


# The generator should make the discriminator say 1. Its gradient comes through the discriminator.
def fGx(x):
    gradParametersG.zero_()
    label.fill_(realLabel)
    fake = netG.output
    output = netD.forward(fake)
    err = criterion.forward(output, label)
    gradFake = netD.updateGradInput(fake, criterion.backward(output, label))
    netG.backward(noise, gradFake)
    return err, gradParametersG


os.makedirs(opt.save, exist_ok=True)
losses = open(opt.save + "/losses.csv", "w")
timer = luann.Timer()
for epoch in range(1, opt.epochs + 1):
    order = luann.random.randperm(data.shape[0]).long() - 1
    sumD, sumG, steps = 0, 0, data.shape[0] // opt.batchSize
    for step in range(1, steps + 1):
        torch.index_select(data, 0, order.narrow(0, (step - 1) * opt.batchSize, opt.batchSize), out=real)
        _, fD = optim.adam(fDx, parametersD, optimStateD)
        _, fG = optim.adam(fGx, parametersG, optimStateG)
        losses.write("%d,%.17g,%.17g\n" % (epoch, fD[0], fG[0]))
        sumD, sumG = sumD + fD[0], sumG + fG[0]
        luann.progress(step, steps)

    text = "epoch %2d: loss D %.4f, loss G %.4f, D says %.2f of real and %.2f of fake images"
    print(text % (epoch, sumD / steps, sumG / steps, says.real, says.fake))

losses.close()
sys.stderr.write("%.1f seconds\n" % timer.time().real)

# How far the generated images are from the data, on average over the pixels.
netG.evaluate()
images = netG.forward(luann.random.randn(1000, nz))
means = (images.mean(0) - data.mean(0)).abs().mean()
deviations = (images.std(0) - data.std(0)).abs().mean()
print("difference of the means %.4f, of the deviations %.4f" % (means, deviations))

luann.save(opt.save + "/netG.t7", netG.clearState())
luann.save(opt.save + "/netD.t7", netD.clearState())
