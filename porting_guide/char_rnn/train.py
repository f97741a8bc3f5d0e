# Trains an LSTM to foretell the next character of a text.
# The port of train.lua, line by line. Run it here:  python train.py
import math, os, sys
import torch
import luann
from luann import nn, optim



cmd = luann.CmdLine()
cmd.text("Train an LSTM on the characters of a text")
cmd.text("Options")
cmd.option("-input", "sonnets.txt", "the text")
cmd.option("-rnn_size", 64, "size of the states")
cmd.option("-num_layers", 1, "LSTMs one above the other")
cmd.option("-dropout", 0, "for the input of every layer but the first, and of the decoder")
cmd.option("-learning_rate", 0.01, "of rmsprop")
cmd.option("-learning_rate_decay", 0.9, "the factor to it after every epoch")
cmd.option("-learning_rate_decay_after", 6, "the epoch from which on it falls")
cmd.option("-decay_rate", 0.95, "of the mean squares in rmsprop")
cmd.option("-seq_length", 25, "steps of time to go back through")
cmd.option("-batch_size", 10, "sequences at a time")
cmd.option("-max_epochs", 12, "how many times the text is read")
cmd.option("-grad_clip", 5, "no gradient is larger")
cmd.option("-train_frac", 0.95, "the part of the text to learn from")
cmd.option("-seed", 123, "seed of the random numbers")
cmd.option("-save_every", 6, "epochs between checkpoints")
cmd.option("-checkpoint_dir", "cv", "the folder for checkpoints")
cmd.option("-savefile", "lstm", "goes into their names")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
torch.set_num_threads(1)
luann.manualSeed(opt.seed)

# The text as numbers, and the number of each character, from 1 in the order of their codes.
def loadText(path):
    file = open(path)
    text = file.read()
    file.close()
    vocab, characters = luann.Table(), []
    for character in text:
        if character not in vocab:
            vocab[character] = True
            characters.append(character)


    characters.sort()
    for number, character in enumerate(characters, 1): vocab[character] = number
    data = torch.empty(len(text))
    for i in range(len(text)): data[i] = vocab[text[i]]
    return data, vocab, len(characters)


# Lists of batches, batch_size x seq_length: x the characters, y those that follow. Row r of a batch goes on in row r
# of the next.
def cutIntoBatches(data):
    size = opt.batch_size * opt.seq_length
    data = data[: len(data) // size * size]
    following = data.clone()
    following[:-1].copy_(data[1:])
    following[-1] = data[0]
    x = data.view(opt.batch_size, -1).split(opt.seq_length, 1)
    y = following.view(opt.batch_size, -1).split(opt.seq_length, 1)
    return x, y


# One step of time: from [x, c1, h1, c2, h2, ...] to [c1, h1, c2, h2, ..., log-probabilities].
def lstm(vocabSize, rnnSize, layers, dropout):
    inputs, outputs = [nn.Identity()()], []
    for _ in range(2 * layers): inputs.append(nn.Identity()())
    x = nn.LookupTable(vocabSize, rnnSize)(inputs[0])
    for layer in range(1, layers + 1):
        prevC, prevH = inputs[2 * layer - 1], inputs[2 * layer]
        if dropout > 0 and layer > 1: x = nn.Dropout(dropout)(x)
        i2h = nn.Linear(rnnSize, 4 * rnnSize)(x).annotate(name="i2h_%d" % layer)
        h2h = nn.Linear(rnnSize, 4 * rnnSize)(prevH).annotate(name="h2h_%d" % layer)
        sums = nn.Reshape(4, rnnSize)(nn.CAddTable()([i2h, h2h]))
        n1, n2, n3, n4 = nn.SplitTable(2)(sums).split(4)
        inGate, forgetGate, outGate = nn.Sigmoid()(n1), nn.Sigmoid()(n2), nn.Sigmoid()(n3)
        candidate = nn.Tanh()(n4)
        kept = nn.CMulTable()([forgetGate, prevC])
        nextC = nn.CAddTable()([kept, nn.CMulTable()([inGate, candidate])])
        nextH = nn.CMulTable()([outGate, nn.Tanh()(nextC)])
        outputs.append(nextC)
        outputs.append(nextH)
        x = nextH

    if dropout > 0: x = nn.Dropout(dropout)(x)
    decoded = nn.Linear(rnnSize, vocabSize)(x).annotate(name="decoder")
    outputs.append(nn.LogSoftMax()(decoded))
    return nn.gModule(inputs, outputs)


data, vocab, vocabSize = loadText(opt.input)
trainSize = math.floor(len(data) * opt.train_frac)
trainX, trainY = cutIntoBatches(data[:trainSize])
testX, testY = cutIntoBatches(data[trainSize:])
print("%d characters, %d of them different" % (len(data), vocabSize))
print("%d batches to learn from, %d for the test" % (len(trainX), len(testX)))

protos = luann.Table()
protos.rnn = lstm(vocabSize, opt.rnn_size, opt.num_layers, opt.dropout)
protos.criterion = nn.ClassNLLCriterion()
# First the flat parameters, then the clones: these share the memory in which the parameters lie now.
parameters, gradParameters = protos.rnn.getParameters()
luann.random.uniform(parameters, -0.08, 0.08)
for node in protos.rnn.forwardnodes:
    if (node.data.annotations.get("name") or "").startswith("i2h"):
        node.data.module.bias[opt.rnn_size : 2 * opt.rnn_size].fill_(1)


rnns, criterions = [], []
for _ in range(opt.seq_length):
    rnns.append(protos.rnn.clone("weight", "bias", "gradWeight", "gradBias"))
    criterions.append(protos.criterion.clone())


# The states at the beginning of a text, and those with which the next batch goes on.
def zeros():
    states = []
    for _ in range(2 * opt.num_layers): states.append(torch.zeros(opt.batch_size, opt.rnn_size))
    return states

current = luann.Table(batch=0, states=zeros())

# The steps of time, one after the other. before[t] are the states before step t, before[seq_length] the last.
def forward(x, y, states):
    before, predictions, loss = [states], [], 0
    for t in range(opt.seq_length):
        outputs = rnns[t].forward([x[:, t], *before[t]])
        before.append(outputs[:-1])
        predictions.append(outputs[-1])
        loss = loss + criterions[t].forward(predictions[t], y[:, t])

    return before, predictions, loss / opt.seq_length


def feval(_):
    gradParameters.zero_()
    current.batch = current.batch % len(trainX) + 1
    x, y = trainX[current.batch - 1], trainY[current.batch - 1]
    before, predictions, loss = forward(x, y, current.states)
    grads = zeros()
    for t in range(opt.seq_length - 1, -1, -1):
        grads.append(criterions[t].backward(predictions[t], y[:, t]))
        gradInput = rnns[t].backward([x[:, t], *before[t]], grads)
        grads = gradInput[1:]

    # The next pass writes over the outputs of the last clone, which are still the input of the first.
    for i, state in enumerate(before[opt.seq_length]): current.states[i] = state.clone()
    gradParameters.clamp_(-opt.grad_clip, opt.grad_clip)
    return loss, gradParameters


def test():
    for t in range(opt.seq_length): rnns[t].evaluate()
    states, total = zeros(), 0
    for i in range(len(testX)):
        before, _, loss = forward(testX[i], testY[i], states)
        for k, state in enumerate(before[opt.seq_length]): states[k] = state.clone()
        total = total + loss

    for t in range(opt.seq_length): rnns[t].training()
    return total / len(testX)


os.makedirs(opt.checkpoint_dir, exist_ok=True)
state = luann.Table(learningRate=opt.learning_rate, alpha=opt.decay_rate)
trainLosses, valLosses = [], []
for epoch in range(1, opt.max_epochs + 1):
    total = 0
    for i in range(1, len(trainX) + 1):
        _, fs = optim.rmsprop(feval, parameters, state)
        trainLosses.append(fs[0])
        total = total + fs[0]
        luann.progress(i, len(trainX))

    valLosses.append(test())
    print("epoch %2d: loss %.4f, test %.4f" % (epoch, total / len(trainX), valLosses[-1]))
    if epoch >= opt.learning_rate_decay_after: state.learningRate = state.learningRate * opt.learning_rate_decay
    if epoch % opt.save_every == 0 or epoch == opt.max_epochs:
        checkpoint = luann.Table(protos=protos, opt=opt, vocab=vocab, epoch=epoch, i=len(trainLosses))
        checkpoint.train_losses, checkpoint.val_losses, checkpoint.val_loss = trainLosses, valLosses, valLosses[-1]
        name = "lm_%s_epoch%.2f_%.4f.t7" % (opt.savefile, epoch, valLosses[-1])
        luann.save(os.path.join(opt.checkpoint_dir, name), checkpoint)
        print("saved " + os.path.join(opt.checkpoint_dir, name))


print("lowest loss of the test %.4f" % min(valLosses))
