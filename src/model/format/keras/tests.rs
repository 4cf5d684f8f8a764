use std::path::PathBuf;

use super::*;
use crate::model::format::{Choice, Detection, detect};
use crate::model::tree::Selected;

fn example(name: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/keras").join(name)
}

/// What is found in some files.
fn found(files: &[(&str, Vec<u8>)]) -> Detection {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let all = Selected { source: dir.path().to_owned(), dest: Vec::new() };
    let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
    detect(&tree, &Choice::default()).unwrap().unwrap()
}

fn read(variant: &str, bytes: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    match variant {
        "h5" => read_h5(&bytes, 1 << 24, &mut reading)?,
        _ => read_zip(&bytes, 1 << 24, &mut reading)?,
    }
    Ok(reading)
}

fn json(text: &str) -> Reading {
    let mut reading = Reading::default();
    let value = config::parse(text.as_bytes()).unwrap();
    reading.framework_version = version(&value);
    understand(&value, &mut reading);
    reading
}

fn output(reading: &Reading) -> &Tensor {
    &reading.contract.as_ref().unwrap().signatures[0].outputs[0]
}

#[test]
fn names_that_surely_are_keras() {
    assert!(Keras.expects(b"model.H5") && Keras.expects(b"a.keras"));
    assert!(!Keras.expects(b"measurements.h5"));
}

#[test]
fn weights_and_their_configuration_are_one_model() {
    let weights = std::fs::read(example("made_weights_only/model.weights.h5")).unwrap();
    let config = std::fs::read(example("k3_g_dict_out_json/model.json")).unwrap();
    let d = found(&[("model.json", config), ("model.weights.h5", weights.clone())]);
    assert_eq!((d.file.as_slice(), d.required.len()), (&b"model.json"[..], 1));
    assert!(!d.tensors.is_empty() && d.contract.is_some());
    let whole = std::fs::read(example("k2_g_nested_h5/model.h5")).unwrap();
    let d = found(&[("model.h5", whole), ("checkpoints.weights.h5", weights)]);
    assert_eq!(d.file, b"model.h5");
}

#[test]
fn the_last_layers_rule_counts_and_unknown_ones_tell_nothing() {
    let model = |layer: &str| {
        format!(
            r#"{{"class_name":"Sequential","keras_version":"2.11.0","config":{{"name":"s","layers":[
            {{"class_name":"InputLayer","config":{{"name":"x","batch_input_shape":[null,8,8,3],"dtype":"float32"}}}},{layer}]}}}}"#
        )
    };
    let conv = |stride: &str| {
        json(&model(&format!(
            r#"{{"class_name":"Conv2D","config":{{"name":"c","dtype":"float32","filters":5,"kernel_size":[3,3],"strides":{stride},"padding":"valid","data_format":"channels_last"}}}}"#
        )))
    };
    assert_eq!(output(&conv("[2,1]")).shape, Some(vec![None, Some(3), Some(6), Some(5)]));
    assert_eq!(output(&conv("[0,1]")).shape, None);
    assert_eq!(output(&conv("[1,1,1]")).shape, None);
    assert_eq!(output(&conv("\"a\"")).shape, None);
    let r = json(&model(r#"{"class_name":"Mine","config":{"name":"m","units":3}}"#));
    assert_eq!((output(&r).name.as_str(), output(&r).shape.as_ref(), output(&r).dtype), ("m", None, None));
}

#[test]
fn a_class_of_the_authors_own_is_told() {
    let r = json(
        r#"{"module":null,"class_name":"Net","config":{"n":3},"registered_name":"Net","build_config":{"input_shape":[2,9]}}"#,
    );
    let s = &r.contract.as_ref().unwrap().signatures[0];
    assert_eq!(s.inputs[0].shape, Some(vec![None, Some(9)]));
    assert!(s.outputs.is_empty() && r.warnings.len() == 1);
    assert_eq!(r.findings[0].code, "foreign-module");
}

#[test]
fn connections_to_nothing_and_to_themselves_end() {
    for calls in [
        r#"[[["d",0,0,{}]]]"#,
        r#"[[["nowhere",0,0,{}]]]"#,
        r#"[[["x",99,99,{}]]]"#,
        r#"[[["x",0,0,{"y":["d",0,0]}]]]"#,
        r#"[[[]]]"#,
        r#"[{"args":[{"class_name":"__keras_tensor__","config":{"keras_history":["d",0,0]}}]}]"#,
        "3",
    ] {
        let r = json(&format!(
            r#"{{"class_name":"Functional","config":{{"name":"m","layers":[
            {{"class_name":"InputLayer","name":"x","config":{{"batch_input_shape":[null,4]}},"inbound_nodes":[]}},
            {{"class_name":"Flatten","name":"d","config":{{"name":"d"}},"inbound_nodes":{calls}}}],
            "input_layers":[["x",0,0]],"output_layers":[["d",0,0],["d",7,7]]}}}}"#
        ));
        assert_eq!(r.contract.unwrap().signatures[0].outputs.len(), 2, "{calls}");
    }
}

#[test]
fn models_in_models_do_not_multiply_without_end() {
    // Each model calls the one inside it twice.
    let mut inner = r#"{"class_name":"Dense","config":{"name":"d","units":3}}"#.to_owned();
    for _ in 0..16 {
        let twice = format!("{inner},{inner}");
        if twice.len() > 1 << 20 {
            break;
        }
        inner = format!(r#"{{"class_name":"Sequential","config":{{"name":"s","layers":[{twice}]}}}}"#);
    }
    let input = r#"{"class_name":"InputLayer","config":{"name":"x","batch_input_shape":[null,4]}}"#;
    let r =
        json(&format!(r#"{{"class_name":"Sequential","config":{{"name":"m","layers":[{input},{inner}]}}}}"#));
    assert!(r.contract.is_some());
    // Deep in another way.
    let mut wrapped = r#"{"class_name":"Dense","config":{"units":3}}"#.to_owned();
    for _ in 0..30 {
        wrapped = format!(r#"{{"class_name":"TimeDistributed","config":{{"layer":{wrapped}}}}}"#);
    }
    let r = json(&format!(
        r#"{{"class_name":"Sequential","config":{{"name":"m","layers":[{input},{wrapped}]}}}}"#
    ));
    assert_eq!(output(&r).shape, None);
}

#[test]
fn huge_numbers_overflow_nothing() {
    let big = i64::MAX;
    for layer in [
        format!(r#"{{"class_name":"UpSampling2D","config":{{"size":[{big},{big}]}}}}"#),
        format!(r#"{{"class_name":"ZeroPadding2D","config":{{"padding":[[{big},{big}],[{big},{big}]]}}}}"#),
        format!(r#"{{"class_name":"Conv2D","config":{{"filters":{big},"kernel_size":{big},"strides":1,"dilation_rate":{big},"padding":"valid"}}}}"#),
        format!(r#"{{"class_name":"Conv2D","config":{{"filters":1,"kernel_size":{big},"strides":1,"padding":"full"}}}}"#),
        format!(r#"{{"class_name":"Conv2DTranspose","config":{{"filters":1,"kernel_size":{big},"strides":{big},"output_padding":{big},"padding":"valid"}}}}"#),
        format!(r#"{{"class_name":"Conv2DTranspose","config":{{"filters":1,"kernel_size":{big},"strides":{big},"padding":"same"}}}}"#),
        format!(r#"{{"class_name":"Reshape","config":{{"target_shape":[{big},{big},-1]}}}}"#),
        format!(r#"{{"class_name":"Permute","config":{{"dims":[{big},-{big},0]}}}}"#),
        format!(r#"{{"class_name":"MaxPooling2D","config":{{"pool_size":{big},"strides":{big},"padding":"same"}}}}"#),
        format!(r#"{{"class_name":"Concatenate","config":{{"axis":-{big}}}}}"#),
        format!(r#"{{"class_name":"STFTSpectrogram","config":{{"frame_length":{big},"fft_length":{big},"mode":"stft","padding":"valid"}}}}"#),
        r#"{"class_name":"EinsumDense","config":{"equation":"->,","output_shape":3}}"#.to_owned(),
        r#"{"class_name":"EinsumDense","config":{"equation":"...é,é->...é...","output_shape":3}}"#.to_owned(),
        r#"{"class_name":"Dot","config":{"axes":[9,-9]}}"#.to_owned(),
        r#"{"class_name":"Bidirectional","config":{"layer":{"class_name":"LSTM","config":{"units":9223372036854775807}}}}"#.to_owned(),
    ] {
        for shape in ["[null,8,8,3]", "[]", "[3]", "[9223372036854775807,9223372036854775807,9223372036854775807,9223372036854775807]", "[1,2,3]"] {
            json(&format!(
                r#"{{"class_name":"Sequential","config":{{"layers":[{{"class_name":"InputLayer","config":{{"batch_shape":{shape},"dtype":"float32"}}}},{layer}]}}}}"#
            ));
        }
    }
}

#[test]
fn c60_a_truncated_model_is_an_error_and_nothing_worse() {
    for (variant, name) in [
        ("h5", "k2_g_nested_h5/model.h5"),
        ("h5", "made_h5_dense/model.h5"),
        ("h5", "k12_lstm_1_h5/model.h5"),
        ("zip", "k3_g_nested_keras/model.keras"),
        ("zip", "made_deflated/model.keras"),
    ] {
        let whole = std::fs::read(example(name)).unwrap();
        for end in (0..whole.len()).step_by(61) {
            let _ = read(variant, &whole[..end]);
        }
        assert!(read(variant, &whole).unwrap().contract.is_some());
        assert!(read(variant, &whole[..64]).is_err());
    }
}

#[test]
fn c60_flipped_bits_break_nothing_but_the_model() {
    for (variant, name) in [
        ("h5", "k2_g_nested_h5/model.h5"),
        ("h5", "made_h5_dense/model.h5"),
        ("h5", "made_h5_latest/model.h5"),
        ("zip", "k3_g_nested_keras/model.keras"),
    ] {
        let whole = std::fs::read(example(name)).unwrap();
        for at in (0..whole.len()).step_by(149) {
            for bit in [0, 7] {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let _ = read(variant, &bytes);
            }
        }
    }
}

#[test]
fn outputs_of_one_layer_have_names_of_their_own() {
    let outputs = vec![r#"["x", 0, 0]"#; 20_000].join(", ");
    let reading = json(&format!(
        r#"{{"class_name": "Functional", "config": {{"layers": [{{"class_name": "InputLayer", "name": "x",
        "config": {{"name": "x", "batch_shape": [null, 2]}}, "inbound_nodes": []}}],
        "input_layers": [["x", 0, 0]], "output_layers": [{outputs}]}}}}"#
    ));
    let contract = reading.contract.unwrap();
    let names: std::collections::BTreeSet<&str> =
        contract.signatures[0].outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names.len(), 20_000);
}

#[test]
fn an_input_that_a_layer_gives_back_stays_the_input() {
    // Keras 1 names the layer as the input whose tensor is the input itself.
    let r = json(
        r#"{"class_name":"Model","keras_version":"1.2.2","config":{"name":"m","layers":[
        {"name":"x","class_name":"InputLayer","config":{"batch_input_shape":[null,5,4],"input_dtype":"float32","name":"x"},"inbound_nodes":[]},
        {"name":"a","class_name":"ActivityRegularization","config":{"name":"a","l1":0.0,"l2":0.0},"inbound_nodes":[[["x",0,0]]]}],
        "input_layers":[["a",0,0]],"output_layers":[["a",0,0]]}}"#,
    );
    let signature = &r.contract.as_ref().unwrap().signatures[0];
    for tensor in [&signature.inputs[0], &signature.outputs[0]] {
        assert_eq!((tensor.name.as_str(), tensor.dtype), ("a", Some(DType::Float32)));
        assert_eq!(tensor.shape, Some(vec![None, Some(5), Some(4)]));
    }
}

#[test]
fn the_states_of_a_stack_of_cells_are_in_the_order_of_the_version() {
    let states = |version: &str, turned: &str| {
        let r = json(&format!(
            r#"{{"class_name":"Model","keras_version":"{version}","config":{{"name":"m","layers":[
            {{"name":"x","class_name":"InputLayer","config":{{"batch_input_shape":[null,5,4],"dtype":"float32","name":"x"}},"inbound_nodes":[]}},
            {{"name":"r","class_name":"RNN","config":{{"name":"r","return_state":true,"cell":{{"class_name":"StackedRNNCells","config":{{{turned}"cells":[
            {{"class_name":"GRUCell","config":{{"units":3}}}},{{"class_name":"GRUCell","config":{{"units":2}}}}]}}}}}},"inbound_nodes":[[["x",0,0,{{}}]]]}}],
            "input_layers":[["x",0,0]],"output_layers":[["r",0,0],["r",0,1],["r",0,2]]}}}}"#
        ));
        let outputs = &r.contract.as_ref().unwrap().signatures[0].outputs;
        outputs.iter().map(|o| o.shape.as_ref().unwrap()[1]).collect::<Vec<_>>()
    };
    assert_eq!(states("2.3.1", ""), [Some(2), Some(3), Some(2)]);
    assert_eq!(states("2.2.0", ""), [Some(2), None, None]);
    assert_eq!(states("2.3.1", r#""reverse_state_order":true,"#), [Some(2), None, None]);
}

#[test]
fn a_configuration_without_a_version_tells_the_least_that_it_can_be() {
    let least = |input: &str| {
        graph::least_minor(
            &serde_json::from_str(&format!(
                r#"{{"layers":[{{"class_name":"InputLayer","config":{{{input}}}}}]}}"#
            ))
            .unwrap(),
        )
    };
    assert_eq!(least(r#""sparse":false"#), 0);
    assert_eq!(least(r#""sparse":false,"ragged":false"#), 9);
    assert_eq!(least(r#""ragged":false,"optional":false"#), 13);
}
