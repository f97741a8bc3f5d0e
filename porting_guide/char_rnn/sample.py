# Writes text with a net that train.py has trained.
# The port of sample.lua, line by line. Run it here:  python sample.py cv/lm_lstm_epoch12.00_2.0869.t7
import sys
import torch
import luann

cmd = luann.CmdLine()
cmd.text("Write text with a trained net")
cmd.argument("-checkpoint", "a file that train.py wrote")
cmd.text("Options")
cmd.option("-seed", 123, "seed of the random numbers")
cmd.option("-sample", 1, "1 to draw each character, 0 to take the likeliest")
cmd.option("-primetext", "Shall ", "what the net reads first, not empty")
cmd.option("-length", 400, "how many characters it writes")
cmd.option("-temperature", 1, "below 1 the likely characters become likelier")
opt = cmd.parse(sys.argv[1:])

luann.setdefaulttensortype("torch.DoubleTensor")
luann.manualSeed(opt.seed)

checkpoint = luann.load(opt.checkpoint)
net, vocab = checkpoint.protos.rnn, checkpoint.vocab
net.evaluate()
characters = {}
for character, number in vocab.items(): characters[number] = character

# Lets the net read a character: the states behind it, and the log-probabilities of the next one.
def read(number, states):
    outputs = net.forward([torch.tensor([number]), *states])
    after = []
    for i in range(len(outputs) - 1): after.append(outputs[i].clone())
    return after, outputs[-1]


states, prediction = [], None
for _ in range(2 * checkpoint.opt.num_layers): states.append(torch.zeros(1, checkpoint.opt.rnn_size))
for character in opt.primetext:
    states, prediction = read(vocab[character], states)

sys.stdout.write(opt.primetext)

for _ in range(opt.length):

    if opt.sample == 0:
        _, best = prediction.max(1)
        number = best[0].item() + 1
    else:
        probabilities = torch.exp(prediction / opt.temperature).squeeze()
        probabilities.div_(probabilities.sum())
        number = luann.random.multinomial(probabilities.float(), 1)[0].item()

    sys.stdout.write(characters[number])
    states, prediction = read(number, states)

sys.stdout.write("\n")
