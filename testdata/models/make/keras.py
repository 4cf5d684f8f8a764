#!/usr/bin/env python3
"""The small selection of Keras models in `testdata/models/keras`.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 tf_keras==2.21.0 h5py==3.14.0
    python keras_all.py K3; python keras_all.py K2 tf_keras; python keras_old.py …   (see there)
    python keras.py OUT K3 K2 …

Copies some models with their truths from the sweeps, and writes variants of them with other features of HDF5 and
zip, whose truth is the same. Those with findings are written by hand here: no framework writes them.
"""
import json
import os
import shutil
import sys
import zipfile

import h5py
import numpy as np

OUT, SWEEPS = sys.argv[1], sys.argv[2:]
PICK = """k3_g_dict_out_json k3_g_nested_keras k3_g_nested_chain_twice_json k3_g_seq2seq_json k3_g_states_out_json k3_g_ops_slice_dense_json k3_g_policy_json k3_g_late_keras k3_g_sparse_in_json
k3_g_int_in_json k3_conv2dtranspose_3_json k3_bidirectional_3_json k3_multiheadattention_3_json k3_einsumdense_3_json k3_textvectorization_6_json k3_stringlookup_3_json k3_lambda_2_json
k2_g_nested_h5 k2_g_nested_chain_twice_json k2_g_time_model_json k2_g_seq2seq_json k2_g_late_json k2_g_first_embedding_json k2_g_ops_plus_json k2_g_attention_names_json k2_conv3d_2_json k2_resizing_3_json
k2_bidirectional_6_json k2_dense_5_h5 k231_g_nested_twice_json k231_g_seq2seq_json k231_g_states_out_h5 k231_g_stateful_json k231_conv2d_2_json k22_g_chain_of_graph_json k22_bidirectional_1_json k20_g_int_in_json k20_dense_1_h5
k12_convolution2d_2_json k12_lstm_1_h5 k12_merge_6_json k12_g_nested_twice_json k12_timedistributed_1_json""".split()
# Of `keras_ops.py` and of `keras_real.py tf.keras` (Keras 2.15), with the names that they have here.
RENAMED = dict(k3_op_einsum_json="sh_einsum_att", k3_op_take_json="sh_take_n", k3_op_patches_json="im_patches_s", k3_op_split_json="sh_split_ix", k3_op_stft_json="stft", k3_op_svd_json="la_svd_n", k3_op_where_json="py_where1f_float16",
               k3_op_conv_json="conv1_channels_last_same", k2_f_gather_json="k215_tf_gather_json", k2_f_matmul_json="k215_tf_matmul_json", k2_f_subtract_json="k215_tf_rsub_json",
               k2_own_class_json="k215_cus_mid_json", k2_own_model_json="k215_cus_func_json")


def case(name, source, file, edit=None):
    d = os.path.join(OUT, name)
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)
    t = json.load(open(os.path.join(source, "truth.json")))
    t.pop("before", None)
    t.update(id=name, path=f"keras/{name}/{file}")
    if edit:
        edit(t)
    json.dump(t, open(os.path.join(d, "truth.json"), "w"), indent=1)
    return os.path.join(d, file)


def find(name):
    return next((os.path.join(s, name) for s in SWEEPS if os.path.isdir(os.path.join(s, name))), None)


def file_of(source):
    return next(f for f in os.listdir(source) if f != "truth.json")


def copy_h5(source, to, attrs=None, **kw):
    with h5py.File(source) as old, h5py.File(to, "w", **kw) as new:
        for k in old:
            old.copy(k, new)
        for k, v in old.attrs.items():
            new.attrs[k] = v
        (attrs or (lambda f: None))(new)


def no_contract(t):
    t.update(signatures=[], expect="ok", tensors=[])


def main():
    for name in PICK + list(RENAMED):
        source = find(RENAMED.get(name, name))
        if not source:
            print("not there:", name)
            continue
        file = file_of(source)
        findings = (lambda t: t.update(findings=["lambda-code"])) if "lambda" in name else None
        if name in RENAMED:
            findings = lambda t: [t.pop("after", None), t.get("findings") or t.pop("findings", None)]
        shutil.copy(os.path.join(source, file), case(name, source, file, findings))
    k2, k3 = find("k2_g_nested_h5"), find("k3_g_nested_keras")
    h5 = os.path.join(k2, "model.h5")
    copy_h5(h5, case("made_h5_latest", k2, "model.h5"), libver="latest")
    copy_h5(h5, case("made_h5_user_block", k2, "model.h5"), userblock_size=1024)

    def fixed(f):
        f.attrs["model_config"] = np.bytes_(f.attrs["model_config"])
    copy_h5(h5, case("made_h5_fixed_text", k2, "model.h5"), attrs=fixed)

    def many(f):
        for i in range(40):
            f.attrs[f"note_{i}"] = "x" * i
            f.create_group(f"extra_{i}")
    copy_h5(h5, case("made_h5_dense", k2, "model.h5"), attrs=many, libver="latest")

    def outside(f):
        f["model_weights"]["stolen"] = h5py.ExternalLink("/etc/passwd.h5", "/x")
    copy_h5(h5, case("made_h5_external_link", k2, "model.h5", lambda t: t.update(findings=["external-link"])), attrs=outside)

    def outside_data(f):
        f["model_weights"].create_dataset("stolen", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    copy_h5(h5, case("made_h5_external_data", k2, "model.h5", lambda t: t.update(findings=["external-link"])), attrs=outside_data)

    z = os.path.join(k3, "model.keras")
    with zipfile.ZipFile(z) as old:
        parts = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(case("made_deflated", k3, "model.keras"), "w", zipfile.ZIP_DEFLATED) as new:
        for n, b in parts.items():
            new.writestr(n, b)
    with zipfile.ZipFile(case("made_zip_slip", k3, "model.keras", lambda t: t.update(findings=["zip-slip"])), "w", zipfile.ZIP_DEFLATED) as new:
        for n, b in [*parts.items(), ("../../evil.txt", b"x")]:
            new.writestr(n, b)
    config = json.loads(parts["config.json"])
    config["config"]["layers"][-1]["config"]["kernel_initializer"] = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    with zipfile.ZipFile(case("made_foreign_module", k3, "model.keras", lambda t: t.update(findings=["foreign-module"])), "w", zipfile.ZIP_DEFLATED) as new:
        for n, b in parts.items():
            new.writestr(n, json.dumps(config) if n == "config.json" else b)
    folder = case("made_unzipped", k3, "model")
    os.makedirs(folder)
    for n, b in parts.items():
        open(os.path.join(folder, n), "wb").write(b)
    weights = case("made_weights_only", k3, "model.weights.h5", lambda t: (no_contract(t), t["determinable"].update(signatures="n/a", tensors="stored")))
    open(weights, "wb").write(parts["model.weights.h5"])
    with h5py.File(weights) as f:
        found = []
        f.visititems(lambda n, o: found.append(dict(name=n, dtype=str(o.dtype), shape=list(o.shape))) if isinstance(o, h5py.Dataset) else None)
    t = json.load(open(os.path.join(os.path.dirname(weights), "truth.json")))
    t["tensors"] = [f for f in found if not f["name"].startswith("optimizer")]
    json.dump(t, open(os.path.join(os.path.dirname(weights), "truth.json"), "w"), indent=1)


main()
