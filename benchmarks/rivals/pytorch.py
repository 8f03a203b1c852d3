"""PyTorch: a plain loop with channels-last memory, and `torch.func.vmap` over the tasks."""

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional as F

from rivals import problem as p

VARIANTS = ("pytorch_loop", "pytorch_vmap")


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, p.FILTERS, 3, stride=2)
        self.norm = nn.BatchNorm2d(
            p.FILTERS, eps=p.NORMALIZATION_EPSILON, track_running_stats=False
        )

    def forward(self, x):
        # "same" padding as in TensorFlow: the odd pixel below and on the right.
        odd = x.shape[-1] % 2
        x = F.pad(x, (odd, 1, odd, 1))
        return F.relu(self.norm(self.conv(x)))


def network(problem):
    blocks = [Block(1 if i == 0 else p.FILTERS) for i in range(p.BLOCKS)]
    model = nn.Sequential(*blocks, ToChannelsLast(), nn.Flatten(), nn.Linear(256, 5))
    ways = problem.weights[-1].shape[0]
    model[-1] = nn.Linear(256, ways)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), problem.weights, strict=True):
            value = torch.tensor(value)
            if value.ndim == 4:
                value = value.permute(3, 2, 0, 1)
            parameter.copy_(value.T if value.ndim == 2 else value)
    return model


class ToChannelsLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def prepare(problem, variant, cores):
    torch.set_num_threads(cores)
    images = torch.tensor(problem.images).permute(0, 1, 2, 5, 3, 4)
    labels = torch.tensor(problem.labels).long()
    return {"pytorch_loop": loop, "pytorch_vmap": at_once}[variant](problem, images, labels)


def loop(problem, images, labels):
    model = network(problem).to(memory_format=torch.channels_last)
    minibatches = [
        [x.contiguous(memory_format=torch.channels_last) for x in task] for task in images
    ]
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, p.LEARNING_RATE, (0.0, p.BETA_2), p.EPSILON)

    def run():
        theta = [w.detach().clone() for w in parameters]
        total = [torch.zeros_like(w) for w in theta]
        first = 0.0
        for xs, ys in zip(minibatches, labels, strict=True):
            with torch.no_grad():
                torch._foreach_copy_(parameters, theta)
            for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                first += loss.item() if k == 0 else 0.0
            with torch.no_grad():
                torch._foreach_add_(total, torch._foreach_sub(parameters, theta))
        with torch.no_grad():
            torch._foreach_copy_(parameters, theta)
            torch._foreach_add_(parameters, total, alpha=p.META_STEP_SIZE / len(labels))
        return first / len(labels)

    return run


def at_once(problem, images, labels):
    model = network(problem)
    tasks, steps, _ = labels.shape
    state = {
        "theta": {name: w.detach() for name, w in model.named_parameters()},
        "v": {name: torch.zeros_like(w) for name, w in model.named_parameters()},
        "t": 0,
    }

    def loss_of(weights, x, y):
        return F.cross_entropy(functional_call(model, weights, (x,)), y)

    gradients = vmap(grad_and_value(loss_of))

    def run():
        repeat = lambda w: w.expand(tasks, *w.shape).clone()  # noqa: E731
        weights = {n: repeat(w) for n, w in state["theta"].items()}
        v = {n: repeat(m) for n, m in state["v"].items()}
        first = None
        for k in range(steps):
            g, losses = gradients(weights, images[:, k], labels[:, k])
            first = losses.mean().item() if k == 0 else first
            t = state["t"] + k + 1
            rate = p.LEARNING_RATE * (1 - p.BETA_2**t) ** 0.5
            for n in weights:
                v[n].mul_(p.BETA_2).addcmul_(g[n], g[n], value=1 - p.BETA_2)
                weights[n].addcdiv_(g[n], v[n].sqrt().add_(p.EPSILON), value=-rate)
        for n, w in state["theta"].items():
            state["theta"][n] = w + p.META_STEP_SIZE * (weights[n].mean(0) - w)
            state["v"][n] = v[n].mean(0)
        state["t"] += steps
        return first

    return run
