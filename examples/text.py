#!/usr/bin/env python3
"""Text: learns from five docstrings of each of three Python modules to tell these modules apart.

A class is a module of Python's standard library, as it is installed. The network is a small
transformer of a dict: ids, a hash of each word and 0 behind the last one; is_word, which are words.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import ast
import re
import zlib
from pathlib import Path

import keras
from absl import app, flags
from keras import layers, ops
from keras.utils import pad_sequences

import keras_reptile as kr

FLAGS = flags.FLAGS
flags.DEFINE_integer("meta_iterations", 300, "Meta-iterations.")
flags.DEFINE_integer("test_tasks", 100, "Test tasks.")
LENGTH, VOCABULARY, WIDTH, WAYS = 24, 4096, 32, 3


def modules() -> kr.ClassPool:
    ids, names = [], []
    for path in sorted(Path(os.__file__).parent.glob("[a-z]*.py")):
        nodes = ast.walk(ast.parse(path.read_bytes()))
        found = [ast.get_docstring(n) for n in nodes if isinstance(n, ast.FunctionDef)]
        words = {tuple(re.findall("[a-z]+", (text or "").lower())[:LENGTH]) for text in found}
        texts = sorted(text for text in words if len(text) >= 5)
        for text in texts if len(texts) >= 10 else []:
            ids.append([1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in text])
            names.append(path.stem)
    return kr.ClassPool.from_arrays(pad_sequences(ids, LENGTH, padding="post"), names)


def as_dicts(tasks: dict) -> dict:
    pairs = {"support": tasks["support"], "query": tasks["query"]}
    return {**tasks, **{k: ({"ids": x, "is_word": x > 0}, y) for k, (x, y) in pairs.items()}}


def transformer() -> keras.Model:
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    is_word = keras.Input((LENGTH,), dtype="bool", name="is_word")
    x = layers.Embedding(VOCABULARY, WIDTH)(ids)
    x += layers.Embedding(LENGTH, WIDTH)(ops.arange(LENGTH) + 0 * ids)
    x += layers.MultiHeadAttention(2, WIDTH // 2)(x, x, attention_mask=is_word[:, None])
    x = layers.LayerNormalization()(x + layers.Dense(WIDTH, "relu")(x))
    mean = layers.GlobalAveragePooling1D()(x, mask=is_word)
    return keras.Model({"ids": ids, "is_word": is_word}, layers.Dense(WAYS)(mean))


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    keras.utils.set_random_seed(0)
    pool = modules().shuffled(0)
    train, test = pool.split(len(pool) - len(pool) // 4, len(pool) // 4)
    options = dict(ways=WAYS, inner_batch_size=10, meta_batch_size=5)
    episodes = kr.episode_dataset(train, shots=8, inner_steps=5, **options).map(as_dicts)
    options |= dict(shots=5, inner_steps=30, tasks=FLAGS.test_tasks)
    tests = kr.episode_dataset(test, **options).map(as_dicts)
    unadapted = tests.map(lambda tasks: {**tasks, "order": tasks["order"][:, :0]})
    model = kr.ReptileModel(transformer(), keras.optimizers.Adam(3e-3, beta_1=0.0))
    model.compile(keras.optimizers.SGD(kr.linear_meta_step(1.0, 0.0, FLAGS.meta_iterations)))
    print("Random weights, after adaptation:", kr.evaluate(model, tests, verbose=0))
    model.fit(episodes, steps_per_epoch=FLAGS.meta_iterations, verbose=0)
    print("Meta-learned, before adaptation: ", kr.evaluate(model, unadapted, verbose=0))
    print("Meta-learned, after adaptation:  ", kr.evaluate(model, tests, verbose=0))


if __name__ == "__main__":
    app.run(main)
