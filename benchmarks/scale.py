#!/usr/bin/env python3
"""Times the meta-step on 1, 2 and 4 processes on loopback, each pinned to a core.

  python benchmarks/scale.py
  python benchmarks/scale.py --processes=1,2 --tasks=4,16 --json=scale.json

Prints meta-steps a second, bytes reduced in a step, and what the model on paper of
docs/how_to/devices.md says, from the time of a task in one process and of all-reduces of two sizes.
Data are made up. Where there are fewer cores than processes they share them, and the table says so.
"""

import logging
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import json
import socket
import subprocess

import numpy as np
from absl import flags
from benchmark import define_json, figures, run

FLAGS = flags.FLAGS
flags.DEFINE_list("processes", ["1", "2", "4"], "Numbers of processes.")
flags.DEFINE_list("tasks", ["4", "8", "16"], "Tasks in a meta-batch.")
flags.DEFINE_string("recipe", "omniglot_5way", "Recipe whose meta-step to time.")
flags.DEFINE_integer("steps", 20, "Timed meta-steps of each kind.")
define_json("File to write the figures to.")
flags.DEFINE_integer("core", None, "For the worker processes: the core to run on.")

# Bytes of the two all-reduces from which latency and bandwidth follow.
PROBES = (4, 4 << 20)


def main():
    if FLAGS.core is not None:
        return print(json.dumps(measure()))
    check_shared()
    cores = sorted(os.sched_getaffinity(0))
    with figures() as found:
        rows = found["rows"] = []
        for number in map(int, FLAGS.processes):
            rows += measured(number, cores)
        on_paper(rows)
    show(rows, len(cores))


def check_shared() -> None:
    """Ends the program if some processes share none of the meta-batches evenly."""
    for number in map(int, FLAGS.processes):
        if all(tasks % number for tasks in map(int, FLAGS.tasks)):
            sys.exit(
                f"scale.py: {number} processes must share a meta-batch evenly. Received: "
                f"--tasks={','.join(FLAGS.tasks)}. Give a multiple of {number}, too."
            )


def measured(number: int, cores: list[int]) -> list[dict]:
    """Starts so many processes, and returns what the first of them measured."""
    sockets = [socket.socket() for _ in range(number)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    started = []
    for i in range(number):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        command = [sys.executable, __file__, *sys.argv[1:], f"--core={cores[i % len(cores)]}"]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"scale.py: workers ended with {[p.returncode for p in started]}; see above.")
    return [{"processes": number, **row} for row in json.loads(outputs[0].splitlines()[-1])]


def measure() -> list[dict]:
    """In a worker: a row for each meta-batch that the replicas can share."""
    os.sched_setaffinity(0, {FLAGS.core})
    logging.disable(logging.INFO)
    from made_up import training_pool
    from ring_model import reduced_bytes

    import keras_reptile as kr
    from keras_reptile import distribution
    from keras_reptile.recipes import building, named

    kr.one_task_per_core(1)
    workers = len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"])
    strategy = distribution.create("multi_worker") if workers > 1 else None
    probes = [reduce_time(strategy, size) for size in PROBES] if strategy else [0.0, 0.0]
    rows = []
    for tasks in (t for t in map(int, FLAGS.tasks) if t % workers == 0):
        recipe = named.get(FLAGS.recipe, meta_batch_size=tasks)
        pool = training_pool(recipe)
        episodes = building.training_episodes(recipe, pool)
        model = building.on_strategy(
            recipe, episodes.element_spec, None, strategy, distribution.Workers(strategy)
        )
        seconds = step_time(model, episodes)
        bytes_ = reduced_bytes(model) if strategy else 0
        rows.append(
            {"tasks": tasks, "step_seconds": seconds, "bytes": bytes_, "reduce_seconds": probes}
        )
    return rows


def step_time(model, episodes) -> float:
    """Median seconds between the ends of steps of `fit`, after two to warm up."""
    from timing import StepTimes

    model.fit(episodes, steps_per_epoch=2, verbose=0)
    times = StepTimes()
    model.fit(episodes, steps_per_epoch=FLAGS.steps + 1, verbose=0, callbacks=[times])
    return float(np.median(times.found))


def reduce_time(strategy, size: int) -> float:
    """Seconds of an all-reduce of so many bytes, in a graph of ten of them, one after another."""
    import tensorflow as tf

    def on_replica():
        context, value = tf.distribute.get_replica_context(), tf.zeros(size // 4)
        for _ in range(10):
            value = context.all_reduce(tf.distribute.ReduceOp.SUM, value)
        return value

    run_once = tf.function(lambda: strategy.run(on_replica), autograph=False)
    run_once()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run_once()
        times.append((time.perf_counter() - start) / 10)
    return float(np.median(times))


def on_paper(rows: list[dict]) -> None:
    """Adds what the model says to each row for which there is a time in one process."""
    from ring_model import step_seconds

    single = {row["tasks"]: row["step_seconds"] for row in rows if row["processes"] == 1}
    if not single:
        return
    most = max(single)
    cores = len(os.sched_getaffinity(0))
    for row in rows:
        n = row["processes"]
        latency, bandwidth = ring(row["reduce_seconds"], n)
        # Processes that share a core take turns.
        task_seconds = single[most] / most * max(1, n / cores)
        row["on_paper_seconds"] = step_seconds(
            row["tasks"], task_seconds, row["bytes"], n, bandwidth, latency
        )


def ring(seconds: list[float], replicas: int) -> tuple[float, float]:
    """Latency and bandwidth from the times of the two probes."""
    if replicas == 1:
        return 0.0, float("inf")
    pieces = 2 * (replicas - 1)
    small, large = seconds
    per_byte = max(large - small, 1e-9) / (PROBES[1] - PROBES[0])
    return small / pieces, pieces / replicas / per_byte


def show(rows: list[dict], cores: int) -> None:
    print(
        f"{'processes':>9} {'cores':>5} {'tasks':>5} {'meta-steps/s':>12} {'bytes':>9} {'ms':>8}"
        f" {'on paper, ms':>12}"
    )
    for row in rows:
        n = row["processes"]
        paper = row.get("on_paper_seconds")
        print(
            f"{n:9} {min(n, cores):5} {row['tasks']:5} {1 / row['step_seconds']:12.2f} "
            f"{row['bytes']:9,} {1e3 * row['step_seconds']:8.1f} "
            f"{f'{1e3 * paper:12.1f}' if paper else ''}"
        )
    if cores < max(row["processes"] for row in rows):
        print(f"There are {cores} cores: more processes than that share them.")


if __name__ == "__main__":
    run(main)
