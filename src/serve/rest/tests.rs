//! The codecs and routes together, without a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Rest};
use crate::engine::tensor::{elements, width};
use crate::engine::{Data, Tensor};
use crate::model::DType;
use crate::serve::datatype;
use crate::serve::model::Limits;
use crate::serve::tests::double;

fn limits() -> Limits {
    Limits {
        workers: 1,
        queue: 1,
        body: 1 << 20,
        bodies: 4 << 20,
        deadline: Duration::from_secs(5),
        connections: 4,
    }
}

/// A server whose model gives its input back.
fn echo(dtype: DType, shape: Option<Vec<Option<u64>>>) -> Rest {
    let model = double::model(double::echo(dtype, shape), limits());
    let rest = Rest::new("m".into(), Arc::clone(model.metrics()));
    rest.serves(Arc::new(model));
    rest
}

struct Got {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    fn error(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/json");
        let value = self.json();
        assert_eq!(value.as_object().unwrap().len(), 1, "{value}");
        value["error"].as_str().unwrap().to_owned()
    }
}

fn ask(rest: &Rest, request: Request<Full<Bytes>>) -> Got {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer: Answer = rest.answer(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { status: head.status, headers: head.headers, body }
    })
}

fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).body(Full::new(body.into())).unwrap()
}

fn infer(rest: &Rest, body: impl Into<Bytes>) -> Got {
    ask(rest, request("POST", "/v2/models/m/infer", body))
}

/// Asks with binary data behind the JSON.
fn infer_binary(rest: &Rest, json: &Value, tail: &[u8]) -> Got {
    let json = json.to_string();
    let mut all = request("POST", "/v2/models/m/infer", [json.as_bytes(), tail].concat());
    all.headers_mut().insert("Inference-Header-Content-Length", json.len().into());
    ask(rest, all)
}

#[test]
fn c46_the_server_and_its_model_tell_about_themselves() {
    let rest = echo(DType::Float32, Some(vec![None, Some(2)]));
    let about = ask(&rest, request("GET", "/v2", "")).json();
    assert_eq!(about["name"], "floe");
    assert_eq!(about["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(ask(&rest, request("GET", "/v2/health/live", "")).json(), json!({"live": true}));
    assert_eq!(ask(&rest, request("GET", "/v2/health/ready", "")).json(), json!({"ready": true}));
    let ready = ask(&rest, request("GET", "/v2/models/m/versions/dev/ready", ""));
    assert_eq!(ready.json(), json!({"name": "m", "ready": true}));
    assert_eq!(
        ask(&rest, request("GET", "/v2/models/m", "")).json(),
        json!({
            "name": "m", "versions": ["dev"], "platform": "onnx_double",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        })
    );
    let scalar = ask(&echo(DType::Int8, Some(vec![])), request("GET", "/v2/models/m", "")).json();
    assert_eq!(scalar["inputs"][0]["shape"], json!([]));
    let unknown = ask(&echo(DType::Int8, None), request("GET", "/v2/models/m", "")).json();
    assert_eq!(unknown["inputs"][0]["shape"], json!([-1]));
    let index = ask(&rest, request("GET", "/", ""));
    assert!(String::from_utf8_lossy(&index.body).contains("/v2/models/NAME[/versions/V]/infer"));
}

#[test]
fn c46_a_request_is_answered() {
    let rest = echo(DType::Float32, Some(vec![None, Some(2)]));
    let body = r#"{"id":"7","parameters":{"whatever":[1,{"a":null}]},"inputs":[
        {"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2.5,-3e2,0.1]}],"outputs":[{"name":"y"}]}"#;
    let got = infer(&rest, body);
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.headers["content-type"], "application/json");
    assert_eq!(
        String::from_utf8_lossy(&got.body),
        r#"{"model_name":"m","model_version":"dev","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"data":[1.0,2.5,-300.0,0.1]}]}"#
    );
    let nested = r#"{"inputs":[{"name":"x","data":[[1,2],[3,4]],"datatype":"FP32","shape":[2,2]}]}"#;
    assert_eq!(infer(&rest, nested).json()["outputs"][0]["data"], json!([1.0, 2.0, 3.0, 4.0]));
}

#[test]
fn c46_binary_data_goes_both_ways() {
    let rest = echo(DType::Float16, None);
    let input = json!({"name": "x", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}});
    let asked = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
    let got = infer_binary(&rest, &asked, &[1, 2, 3, 4]);
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.body);
    assert_eq!(got.headers["content-type"], "application/octet-stream");
    let length: usize = got.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let about: Value = serde_json::from_slice(&got.body[..length]).unwrap();
    assert_eq!(about["outputs"][0]["parameters"], json!({"binary_data_size": 4}));
    assert_eq!(got.body[length..], [1, 2, 3, 4]);
    // One output can be asked for in another form than the rest.
    let own = json!({"inputs": [input], "outputs": [{"name": "y", "parameters": {"binary_data": true}}]});
    assert_eq!(infer_binary(&rest, &own, &[1, 2, 3, 4]).status, StatusCode::OK);
    let as_json = infer_binary(&rest, &json!({"inputs": [input]}), &[1, 2, 3, 4]);
    assert_eq!(as_json.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        as_json.error(),
        "the output `y` is FP16: JSON cannot carry it; ask for binary data (`binary_data` or `binary_data_output`)"
    );
    let in_json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP16","data":[1]}]}"#;
    assert!(infer(&rest, in_json).error().contains("FP16 has no JSON in the protocol"));
}

#[test]
fn c46_paths_and_methods_that_are_not_there() {
    let rest = echo(DType::Float32, None);
    let nothing = ask(&rest, request("GET", "/v1/models/m", ""));
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    assert_eq!(nothing.error(), "there is nothing at `/v1/models/m`; `GET /` names the paths");
    let method = ask(&rest, request("GET", "/v2/models/m/infer", ""));
    assert_eq!(
        (method.status, &method.headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    assert_eq!(method.error(), "expected POST, found GET");
    let method = ask(&rest, request("DELETE", "/v2/models/m", ""));
    assert_eq!(method.headers["allow"], "GET, HEAD");
    for path in ["/v2/models/other", "/v2/models/m/versions/1", "/v2/models/other/infer"] {
        let method = if path.ends_with("infer") { "POST" } else { "GET" };
        let got = ask(&rest, request(method, path, ""));
        assert_eq!(got.status, StatusCode::NOT_FOUND);
        assert!(got.error().contains(" here, only `"), "{}", got.error());
    }
}

#[test]
fn c47_a_model_that_is_being_loaded_is_live_and_not_ready() {
    let rest = Rest::new("m".into(), Arc::default());
    assert_eq!(ask(&rest, request("GET", "/v2/health/live", "")).status, StatusCode::OK);
    let ready = ask(&rest, request("GET", "/v2/health/ready", ""));
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json(), json!({"ready": false, "error": "the model is being loaded"}));
    let early = infer(&rest, "{}");
    assert_eq!(
        (early.status, &early.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert_eq!(ask(&rest, request("GET", "/v2/models/other", "")).status, StatusCode::NOT_FOUND);
}

#[test]
fn c46_a_body_that_is_encoded_is_refused() {
    let rest = echo(DType::Float32, None);
    for (encoding, status) in [("gzip", 415), ("identity", 400), ("identity, gzip", 415)] {
        let mut r = request("POST", "/v2/models/m/infer", "{}");
        r.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        assert_eq!(ask(&rest, r).status.as_u16(), status, "{encoding}");
    }
}

#[test]
fn c46_bodies_of_every_bad_kind_are_a_400() {
    let rest = echo(DType::Int32, None);
    let one = |fields: &str| format!(r#"{{"inputs":[{{"name":"x",{fields}}}]}}"#);
    let data = |data: &str| one(&format!(r#""datatype":"INT32","shape":[2],"data":{data}"#));
    for (body, says) in [
        (String::new(), "expected an object"),
        ("[]".into(), "expected an object"),
        ("{}".into(), "no `inputs`"),
        ("{\"inputs\":{}}".into(), "the inputs as an array"),
        ("{\"inputs\":[]} x".into(), "expected the end"),
        ("{\"inputs\":[],\"inputs\":[]}".into(), "`inputs` is given twice"),
        ("{\"id\":1,\"inputs\":[]}".into(), "id as a string"),
        ("{\"id\":\"\\ud800\",\"inputs\":[]}".into(), "half of a surrogate pair"),
        ("{\"inputs\":[]}".into(), "the input `x` is missing"),
        ("{\"inputs\":[],\"outputs\":[{}]}".into(), "an output has no `name`"),
        (r#"{"inputs":[{"shape":[0],"datatype":"INT32","data":[]}]}"#.into(), "an input has no `name`"),
        (one(r#""datatype":"INT32","data":[1]"#), "the input `x`: it has no `shape`"),
        (one(r#""shape":[1],"data":[1]"#), "the input `x`: it has no `datatype`"),
        (one(r#""shape":[1],"datatype":"INT32""#), "neither `data` nor"),
        (one(r#""shape":[1],"datatype":"int32","data":[1]"#), "found `int32`"),
        (one(r#""shape":[-1],"datatype":"INT32","data":[1]"#), "a size in the shape, found `-1`"),
        (one(r#""shape":[1.5],"datatype":"INT32","data":[1]"#), "found `1.5`"),
        (one(r#""shape":[1],"shape":[1],"datatype":"INT32","data":[1]"#), "`shape` is given twice"),
        (one(r#""shape":[1152921504606846976],"datatype":"INT32","data":[1]"#), "`data` has fewer"),
        (one(r#""shape":[4294967296,4294967296],"datatype":"INT32","data":[1]"#), "can be counted"),
        (one(r#""shape":[99999999999999999999],"datatype":"INT32","data":[1]"#), "a size in the shape"),
        (one(&format!(r#""shape":[{}1]"#, "1,".repeat(64))), "more than 64 dimensions"),
        (one(r#""shape":[1],"datatype":"INT32","parameters":{"binary_data_size":4}"#), "found 0 bytes"),
        (
            one(r#""shape":[1],"datatype":"INT32","data":[1],"parameters":{"binary_data_size":4}"#),
            "both `data` and",
        ),
        (one(r#""shape":[1],"datatype":"INT32","parameters":{"binary_data_size":-4}"#), "a number of bytes"),
        (one(r#""parameters":{"shared_memory_region":"a"}"#), "not among what this server can do"),
        (data("[1]"), "expected 2 elements, found 1"),
        (data("[1,2,3]"), "expected 2 elements, found more"),
        (data("[[1,2]]"), "expected a number"),
        (data("[1,2.5]"), "expected an integer of INT32, found `2.5`"),
        (data("[1,2147483648]"), "expected a number of INT32, found `2147483648`"),
        (data("[1,\"2\"]"), "expected a number"),
        (data("[1,null]"), "expected a number"),
        (data("[1,true]"), "expected a number"),
        (data("1"), "expected `[`"),
        (data("{}"), "expected `[`"),
        (data(&"[".repeat(100_000)), "expected a number"),
        (format!("{{\"x\":{}", "[".repeat(100_000)), "nests deeper"),
        (format!("{{\"x\":{}", "{\"a\":".repeat(100_000)), "nests deeper"),
    ] {
        let got = infer(&rest, body.clone());
        let shown: String = body.chars().take(200).collect();
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{shown}");
        assert!(got.error().contains(says), "{shown}: {}", got.error());
        assert!(got.error().len() < 400, "{}", got.error());
    }
    assert_eq!(infer(&rest, vec![0xff, 0xfe]).status, StatusCode::BAD_REQUEST);
    // Nothing of it is held still.
    assert!(rest.metrics.text().contains("floe_body_bytes 0\n"), "{}", rest.metrics.text());
}

#[test]
fn c46_numbers_that_a_float_cannot_be_are_a_400() {
    let rest = echo(DType::Float32, None);
    for text in ["1e999", "1e39", "-1e39", "NaN", "Infinity", "-Infinity", "null"] {
        let body = format!(r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"FP32","data":[{text}]}}]}}"#);
        let got = infer(&rest, body);
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{text}");
        assert!(got.error().starts_with("the input `x`: "), "{}", got.error());
    }
}

#[test]
fn c46_nested_data_has_to_be_nested_as_the_shape_is() {
    let rest = echo(DType::Int32, None);
    let ask = |shape: &str, data: &str| {
        let body =
            format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"INT32","data":{data}}}]}}"#);
        infer(&rest, body).status.as_u16()
    };
    for (shape, data) in [
        ("[2,2]", "[[1,2],[3,4]]"),
        ("[2,2]", "[1,2,3,4]"),
        ("[1,2,2]", "[[[1,2],[3,4]]]"),
        ("[0]", "[]"),
        ("[0,3]", "[]"),
        ("[2,0]", "[[],[]]"),
        ("[2,0]", "[]"),
        ("[]", "[5]"),
        ("[]", "5"),
    ] {
        assert_eq!(ask(shape, data), 200, "{shape} {data}");
    }
    for (shape, data) in [
        ("[2,2]", "[[1,2,3],[4]]"),
        ("[2,2]", "[[1,2],[3]]"),
        ("[2,2]", "[[1,2]]"),
        ("[2,2]", "[[1,2],3,4]"),
        ("[1,2,2]", "[[1,2],[3,4]]"),
        ("[4]", "[[1,2],[3,4]]"),
        ("[1]", "1"),
        ("[]", "[]"),
    ] {
        assert_eq!(ask(shape, data), 400, "{shape} {data}");
    }
}

#[test]
fn c46_binary_data_of_every_bad_kind_is_a_400() {
    let send = |dtype: DType, shape: &[usize], size: usize, tail: &[u8]| {
        let input = json!({
            "name": "x", "shape": shape, "datatype": datatype::word(dtype),
            "parameters": {"binary_data_size": size},
        });
        let got = infer_binary(&echo(dtype, None), &json!({"inputs": [input]}), tail);
        (got.status.as_u16(), if got.status == 200 { String::new() } else { got.error() })
    };
    for (dtype, shape, size, tail, says) in [
        (DType::Int32, vec![1], 4, &[0; 3][..], "found 3 bytes"),
        (DType::Int32, vec![1], 3, &[0; 3], "expected 4 bytes of binary data (INT32, shape [1]), found 3"),
        (DType::Int32, vec![1], 4, &[0; 5], "1 bytes of binary data belong to no input"),
        (DType::Int32, vec![1 << 62], 4, &[0; 4], "more bytes than can be counted"),
        (DType::Bool, vec![2], 2, &[1, 2], "found the byte 2"),
        (DType::String, vec![2], 5, &[1, 0, 0, 0, b'a'], "ends in number 2"),
        (DType::String, vec![1], 5, &[2, 0, 0, 0, b'a'], "ends in number 1"),
        (DType::String, vec![1], 4, &[0xff; 4], "ends in number 1"),
        (DType::String, vec![1], 5, &[0, 0, 0, 0, b'a'], "1 bytes of binary data follow them"),
        (DType::String, vec![1 << 40], 4, &[0; 4], "ends in number 2"),
    ] {
        let (status, error) = send(dtype, &shape, size, tail);
        assert_eq!(status, 400, "{error}");
        assert!(error.contains(says), "{error}");
    }
    let rest = echo(DType::Int32, None);
    for odd in ["99", "-1", "x", "18446744073709551616"] {
        let mut r = request("POST", "/v2/models/m/infer", "{}");
        r.headers_mut().insert("inference-header-content-length", odd.parse().unwrap());
        let got = ask(&rest, r);
        assert!(got.error().contains("Inference-Header-Content-Length"), "{}", got.error());
    }
}

#[test]
fn c46_what_json_cannot_say_is_refused_not_replaced() {
    let rest = echo(DType::Float64, None);
    let input =
        json!({"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}});
    for odd in [f64::NAN, f64::INFINITY] {
        let tail = [1f64.to_le_bytes(), odd.to_le_bytes()].concat();
        let got = infer_binary(&rest, &json!({"inputs": [input]}), &tail);
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert!(got.error().starts_with("the output `y` holds a number that is not finite: "));
        let binary = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
        let got = infer_binary(&rest, &binary, &tail);
        assert!(got.status == StatusCode::OK && got.body.ends_with(&tail));
    }
    let rest = echo(DType::String, None);
    let input =
        json!({"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}});
    let got = infer_binary(&rest, &json!({"inputs": [input]}), &[1, 0, 0, 0, 0xff]);
    assert!(got.error().contains("a string that is not UTF-8"), "{}", got.error());
}

#[test]
fn memory_for_what_json_grows_to_is_counted() {
    // Three bytes of text for a string, whose slice takes ten times as much.
    let rest = echo(DType::String, None);
    let count = 200_000;
    let data = vec!["\"\""; count].join(",");
    let body =
        format!(r#"{{"inputs":[{{"name":"x","shape":[{count}],"datatype":"BYTES","data":[{data}]}}]}}"#);
    let got = infer(&rest, body);
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE, "{:?}", got.body);
    assert!(got.error().contains("all requests together have 4194304"), "{}", got.error());
}

fn fixed() -> impl Strategy<Value = (DType, Vec<usize>, Vec<u8>)> {
    let dtypes: Vec<DType> = DType::ALL.iter().copied().filter(|d| width(*d).is_some()).collect();
    let shape = proptest::collection::vec(0usize..4, 0..4);
    (proptest::sample::select(dtypes), shape).prop_flat_map(|(dtype, shape)| {
        let size = elements(&shape).unwrap() * width(dtype).unwrap();
        let bytes = proptest::collection::vec(any::<u8>(), size);
        (Just(dtype), Just(shape), bytes).prop_map(|(dtype, shape, mut bytes)| {
            if dtype == DType::Bool {
                bytes.iter_mut().for_each(|b| *b &= 1);
            }
            (dtype, shape, bytes)
        })
    })
}

/// Whether all numbers are finite.
fn finite(dtype: DType, bytes: &[u8]) -> bool {
    match dtype {
        DType::Float32 => bytes.as_chunks().0.iter().all(|c| f32::from_le_bytes(*c).is_finite()),
        DType::Float64 => bytes.as_chunks().0.iter().all(|c| f64::from_le_bytes(*c).is_finite()),
        _ => true,
    }
}

proptest! {
    #[test]
    fn c46_every_dtype_comes_back_as_binary_data((dtype, shape, bytes) in fixed()) {
        let rest = echo(dtype, None);
        let input = json!({
            "name": "x", "shape": shape, "datatype": datatype::word(dtype),
            "parameters": {"binary_data_size": bytes.len()},
        });
        let asked = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
        let got = infer_binary(&rest, &asked, &bytes);
        prop_assert_eq!(got.status, StatusCode::OK);
        prop_assert!(got.body.ends_with(&bytes));
    }

    #[test]
    fn c46_every_dtype_comes_back_as_json((dtype, shape, bytes) in fixed()) {
        prop_assume!(super::values::has_json(dtype) && finite(dtype, &bytes));
        let tensor = Tensor::fixed(dtype, shape.clone(), bytes.clone()).unwrap();
        let mut text = Vec::new();
        super::values::write("x", &tensor, &mut text).unwrap();
        let data = String::from_utf8(text).unwrap();
        let bodies = crate::serve::bodies::Bodies::new(1 << 20, Arc::default());
        let mut memory = super::request::Memory::new(&bodies);
        let mut r = super::json::Reader::new(data.as_bytes()).unwrap();
        let back = super::values::read(&mut r, dtype, &shape, &mut memory).unwrap();
        prop_assert_eq!(back.data(), &Data::Fixed(bytes.into()));
        prop_assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn c46_strings_come_back(all in proptest::collection::vec(any::<String>(), 0..5)) {
        let rest = echo(DType::String, None);
        let body = json!({"inputs": [{"name": "x", "shape": [all.len()], "datatype": "BYTES", "data": all}]});
        let got = infer(&rest, body.to_string());
        prop_assert_eq!(got.json()["outputs"][0]["data"].clone(), json!(all));
        let tail: Vec<u8> = all
            .iter()
            .flat_map(|s| [&u32::try_from(s.len()).unwrap().to_le_bytes()[..], s.as_bytes()].concat())
            .collect();
        let input = json!({
            "name": "x", "shape": [all.len()], "datatype": "BYTES",
            "parameters": {"binary_data_size": tail.len()},
        });
        let asked = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
        let got = infer_binary(&rest, &asked, &tail);
        prop_assert_eq!(got.status, StatusCode::OK);
        prop_assert!(got.body.ends_with(&tail));
    }

    #[test]
    fn c46_no_body_is_more_than_a_400(
        begin in "[{}\\[\\]\",:a-z0-9 ]{0,20}",
        cut in 0usize..200,
        noise in any::<u8>(),
    ) {
        let good = r#"{"id":"a\u00e9","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1.5,-2]}],"outputs":[{"name":"y","parameters":{"binary_data":false}}]}"#;
        let rest = echo(DType::Float32, None);
        let mut changed = good.as_bytes().to_vec();
        let at = cut % changed.len();
        changed[at] = noise;
        for body in [changed, good.as_bytes()[..at].to_vec(), begin.into_bytes()] {
            let status = infer(&rest, body).status.as_u16();
            prop_assert!(status == 200 || status == 400, "{}", status);
        }
    }
}
