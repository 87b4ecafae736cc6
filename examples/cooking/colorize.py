"""Colour grey photos as DeOldify does: losses of pixels first, a critic alone, then a short GAN of the last layers.

    python examples/cooking/colorize.py --seed 1
    palate taste last
    palate season last adv=x5 --why "the colours are dull"
    palate taste last --tag 900=done                    # ends the last stage

The right margin of each photo is never trained on; the tasting grid shows it in the right half of each picture.
"""

import argparse

import torch
from photos import Patches, load_photos
from torch import nn
from torch.nn import functional as F

import palate
from palate.cooking import Stage, gate, plateau, steps, tasted

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=1200, help="of all stages together, at most")
parser.add_argument("--lr", type=float, default=1e-3, help="of the colouriser; the critic has a quarter of it")
parser.add_argument("--adv", type=float, default=0.02, help="weight of the critic in the GAN; 0: none")
parser.add_argument("--batch", type=int, default=8, help="patches a step")
args = parser.parse_args()

torch.manual_seed(args.seed)
torch.set_num_threads(1)

SIDE, MARGIN, PATCH = 144, 48, 48
photos = load_photos(SIDE)
loader = torch.utils.data.DataLoader(Patches(photos, PATCH, MARGIN, 100 * args.batch), batch_size=args.batch)
unseen = torch.cat([torch.stack(photo[:, :, -MARGIN:].split(PATCH, 1)) for photo in photos.values()])
shown = torch.stack([photo[:, : 2 * MARGIN, -2 * MARGIN :] for photo in photos.values()])
sky = 3 * list(photos).index("china")  # its patch among those unseen

TO_YUV = torch.tensor([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])


def parted(rgb):
    """Return the grey picture and its two channels of colour: blue and red."""
    yuv = torch.einsum("ij,bjhw->bihw", TO_YUV, rgb)
    return yuv[:, :1], yuv[:, 1:]


def joined(grey, colour):
    return torch.einsum("ij,bjhw->bihw", TO_YUV.inverse(), torch.cat([grey, colour], 1)).clamp(0, 1)


def layer(i, o, stride=1, dilation=1):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, dilation, dilation), nn.BatchNorm2d(o), nn.LeakyReLU(0.1))


class Colouriser(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.middle, self.coarse = layer(1, 16), layer(16, 32, 2), layer(32, 64, 2)
        self.wide, self.up = layer(64, 64, dilation=3), layer(96, 32)
        self.head = nn.Sequential(layer(48, 16), nn.Conv2d(16, 2, 1))

    def forward(self, grey):
        fine = self.fine(grey)
        middle = self.middle(fine)
        coarse = F.interpolate(self.wide(self.coarse(middle)), scale_factor=2)
        return self.head(torch.cat([F.interpolate(self.up(torch.cat([coarse, middle], 1)), scale_factor=2), fine], 1))


def edge_loss(colour, real):
    """Compare the differences of neighbours at three scales: where a colour ends matters as much as which it is."""
    scales = [(F.avg_pool2d(colour, 2**k), F.avg_pool2d(real, 2**k)) for k in range(3)]
    return sum(F.l1_loss(mine.diff(dim=d), theirs.diff(dim=d)) for mine, theirs in scales for d in (2, 3))


def guess_loss(logits, real):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def evaluate():
    net.eval()
    grey, real = parted(unseen)
    colour = net(grey)
    amounts = (colour.flatten(2).sort()[0] - real.flatten(2).sort()[0]).abs().mean()  # wherever in the patch
    return {"val_loss": F.l1_loss(colour, real), "colour_distance": amounts, "sky_blue": colour[sky, 0].mean()}


def sample():
    net.eval()
    grey, _ = parted(shown)
    return joined(grey, net(grey))


net = Colouriser()
first = nn.Sequential(nn.Conv2d(3, 24, 4, 2, 1), nn.LeakyReLU(0.2))
critic = nn.Sequential(first, layer(24, 48, 2), layer(48, 64, 2), nn.Conv2d(64, 1, 3, 1, 1))
net_opt = torch.optim.Adam(net.parameters(), lr=args.lr)
critic_opt = torch.optim.Adam(critic.parameters(), lr=args.lr / 4, betas=(0.5, 0.99))
smooth = {"critic_loss": 0.7}

pretrain = Stage("pretrain", losses={"adv": 0}, until=plateau("val_loss") | steps(max(1, args.steps // 2)))
critic_alone = Stage("critic", train=["critic"], until=gate("critic_loss < 0.65") | steps(max(1, args.steps // 8)))
done = tasted("done") | steps(max(1, args.steps // 3))
gan = Stage("gan", losses={"adv": args.adv}, train=["net.head", "critic"], until=done)

parts = {"model": {"net": net, "critic": critic}, "optimizer": {"net": net_opt, "critic": critic_opt}}
run = palate.start("colorize", seed=args.seed, **parts, smooth=smooth)
for stage in run.stages(pretrain, critic_alone, gan):
    for rgb in run.steps(loader):
        net.train()
        grey, real = parted(rgb)
        colour = net(grey)
        painted = joined(grey, colour)
        if stage is not critic_alone:
            edges = edge_loss(colour, real)
            loss = run.mix(l1=F.l1_loss(colour, real), edges=edges, adv=lambda: guess_loss(critic(painted), True))
            net_opt.zero_grad()
            loss.backward()
            net_opt.step()
        if stage is not pretrain:
            loss = (guess_loss(critic(rgb), True) + guess_loss(critic(painted.detach()), False)) / 2
            critic_opt.zero_grad()
            loss.backward()
            critic_opt.step()
            smooth["critic_loss"] += 0.05 * (loss.item() - smooth["critic_loss"])
            run.log(run.step, **smooth)
        run.taste(every=25, grid=sample, metrics=evaluate, value_range=(0, 1))
