//! Text and binary say the same.

use super::*;
use crate::model::contract::{DType, Encoding};
use crate::model::format::Reading;
use crate::model::format::tensorflow::saved_model;
use crate::model::pb::Input;

const MODEL: &str = r#"
# a comment { with a bracket
saved_model_schema_version: 1
meta_graphs {
  meta_info_def { tags: "serve" tensorflow_version: "2.1" "6.1" stripped_default_attrs: true
    any_info { [type.googleapis.com/x.Y] { a: 1 } } }
  graph_def { node { name: "a }" op: 'Const' attr { key: "v" value { tensor { tensor_content: "\000\\\"{" } } } }
    versions < producer: 1987 > }
  saver_def: { filename_tensor_name: "save/Const:0" }
  signature_def: [{
    key: "serving_default",
    value {
      inputs { key: "x" value { name: "x:0"; dtype: DT_FLOAT
        tensor_shape { dim { size: -1 name: "batch" } dim { size: 0x4 } } } }
      inputs { key: "u" value { name: "u:0" dtype: DT_HALF_REF tensor_shape { unknown_rank: true } } }
      inputs { key: "s" value { coo_sparse { values_tensor_name: "v:0" } dtype: DT_STRING tensor_shape { } } }
      outputs { key: "caf\303\251" value { name: "y:0" dtype: 9 } }
      method_name: "tensorflow/serving/predict"
      defaults { key: "x" value { dtype: DT_FLOAT float_val: [1.5, -2e3] } }
    }
  }]
}
"#;

fn read(text: &str) -> Result<Reading> {
    let binary = convert(text.as_bytes())?;
    let mut reading = Reading::default();
    saved_model::read(Input::new(&binary, 1 << 20).message(), &mut reading, false)?;
    Ok(reading)
}

#[test]
fn a_whole_model_is_read() {
    assert!(looks_like(MODEL.as_bytes()));
    let r = read(MODEL).unwrap();
    let s = &r.contract.as_ref().unwrap().signatures[0];
    let names: Vec<&str> = s.inputs.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["s", "u", "x"]);
    assert_eq!(s.inputs[0].encoding, Encoding::Sparse);
    assert_eq!(s.inputs[0].shape, Some(vec![]));
    assert_eq!((s.inputs[1].dtype, s.inputs[1].shape.as_ref()), (Some(DType::Float16), None));
    assert_eq!(s.inputs[1].native_type.as_deref(), Some("float16_ref"));
    assert_eq!(s.inputs[2].shape, Some(vec![None, Some(4)]));
    assert_eq!(s.inputs[2].dim_names, [Some("batch".to_owned()), None]);
    assert!(s.inputs[2].optional && !s.inputs[0].optional);
    assert_eq!((s.outputs[0].name.as_str(), s.outputs[0].dtype), ("café", Some(DType::Int64)));
    assert_eq!(r.facts["tensorflow.metaGraph[0].tensorflowVersion"], "2.16.1");
}

#[test]
fn every_name_of_a_dtype_is_known() {
    let lexer = Lexer { text: b"", at: 0 };
    for (name, number) in [
        ("DT_FLOAT", 1),
        ("DT_BOOL", 10),
        ("DT_QUINT8", 12),
        ("DT_BFLOAT16", 14),
        ("DT_HALF", 19),
        ("DT_VARIANT", 21),
        ("DT_UINT64", 23),
        ("DT_FLOAT8_E5M2", 24),
        ("DT_FLOAT8_E4M3FN", 25),
        ("DT_FLOAT8_E4M3B11FNUZ", 27),
        ("DT_INT4", 29),
        ("DT_STRING_REF", 107),
        ("DT_INVALID", 0),
    ] {
        assert_eq!(dtype(&lexer, name.as_bytes()).unwrap(), number, "{name}");
    }
    assert!(dtype(&lexer, b"DT_NOTHING").is_err());
}

#[test]
fn hostile_texts_are_errors() {
    for text in [
        "meta_graphs {",
        "meta_graphs }",
        "meta_graphs: 3",
        "saved_model_schema_version: x",
        "graph { ] ",
        "a: \"unclosed",
        "a: \"x\\",
        "meta_graphs { meta_info_def { tags: \"\\777\" } }",
        "meta_graphs { meta_info_def { tags: \"\\xzz\" } }",
        "\u{1}",
        ": 3",
    ] {
        assert!(convert(text.as_bytes()).is_err(), "{text}");
    }
    let deep = "meta_graphs { signature_def { value { inputs { value { composite_tensor { ".to_owned()
        + &"components { composite_tensor { ".repeat(100_000);
    assert!(convert(deep.as_bytes()).unwrap_err().message().contains("nested too deep"));
    assert!(convert("unknown { ".repeat(100_000).as_bytes()).is_err());
    for cut in 0..MODEL.len() {
        let _ = read(MODEL.get(..cut).unwrap_or(""));
    }
}
