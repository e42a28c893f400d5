"""Trains a model with BatchNormalization in PyTorch: what dtrain's training of the same file is compared with.

Usage: batch-normalization.py FOLDER OPSET training|inference
Writes model.onnx as it was before the training, and result.json: the batch, a second batch, and after five steps of
SGD on the first the state dict and the evaluation-mode output for the second. The five steps are also written as a
case for gradcheck: case.json and case.safetensors.
"""
import json
import struct
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
        # no bias: before a normalization its gradient is zero, and rounding is all there is to compare
        self.second = nn.Conv2d(4, 5, 2, bias=False)
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
case = {"input": x, "target": target}
for step in range(5):
    optimizer.zero_grad()
    output = model(x)
    loss = nn.functional.cross_entropy(output, target)
    loss.backward()
    if step == 0:
        case.update({"output": output, "loss": loss})
        case.update({f"grad.{name}": value.grad.clone() for name, value in model.named_parameters()})
    optimizer.step()
    losses.append(loss.item())
case.update({f"after.{name}": value for name, value in model.state_dict().items() if value.dim() > 0})
case = {name: value.detach().clone().contiguous() for name, value in case.items()}
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

with open(f"{folder}/case.json", "w") as file:
    json.dump(
        {
            "loss": "cross_entropy",
            "inputs": ["input"],
            "target": "target",
            "parameters": [name for name, _ in model.named_parameters()],
            "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
            "lossAtStep": losses,
        },
        file,
    )
header, offset = {}, 0
for name, value in case.items():
    end = offset + value.numel() * value.element_size()
    kind = "I64" if value.dtype == torch.int64 else "F32"
    header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, end]}
    offset = end
text = json.dumps(header).encode()
with open(f"{folder}/case.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for value in case.values():
        file.write(value.numpy().tobytes())
