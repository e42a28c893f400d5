"""
Exports a Keras model (TensorFlow backend, through tf2onnx) for training with dtrain, with what TensorFlow computes for
it, and a table of which tensor of the file is which variable, to bring trained weights back:

    pip install keras tensorflow-cpu tf2onnx onnx
    python keras_model.py FOLDER
    dtrain gradcheck FOLDER
"""

import json
import os
import sys
from itertools import permutations
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras
import numpy as np
import onnx
import tensorflow as tf
from keras import layers
from onnx import numpy_helper

from case import write_case

OPTIMIZER = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}


def gelu(x):
    return keras.activations.gelu(x, approximate=True)  # the exact one becomes Erfc, which is no ONNX operator


def classifier():
    return keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Reshape((16, 8)),
            layers.LSTM(6),
            layers.Dense(8, activation=gelu),
            layers.LayerNormalization(),
            layers.Dense(3),
        ]
    )


def tell_apart(model, scale=1e-3, seed=0):
    """tf2onnx merges tensors that are equal, such as fresh biases, and they would be trained as one: make them differ."""
    noise = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(scale * noise.standard_normal(variable.shape).astype("float32"))


def variables_in(model, path):
    """{variable: [tensor of the file, order of the variable's axes in it]}, found by their values."""
    found = {}
    tensors = {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    for variable in model.trainable_variables:
        value = variable.numpy()
        for axes in permutations(range(value.ndim)):
            turned = value.transpose(axes).ravel()
            names = [name for name, tensor in tensors.items() if np.array_equal(tensor.ravel(), turned)]
            if names:
                found[variable.path] = [names[0], list(axes)]
                break
    return found


def restore(model, table, weights):
    """Puts trained weights ({name: array}, of weights.safetensors) into the model's variables."""
    for variable in model.trainable_variables:
        name, axes = table[variable.path]
        turned = weights[name].reshape([variable.shape[axis] for axis in axes])
        variable.assign(turned.transpose(np.argsort(axes)))


def reference(model, table, images, target, folder, steps=3):
    """Trains for some steps on one batch."""
    shapes = {each.name: tuple(each.dims) for each in onnx.load(folder / "model.onnx").graph.initializer}
    variables = model.trainable_variables
    in_file = lambda variable, value: (
        np.asarray(value).transpose(table[variable.path][1]).reshape(shapes[table[variable.path][0]])
    )
    velocity = [np.zeros(variable.shape, "float32") for variable in variables]
    losses = []
    for step in range(steps):
        with tf.GradientTape() as tape:
            output = model(images)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(logits=output, labels=target)
            )
        slopes = [np.asarray(each) for each in tape.gradient(loss, variables)]
        losses.append(float(loss))
        if step == 0:
            first = output.numpy()
            known = [(v, s) for v, s in zip(variables, slopes) if v.path in table]
            gradients = {table[v.path][0]: in_file(v, s) for v, s in known}
        for i, variable in enumerate(variables):
            if variable.path not in table:
                continue  # gradcheck holds still what it does not compare
            velocity[i] = OPTIMIZER["momentum"] * velocity[i] + slopes[i]
            variable.assign_sub(OPTIMIZER["lr"] * velocity[i])
    write_case(
        folder,
        loss="cross_entropy",
        inputs={model.inputs[0].name: images},
        target=target,
        output=first,
        losses=losses,
        gradients=gradients,
        after={table[v.path][0]: in_file(v, v.numpy()) for v in variables if v.path in table},
        optimizer=OPTIMIZER,
        made_by=f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(7)
    model = classifier()
    images = np.random.default_rng(1).standard_normal((4, 8, 8, 3)).astype("float32")
    tell_apart(model)
    model(images)  # a model that was never called is not exported
    path = str(folder / "model.onnx")
    model.export(path, format="onnx")
    table = variables_in(model, path)
    (folder / "variables.json").write_text(json.dumps(table, indent=1) + "\n")
    for variable in model.trainable_variables:
        if variable.path not in table:
            print(f"{variable.path} is rearranged in the file: it trains, but does not come back by name")
    reference(model, table, images, np.array([0, 2, 1, 2]), folder)
