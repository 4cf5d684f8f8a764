//! Graphs and weights, whole and broken, made by hand.

use super::*;
use crate::model::contract::DType;
use crate::model::format::BUDGET;

fn array(name: &str, shape: &[u64]) -> Array {
    Array { name: name.to_owned(), dtype: Some("float32"), shape: Some(shape.to_vec()) }
}

fn read_graph(json: &str, arrays: Option<&[Array]>) -> Reading {
    let mut reading = Reading::default();
    let symbol = symbol::parse(json.as_bytes()).unwrap();
    graph(&symbol, arrays, &BTreeMap::new(), &mut reading);
    reading
}

/// The names and shapes of one side.
type Side<'r> = Vec<(&'r str, Shape)>;

fn told(reading: &Reading) -> (Side<'_>, Side<'_>) {
    let s = &reading.contract.as_ref().unwrap().signatures[0];
    (
        s.inputs.iter().map(|t| (t.name.as_str(), t.shape.clone())).collect(),
        s.outputs.iter().map(|t| (t.name.as_str(), t.shape.clone())).collect(),
    )
}

/// A layer with a loss, in the words of one version.
fn example(attributes: &str, inputs: fn(usize) -> String) -> String {
    let (a, b, c, d, e) = (inputs(0), inputs(1), inputs(2), inputs(3), inputs(4));
    format!(
        r#"{{"nodes":[{{"op":"null","name":"data","inputs":[]}},{{"op":"null","name":"w","inputs":[]}},
        {{"op":"null","name":"b","inputs":[]}},
        {{"op":"FullyConnected","name":"fc","{attributes}":{{"num_hidden":"3"}},"inputs":[{a},{b},{c}],"backward_source_id":-1}},
        {{"op":"null","name":"lab","inputs":[]}},
        {{"op":"SoftmaxOutput","name":"sm","{attributes}":{{"multi_output":"False"}},"inputs":[{d},{e}]}}],
        "arg_nodes":[0,1,2,4],"heads":[{}]}}"#,
        inputs(5)
    )
}

#[test]
fn graphs_of_all_versions() {
    let arrays = [array("w", &[3, 7]), array("b", &[3])];
    for json in [
        example("param", |n| format!("[{n},0]")),
        example("attr", |n| format!("[{n},0,0]")),
        example("attrs", |n| format!("[{n},0,0]")),
    ] {
        let r = read_graph(&json, Some(&arrays));
        let (inputs, outputs) = told(&r);
        assert_eq!(inputs, [("data", Some(vec![None, Some(7)]))]);
        assert_eq!(outputs, [("sm_output", Some(vec![None, Some(3)]))]);
        assert_eq!(r.facts["mxnet.labels"], serde_json::json!(["lab"]));
        let data = &r.contract.as_ref().unwrap().signatures[0].inputs[0];
        assert_eq!(data.dtype, Some(DType::Float32));
        assert!(r.warnings.is_empty());
    }
}

#[test]
fn without_weights_names_are_known_and_little_else() {
    let r = read_graph(&example("attrs", |n| format!("[{n},0,0]")), None);
    assert_eq!(told(&r).0, [("data", None)]);
    assert_eq!(told(&r).1, [("sm_output", Some(vec![None, Some(3)]))]);
}

#[test]
fn weights_that_do_not_fit_are_told() {
    let r = read_graph(&example("attrs", |n| format!("[{n},0,0]")), Some(&[array("w", &[4, 7])]));
    assert!(r.warnings[0].contains("do not fit"));
    assert_eq!(told(&r).1, [("sm_output", None)]);
}

#[test]
fn what_is_broken_is_refused() {
    for json in [
        "{}",
        r#"{"nodes":[],"heads":[[0,0]]}"#,
        r#"{"nodes":[{"op":"relu","name":"a","inputs":[[0,0]]}],"heads":[]}"#,
        r#"{"nodes":[{"op":"relu","name":"a","inputs":[[-1,0]]}],"heads":[]}"#,
        r#"{"nodes":[{"op":"relu","name":"a","inputs":[[0]]}],"heads":[]}"#,
        r#"{"nodes":[{"op":1,"name":"a"}],"heads":[]}"#,
    ] {
        assert!(symbol::parse(json.as_bytes()).is_err(), "{json}");
    }
    let deep = "[".repeat(100_000);
    assert!(symbol::parse(format!(r#"{{"x":{deep}"#).as_bytes()).is_err());
    let many = vec!["{\"op\":\"null\",\"name\":\"\"}"; crate::model::format::MAX_ENTRIES + 1].join(",");
    assert!(symbol::parse(format!(r#"{{"nodes":[{many}],"heads":[]}}"#).as_bytes()).is_err());
}

#[test]
fn odd_attributes_are_harmless() {
    for (op, attributes) in [
        ("Convolution", r#""kernel":"(0,0)","num_filter":"3""#),
        ("Convolution", r#""kernel":"(99999999999,1)","num_filter":"-3","num_group":"0""#),
        ("Convolution", r#""kernel":"(3,3)","num_filter":"4","num_group":"3","stride":"(0,0)""#),
        (
            "Deconvolution",
            r#""kernel":"(3,3)","num_filter":"4","adj":"(1,)","pad":"(4000000000,4000000000)""#,
        ),
        ("Pooling", r#""kernel":"(3,3,3)","pooling_convention":"x""#),
        ("Reshape", r#""shape":"(-4,-4,-1,-1,0,-2,-3,9223372036854775807)""#),
        ("SliceChannel", r#""num_outputs":"9","axis":"-77""#),
        (
            "slice",
            r#""begin":"(9223372036854775807,-9223372036854775808)","end":"(None,)","step":"(-9223372036854775808,0)""#,
        ),
        ("transpose", r#""axes":"(0,0,0)""#),
        ("RNN", r#""state_size":"18446744073709551615","num_layers":"9223372036854775807","mode":"lstm""#),
        ("RNN", r#""state_size":"0","num_layers":"0","mode":"gru","bidirectional":"True""#),
        ("tile", r#""reps":"(-1,9223372036854775807)""#),
        ("topk", r#""k":"-9223372036854775808","axis":"9""#),
        ("Pad", r#""pad_width":"(9223372036854775807,9223372036854775807,1)""#),
        ("UpSampling", r#""scale":"9223372036854775807""#),
        ("Embedding", r#""output_dim":"-1""#),
        ("expand_dims", r#""axis":"-9223372036854775808""#),
        ("broadcast_axis", r#""axis":"(0,5)","size":"(3,)""#),
        ("take", r#""axis":"-3""#),
        ("depth_to_space", r#""block_size":"18446744073709551615""#),
        ("_contrib_MultiBoxPrior", r#""sizes":"(,,,)""#),
        ("batch_dot", r#""transpose_a":"maybe""#),
        ("squeeze", r#""axis":"(0,0,1)""#),
        ("SwapAxis", r#""dim1":"9""#),
        ("slice_axis", r#""axis":"1","begin":"-9","end":"9""#),
        ("slice_axis", r#""axis":"-1","begin":"0","end":"None""#),
        ("RNN", r#""state_size":"9223372036854775807","num_layers":"1","mode":"lstm""#),
        ("FullyConnected", r#""num_hidden":"0""#),
        ("FullyConnected", r#""num_hidden":"5","flatten":"False""#),
        ("Concat", r#""dim":"1""#),
        ("stack", r#""axis":"-1""#),
        ("_split_v2", r#""indices":"(0,5,2)","axis":"1","squeeze_axis":"1""#),
        ("reshape_like", ""),
        ("slice_like", r#""axes":"(0,9)""#),
        ("dot", r#""transpose_a":"True""#),
        ("batch_dot", ""),
        ("squeeze", ""),
        ("mean", r#""axis":"(0,-1)","exclude":"True""#),
        ("argmax", ""),
        ("one_hot", r#""depth":"3""#),
        ("Pooling", r#""global_pool":"True""#),
        ("BatchNorm", ""),
        ("LayerNorm", ""),
        ("LeakyReLU", r#""act_type":"prelu""#),
        ("_contrib_MultiBoxDetection", ""),
        ("ROIPooling", r#""pooled_size":"(2,2)""#),
        ("_rnn_param_concat", ""),
        ("CTCLoss", ""),
        ("broadcast_add", ""),
        ("where", ""),
        ("Custom", r#""op_type":"x""#),
        ("nobody_knows", ""),
    ] {
        for shape in [
            "()",
            "(1,)",
            "(2, 3)",
            "(0, 18446744073709551615)",
            "(9223372036854775807, 9223372036854775807, 2)",
            "(1, 9, 3, 3)",
        ] {
            for inputs in ["[0,0,0],[1,0,0],[2,0,0]", "[2,0,0],[1,0,0]", ""] {
                let json = format!(
                    r#"{{"nodes":[{{"op":"null","name":"x","attrs":{{"__shape__":"{shape}"}},"inputs":[]}},
                    {{"op":"null","name":"y","attrs":{{"__shape__":"{shape}"}},"inputs":[]}},
                    {{"op":"null","name":"z","inputs":[]}},
                    {{"op":"{op}","name":"o","attrs":{{{attributes}}},"inputs":[{inputs}]}},
                    {{"op":"null","name":"w","attrs":{{"__shape__":"(0, 7, 0)"}},"inputs":[]}},
                    {{"op":"elemwise_add","name":"a","inputs":[[3,0,0],[4,0,0]]}},
                    {{"op":"Flatten","name":"f","inputs":[[3,0,0]]}}],"heads":[[6,0,0],[3,999999999999,0]]}}"#
                );
                read_graph(&json, None);
                read_graph(&json.replace("elemwise_add", "relu"), None);
                read_graph(&json.replace("(0, 7, 0)", "(18446744073709551615,)"), None);
            }
        }
    }
}

fn list(arrays: &[Vec<u8>], names: &[&str]) -> Vec<u8> {
    let mut bytes = params::LIST.to_le_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend((arrays.len() as u64).to_le_bytes());
    bytes.extend(arrays.concat());
    bytes.extend((names.len() as u64).to_le_bytes());
    for name in names {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    bytes
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn all_versions() -> Vec<u8> {
    let dim = |n: u64| n.to_le_bytes().to_vec();
    let v0 = [words(&[2, 2, 1, 1, 0, 0]), vec![0; 8]].concat();
    let v1 = [words(&[0xF993_FAC8, 1]), dim(3), words(&[1, 0, 3]), vec![0; 3]].concat();
    let v2 = [words(&[0xF993_FAC9, 0, 1]), dim(2), words(&[1, 0, 2]), vec![0; 4]].concat();
    let scalar = [words(&[0xF993_FACA, 0, 0]), words(&[1, 0, 6]), vec![0; 8]].concat();
    // One row of two is there, of three numbers.
    let rows = [
        words(&[0xF993_FAC9, 1, 2]),
        dim(1),
        dim(3),
        words(&[2]),
        dim(2),
        dim(3),
        words(&[1, 0, 0, 6, 1]),
        dim(1),
        vec![0; 12 + 8],
    ]
    .concat();
    let none = words(&[0xF993_FAC9, 0, 0]);
    list(&[v0, v1, v2, scalar, rows, none], &["arg:a", "aux:b", "c", "arg:d", "e", "f"])
}

#[test]
fn lists_of_all_versions() {
    let (arrays, more) = params::read(&all_versions(), BUDGET).unwrap();
    assert!(!more);
    type Row<'a> = (&'a str, Option<&'a str>, Option<&'a [u64]>);
    let expected: &[Row<'_>] = &[
        ("a", Some("float32"), Some(&[2, 1])),
        ("b", Some("uint8"), Some(&[3])),
        ("c", Some("float16"), Some(&[2])),
        ("d", Some("int64"), Some(&[])),
        ("e", Some("float32"), Some(&[2, 3])),
        ("f", None, None),
    ];
    for (a, (name, dtype, shape)) in arrays.iter().zip(expected) {
        assert_eq!((a.name.as_str(), a.dtype, a.shape.as_deref()), (*name, *dtype, *shape));
    }
}

#[test]
fn every_cut_and_flip_of_a_list_ends_well() {
    let whole = all_versions();
    for n in 0..whole.len() {
        assert!(params::read(&whole[..n].to_vec(), BUDGET).is_err(), "{n}");
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[n] ^= 1 << bit;
            let _ = params::read(&flipped, BUDGET);
        }
    }
}

#[test]
fn every_cut_of_a_graph_ends_well() {
    let whole = example("attrs", |n| format!("[{n},0,0]"));
    for n in 0..whole.len() {
        assert!(symbol::parse(&whole.as_bytes()[..n]).is_err());
    }
}

#[test]
fn names_and_epochs() {
    assert_eq!((stem_of(b"a/net-0003.params"), epoch(b"a/net-0003.params")), (&b"net"[..], Some(3)));
    assert_eq!((stem_of(b"net.params"), epoch(b"net.params")), (&b"net"[..], None));
    assert_eq!(stem_of(b"my-net.params"), b"my-net");
}

#[test]
fn a_version_that_is_no_number_is_none() {
    let version = |version: &str| {
        let json = format!(
            r#"{{"nodes": [{{"op": "null", "name": "x"}}], "heads": [[0, 0]], "attrs": {{"mxnet_version": ["int", {version}]}}}}"#
        );
        symbol::parse(json.as_bytes()).unwrap().version
    };
    assert_eq!(version("10701").as_deref(), Some("1.7.1"));
    for other in ["-1", "1.5", "true", "null", "\"x\"", "[0, [1]]", "{\"a\": {}}"] {
        assert_eq!(version(other), None, "{other}");
    }
}
