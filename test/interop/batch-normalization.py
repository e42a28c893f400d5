"""Trains a model with BatchNormalization in PyTorch: what dtrain's training of the same file is compared with.

Usage: batch-normalization.py FOLDER OPSET training|inference
Writes model.onnx as it was before the training, and result.json: the batch, a second batch, and after five steps of
SGD on the first the state dict and the evaluation-mode output for the second.
"""
import json
import sys
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")
folder, opset, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(7)
torch.set_num_threads(1)


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 2)
        # used twice: its running statistics take a step for each use
        self.bn2 = nn.BatchNorm2d(5, momentum=0.3, eps=1e-3)
        self.bn3 = nn.BatchNorm1d(5, momentum=1.0)
        self.head = nn.Linear(5, 3)
        for bn in (self.bn1, self.bn2, self.bn3):
            nn.init.uniform_(bn.weight, 0.5, 1.5)
            nn.init.uniform_(bn.bias, -0.5, 0.5)
            nn.init.uniform_(bn.running_mean, -0.5, 0.5)
            nn.init.uniform_(bn.running_var, 0.5, 1.5)

    def forward(self, x):
        h = torch.relu(self.bn1(self.first(x)))
        h = self.bn2(torch.tanh(self.bn2(self.second(h))))
        return self.head(self.bn3(h.mean((2, 3))))


model = Normalized()
x, later = torch.randn(12, 3, 6, 6), torch.randn(5, 3, 6, 6)
target = torch.arange(12) % 3
training = form == "training"
model.train(training)
mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.PRESERVE
torch.onnx.export(
    model, x, f"{folder}/model.onnx", opset_version=opset, training=mode, do_constant_folding=False,
    input_names=["input"], output_names=["output"], dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
)
# exporting in training mode runs the model, which moves the running statistics before they are written
model.train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
losses = []
for _ in range(5):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval()
with torch.no_grad():
    output = model(later)


def flat(tensor):
    return {"shape": list(tensor.shape), "data": [float(value) for value in tensor.flatten()]}


with open(f"{folder}/result.json", "w") as file:
    json.dump(
        {
            "input": flat(x),
            "target": [int(value) for value in target],
            "losses": losses,
            "after": {
                name: flat(value)
                for name, value in model.state_dict().items()
                if not name.endswith("num_batches_tracked")
            },
            "later": flat(later),
            "output": flat(output),
        },
        file,
    )
