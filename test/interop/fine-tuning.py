"""Fine-tunes a small network in PyTorch: what dtrain's training of the same file is compared with.

Usage: fine-tuning.py train FOLDER     writes model.onnx (untrained), pretrained.safetensors (half precision in part)
                                       and result.json: the batch, and the state dict after five steps of AdamW
       fine-tuning.py evaluate FOLDER  loads weights.safetensors by name; prints the loss in evaluation mode
"""
import json
import struct
import sys
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")
verb, folder = sys.argv[1], sys.argv[2]
torch.set_num_threads(1)
TYPES = {"F32": torch.float32, "F16": torch.float16, "F64": torch.float64, "I64": torch.int64}


def save(state, path):
    header, data = {}, b""
    for name, value in state.items():
        raw = value.numpy().tobytes()
        tag = next(tag for tag, dtype in TYPES.items() if dtype == value.dtype)
        header[name] = {"dtype": tag, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def load(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    state = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = torch.frombuffer(bytearray(data[start:end]), dtype=TYPES[entry["dtype"]])
        state[name] = values.reshape(entry["shape"])
    return state


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 12, bias=False))  # a bias before BatchNorm has no gradient but rounding
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.norm(self.encoder(x)))


torch.manual_seed(11)
x = torch.randn(20, 6)
target = torch.arange(20) % 3

if verb == "evaluate":
    model = Network().eval()
    model.load_state_dict(load(f"{folder}/weights.safetensors"), strict=True)
    with torch.no_grad():
        print(nn.functional.cross_entropy(model(x), target).item())
    sys.exit()

torch.onnx.export(
    Network().train(), x, f"{folder}/model.onnx", opset_version=15, training=torch.onnx.TrainingMode.TRAINING,
    do_constant_folding=False, input_names=["input"], output_names=["output"], dynamic_axes={"input": {0: "N"}},
)
torch.manual_seed(12)
model = Network().train()
for name in ("norm.running_mean", "norm.running_var"):
    nn.init.uniform_(model.state_dict()[name], 0.5, 1.5)
# a pretrained file holds half precision: both sides begin with the rounded values
with torch.no_grad():
    model.head[0].weight.copy_(model.head[0].weight.half().float())
state = {name: value.clone() for name, value in model.state_dict().items()}
state["head.0.weight"] = state["head.0.weight"].half()
state["head.2.bias"] = state["head.2.bias"].double()
save({f"model.{name}": value for name, value in state.items()}, f"{folder}/pretrained.safetensors")

model.encoder[0].requires_grad_(False)
named = {name: value for name, value in model.named_parameters() if value.requires_grad}
biases = [value for name, value in named.items() if name.endswith(".bias")]
head = [value for name, value in named.items() if name.startswith("head.") and not name.endswith(".bias")]
rest = [value for name, value in named.items() if not name.startswith("head.") and not name.endswith(".bias")]
optimizer = torch.optim.AdamW(
    [{"params": biases, "weight_decay": 0.0}, {"params": head, "lr": 0.03, "weight_decay": 0.2}, {"params": rest}],
    lr=0.01,
    weight_decay=0.1,
)
losses = []
for _ in range(5):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    nn.utils.clip_grad_norm_(named.values(), 0.5)
    optimizer.step()
    losses.append(loss.item())


def flat(tensor):
    return {"shape": list(tensor.shape), "data": [float(value) for value in tensor.flatten()]}


after = {name: flat(value) for name, value in model.state_dict().items() if "num_batches" not in name}
with open(f"{folder}/result.json", "w") as file:
    json.dump({"input": flat(x), "target": target.tolist(), "losses": losses, "after": after}, file)
