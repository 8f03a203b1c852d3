import tensorflow as tf

from keras_reptile.files import provenance


def test_facts_name_the_gpus_where_there_are_some(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": []}.get)
    assert "gpus" not in provenance.facts()["machine"]
    devices = [tf.config.PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in (0, 1)]
    monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": devices}.get)
    names = {devices[0]: {"device_name": "NVIDIA H100"}, devices[1]: {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", names.get)
    assert provenance.facts()["machine"]["gpus"] == ["NVIDIA H100", "GPU"]
