"""Flags and TF_CONFIG to a strategy, with TensorFlow's own strategies mocked."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import processes
import pytest
import tensorflow as tf
import warm

from keras_reptile.distribution import cluster, rendezvous, strategies
from keras_reptile.kernels import devices
from keras_reptile.recipes import named
from keras_reptile.runs import training

TWO = ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.fixture
def made(monkeypatch):
    """What would be created: the strategy's name and arguments."""
    found = mock.Mock()
    for name in ("OneDevice", "Mirrored", "MultiWorkerMirrored"):
        strategy = getattr(found, name)
        strategy.return_value.num_replicas_in_sync = 2
        monkeypatch.setattr(tf.distribute, f"{name}Strategy", strategy)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", found.TPU)
    found.TPU.return_value.num_replicas_in_sync = 8
    resolver = tf.distribute.cluster_resolver
    monkeypatch.setattr(resolver, "TPUClusterResolver", found.resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", found.connect)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", found.initialize)
    monkeypatch.setattr(strategies, "make_logical_cpus", found.cpus)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(name="none"), []),
        (dict(), []),
        (dict(name="one_device"), [mock.call.OneDevice("CPU:0")]),
        (dict(devices="cpu:1"), [mock.call.OneDevice("CPU:1")]),
        (dict(name="mirrored"), [mock.call.Mirrored(None)]),
        (dict(devices="cpu:0,cpu:1"), [mock.call.Mirrored(["CPU:0", "CPU:1"])]),
    ],
)
def test_devices_of_this_host(arguments, expected, made):
    strategy = strategies.create(**arguments)
    assert [c for c in made.mock_calls if not c[0].startswith("cpus")] == expected
    assert (strategy is None) == (not expected)


@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_hosts_come_from_tf_config_and_meet_first(name, made, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", processes.tf_config(TWO, 1))
    monkeypatch.setattr(strategies.rendezvous, "meet", made.meet)
    strategies.create(name, connect_timeout=7)
    expected = [mock.call.meet((tuple(TWO), 1), 7), mock.call.MultiWorkerMirrored()]
    assert made.mock_calls[1:] == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_hosts_meet(host):
    if host == "[::1]" and not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    ports = (address.rpartition(":")[2] for address in processes.free_addresses(3))
    addresses = tuple(f"{host}:{port}" for port in ports)
    with ThreadPoolExecutor(3) as pool:
        met = [pool.submit(rendezvous.meet, cluster.Cluster(addresses, i), 20) for i in range(3)]
        assert [m.result() for m in met] == [None] * 3


def test_a_host_that_does_not_answer_is_named():
    hosts = cluster.Cluster(tuple(processes.free_addresses(2)), 0)
    text = rf"answered within 0.3 s. Missing: {hosts.addresses[1]}\. Start every worker"
    with pytest.raises(ValueError, match=text):
        rendezvous.meet(hosts, 0.3)


def test_two_workers_with_the_same_index_on_a_host_are_told_so():
    hosts = cluster.Cluster(tuple(processes.free_addresses(2)), 0)
    with (
        socket.create_server(("", int(hosts.addresses[0].rpartition(":")[2]))),
        pytest.raises(ValueError, match=r"cannot listen at .*in use. Does another worker run with"),
    ):
        rendezvous.meet(hosts, 1)


@pytest.mark.parametrize("tpu", ["local", "my-tpu", "grpc://10.0.0.2:8470"])
@pytest.mark.parametrize("name", ["auto", "tpu"])
def test_a_tpu_is_resolved_connected_and_initialized_before_its_strategy(name, tpu, made):
    strategy = strategies.create(name, tpu=tpu, meta_batch_size=16)
    resolver = made.resolver.return_value
    assert made.mock_calls[1:] == [
        mock.call.resolver(tpu=tpu),
        mock.call.connect(resolver),
        mock.call.initialize(resolver),
        mock.call.TPU(resolver),
    ]
    assert strategy is made.TPU.return_value


def test_all_gpus_are_taken_if_they_share_a_meta_batch_evenly():
    chosen = [strategies.choice("auto", [], "", None, 2, size) for size in (4, 5, None)]
    assert chosen == ["mirrored", "none", "none"]


@pytest.mark.parametrize(
    ("arguments", "hosts", "text"),
    [
        (dict(name="nope"), None, r"`strategy` must be one of .*Received: 'nope'"),
        (dict(name="tpu"), None, r"'tpu' needs `tpu`: .*Received: strategy='tpu', tpu=''"),
        (dict(name="none", tpu="x"), None, r"`tpu` needs strategy.*strategy='none', tpu='x'"),
        (dict(devices="cpu"), None, r"different devices of this host.*devices='cpu'"),
        (dict(devices="cpu:0,cpu:0"), None, r"different devices.*'cpu:0,cpu:0'"),
        (dict(devices="gpu:7"), None, r"There is no GPU:7 on this host.*with 0 GPUs"),
        (
            dict(name="none", devices="cpu:0"),
            None,
            r"strategy='mirrored' takes `devices`.*none\. Received",
        ),
        (
            dict(name="one_device", devices="cpu:0,cpu:1"),
            None,
            r"'one_device' takes one of them",
        ),
        (dict(name="multi_worker"), None, r"needs the hosts in .* TF_CONFIG. It is not set or"),
        (dict(name="mirrored"), TWO, r"TF_CONFIG has 2 hosts, and each would.*'mirrored'"),
        (
            dict(name="mirrored", meta_batch_size=5),
            None,
            r"must be a multiple of the n.*meta_batch_size=5, with 2 replicas. Use a .* of 4",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(arguments, hosts, text, made, monkeypatch):
    if hosts:
        monkeypatch.setenv("TF_CONFIG", processes.tf_config(hosts, 0))
    with pytest.raises(ValueError, match=text):
        strategies.create(**arguments)


def config(workers=TWO, kind="worker", index=0, **jobs):
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": {"worker": workers, **jobs}, "task": task})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", r"TF_CONFIG is not JSON: .*Example: \{\"cluster\""),
        ("[]", r"it must be an object. Received: \[\]"),
        ('{"cluster": ["a:1"]}', r"`cluster` must be an object"),
        (json.dumps({"cluster": {"worker": TWO}}), r"`task` must have a `type` and an `index`"),
        (config(index=2), r"`index` must be from 0 to 1, one for each worker.*Received: 2"),
        (config(index=-1), r"`index` must be from 0 to 1.*Received: -1"),
        (config(index="0"), r"`index` must be from 0 to 1.*Received: '0'"),
        (config(kind="ps"), r"`type` must be 'chief' or 'worker'. Received: 'ps'"),
        (config(ps=["c:3"]), r"only jobs named `chief` and `worker` can train.*\['ps'\]"),
        (config(chief=["c:3", "d:4"]), r"at most one chief"),
        (config(["a:1", "a:1"]), r"addresses must differ"),
        (config(["a"]), r"`worker` must be a list of \"host:port\". Received: \['a'\]"),
        (config("a:1"), r"`worker` must be a list"),
        (config(["a:70000"]), r"`worker` must be a list of \"host:port\". Received: \['a:70000'\]"),
        (config([]), r"addresses must differ"),
    ],
)
def test_a_wrong_tf_config_is_refused(text, error):
    with pytest.raises(ValueError, match=error):
        cluster.parse(text)


def test_the_chief_comes_first_whatever_its_job_is_called():
    assert cluster.parse(config(index=1)) == (tuple(TWO), 1)
    assert cluster.parse(config(chief=["c:3"], index=0)) == (("c:3", *TWO), 1)
    assert cluster.parse(config(chief=["c:3"], kind="chief")) == (("c:3", *TWO), 0)
    assert cluster.parse('{"task": {}}') is None


def test_serial_tasks_with_a_carried_state_need_one_replica(tmp_path):
    strategy = mock.Mock(num_replicas_in_sync=2)
    recipe = named.get("glyphs", task_order="serial", meta_batch_size=4)
    with pytest.raises(ValueError, match=r"cannot pass the inner state .*with 2 replicas. Use"):
        training.train(recipe, tmp_path, strategy=strategy)


@pytest.mark.process
def test_waiting_ends_with_one_line(tmp_path):
    code = (
        "import sys, time; sys.argv = ['train']\n"
        "from keras_reptile.distribution import strategies\n"
        "with strategies.time_limit(0.2, 'the other hosts did not answer'):\n"
        "    time.sleep(60)\n"
    )
    status, _, err = warm.run_source(code, tmp_path)
    assert status == -9
    assert err.splitlines()[-1] == "train: the other hosts did not answer within 0.2 s."


def test_a_tpu_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"^The TPU 'local' cannot be reached: .* Check") as error:
        strategies.create("tpu", tpu="local")
    assert not re.search(r"\n", str(error.value))


def test_a_cpu_in_use_cannot_be_divided(monkeypatch):
    tf.zeros(1)
    with pytest.raises(ValueError, match=r"cannot be divided into 3 devices once TensorFlow has"):
        strategies.make_logical_cpus(["CPU:2"])


@pytest.mark.of_a_cpu
def test_a_cpu_is_no_gpu():
    assert not devices.on_gpu()
