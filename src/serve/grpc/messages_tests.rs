//! Bytes that the protocol's own stubs for Python wrote, field by field.

use bytes::Bytes;
use prost::Message;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn same<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, golden: &str) {
    let golden = hex(golden);
    assert_eq!(M::decode(golden.as_slice()).unwrap(), *message);
    assert_eq!(message.encode_to_vec(), golden);
}

fn parameter(name: &str, choice: Choice) -> BTreeMap<String, InferParameter> {
    [(name.to_owned(), InferParameter { parameter_choice: Some(choice) })].into()
}

#[test]
fn c46_a_raw_request_has_the_bytes_of_the_protocol() {
    let raw: Vec<u8> = [1.0f32, -2.0].iter().flat_map(|f| f.to_le_bytes()).collect();
    let request = ModelInferRequest {
        model_name: "m".into(),
        model_version: "1".into(),
        id: "a".into(),
        parameters: parameter("p", Choice::Int64(7)),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![1, 2],
            parameters: parameter("q", Choice::Bool(true)),
            contents: None,
        }],
        outputs: vec![InferRequestedOutputTensor {
            name: "y".into(),
            parameters: parameter("r", Choice::String("s".into())),
        }],
        raw_input_contents: vec![raw.into()],
    };
    same(
        &request,
        "0a016d1201311a016122070a0170120210072a160a01781204465033321a02010222070a017112020801320d0a0179\
         12080a017212031a01733a080000803f000000c0",
    );
}

#[test]
fn c46_a_typed_request_has_the_bytes_of_the_protocol() {
    let empty = InferTensorContents::default;
    let input = |name: &str, datatype: &str, n: i64, contents: InferTensorContents| InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: vec![n],
        contents: Some(contents.encode_to_vec().into()),
        ..Default::default()
    };
    let request = ModelInferRequest {
        model_name: "m".into(),
        inputs: vec![
            input("b", "BOOL", 2, InferTensorContents { bool_contents: vec![true, false], ..empty() }),
            input("i", "INT8", 2, InferTensorContents { int_contents: vec![-1, 2], ..empty() }),
            input("l", "INT64", 1, InferTensorContents { int64_contents: vec![-1], ..empty() }),
            input("u", "UINT16", 1, InferTensorContents { uint_contents: vec![300], ..empty() }),
            input("U", "UINT64", 1, InferTensorContents { uint64_contents: vec![u64::MAX], ..empty() }),
            input("f", "FP32", 1, InferTensorContents { fp32_contents: vec![1.5], ..empty() }),
            input("d", "FP64", 1, InferTensorContents { fp64_contents: vec![-1.5], ..empty() }),
            input(
                "s",
                "BYTES",
                2,
                InferTensorContents {
                    bytes_contents: vec![Bytes::from_static(b"ab"), Bytes::new()],
                    ..empty()
                },
            ),
        ],
        ..Default::default()
    };
    same(
        &request,
        "0a016d2a120a01621204424f4f4c1a01022a040a0201002a1b0a01691204494e54381a01022a0d120bffffffffffff\
         ffffff01022a1b0a016c1205494e5436341a01012a0c1a0affffffffffffffffff012a140a0175120655494e543136\
         1a01012a042202ac022a1c0a0155120655494e5436341a01012a0c2a0affffffffffffffffff012a140a0166120446\
         5033321a01012a0632040000c03f2a180a01641204465036341a01012a0a3a08000000000000f8bf2a150a01731205\
         42595445531a01022a06420261624200",
    );
}

#[test]
fn c46_every_kind_of_parameter_has_its_number() {
    let with =
        |name: &str, choice| ModelInferRequest { parameters: parameter(name, choice), ..Default::default() };
    same(&with("d", Choice::Double(0.5)), "220e0a0164120921000000000000e03f");
    same(&with("u", Choice::Uint64(1 << 63)), "22100a0175120b2880808080808080808001");
}

#[test]
fn c46_answers_have_the_bytes_of_the_protocol() {
    let contents = InferTensorContents { int64_contents: vec![-5], ..Default::default() };
    let answer = ModelInferResponse {
        model_name: "m".into(),
        model_version: "1".into(),
        id: "a".into(),
        parameters: parameter("p", Choice::Uint64(9)),
        outputs: vec![InferOutputTensor {
            name: "y".into(),
            datatype: "INT64".into(),
            shape: vec![1],
            parameters: parameter("q", Choice::Double(1.0)),
            contents: Some(contents),
        }],
        raw_output_contents: vec![Bytes::from_static(&[1, 2])],
    };
    same(
        &answer,
        "0a016d1201311a016122070a0170120228092a2b0a01791205494e5436341a0101220e0a0171120921000000000000\
         f03f2a0c1a0afbffffffffffffffff0132020102",
    );
    let tensor = |name: &str, datatype: &str, shape: &[i64]| TensorMetadata {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
    };
    let about = ModelMetadataResponse {
        name: "m".into(),
        versions: vec!["1".into()],
        platform: "onnx_tract".into(),
        inputs: vec![tensor("x", "FP32", &[-1, 2])],
        outputs: vec![tensor("y", "BYTES", &[3])],
    };
    same(
        &about,
        "0a016d1201311a0a6f6e6e785f747261637422160a01781204465033321a0bffffffffffffffffff01022a0d0a0179\
         120542595445531a0103",
    );
    let about =
        ServerMetadataResponse { name: "floe".into(), version: "1".into(), extensions: vec!["e".into()] };
    same(&about, "0a04666c6f651201311a0165");
}

#[test]
fn c46_small_messages_have_the_bytes_of_the_protocol() {
    same(&ServerLiveRequest {}, "");
    same(&ServerReadyRequest {}, "");
    same(&ServerMetadataRequest {}, "");
    same(&ServerLiveResponse { live: true }, "0801");
    same(&ServerReadyResponse { ready: true }, "0801");
    same(&ModelReadyRequest { name: "m".into(), version: "1".into() }, "0a016d120131");
    same(&ModelReadyResponse { ready: true }, "0801");
    same(&ModelMetadataRequest { name: "m".into(), version: "1".into() }, "0a016d120131");
}
