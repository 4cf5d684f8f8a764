//! Configurations and indexes, whole and broken.

use std::path::Path;

use super::*;
use crate::model::format::{Choice, Weight, detect};
use crate::model::tree::Selected;

fn weight(name: &str, shape: &[u64]) -> Weight {
    Weight {
        name: name.to_owned(),
        dtype: Some("float32".to_owned()),
        shape: Some(shape.iter().copied().map(Some).collect()),
    }
}

fn task(config: &str, weights: &[Weight]) -> tasks::Task {
    tasks::task(&Config::parse(config.as_bytes()).unwrap(), weights)
}

fn outputs(t: &tasks::Task) -> Vec<(&str, Option<Vec<Option<u64>>>)> {
    t.signature.iter().flat_map(|s| &s.outputs).map(|o| (o.name.as_str(), o.shape.clone())).collect()
}

#[test]
fn classes_of_text() {
    let t = task(
        r#"{"architectures":["BertForSequenceClassification"],"model_type":"bert","vocab_size":9,"id2label":{"0":"a","1":"b","2":"c"}}"#,
        &[weight("classifier.weight", &[3, 8])],
    );
    assert_eq!(outputs(&t), [("logits", Some(vec![None, Some(3)]))]);
    assert_eq!(t.name, Some("text-classification"));
    let names: Vec<_> =
        t.signature.as_ref().unwrap().inputs.iter().map(|i| (i.name.as_str(), i.optional)).collect();
    assert_eq!(names, [("input_ids", false), ("attention_mask", true), ("token_type_ids", true)]);
    let t = task(r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":9}"#, &[]);
    assert_eq!(outputs(&t), [("logits", Some(vec![None, None, Some(9)]))]);
    // Half precision is loaded as whoever loads it likes.
    let t = task(
        r#"{"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","vocab_size":9,"dtype":"float16"}"#,
        &[],
    );
    assert_eq!(t.signature.unwrap().outputs[0].dtype, None);
}

#[test]
fn classes_of_images_and_sound() {
    let told = |config: &str| -> Vec<(String, Option<Vec<Option<u64>>>)> {
        outputs(&task(config, &[])).into_iter().map(|(n, s)| (n.to_owned(), s)).collect()
    };
    let out = |name: &str, shape: &[Option<u64>]| (name.to_owned(), Some(shape.to_vec()));
    assert_eq!(
        told(r#"{"architectures":["Dinov2Model"],"model_type":"dinov2","hidden_size":8}"#),
        [out("last_hidden_state", &[None, None, Some(8)]), out("pooler_output", &[None, Some(8)])]
    );
    // The one has no layer for the whole image, the other more sizes than stages.
    assert_eq!(
        told(r#"{"architectures":["Data2VecVisionModel"],"model_type":"data2vec-vision","hidden_size":8}"#)
            .len(),
        1
    );
    assert_eq!(
        told(
            r#"{"architectures":["ResNetModel"],"model_type":"resnet","hidden_sizes":[2,4,8],"depths":[1,1]}"#
        )[1],
        out("pooler_output", &[None, Some(4), Some(1), Some(1)])
    );
    assert_eq!(
        told(
            r#"{"architectures":["CLIPTextModelWithProjection"],"model_type":"clip_text_model","hidden_size":8,"projection_dim":4}"#
        ),
        [out("text_embeds", &[None, Some(4)]), out("last_hidden_state", &[None, None, Some(8)])]
    );
    assert_eq!(
        told(
            r#"{"architectures":["Wav2Vec2Model"],"model_type":"wav2vec2","hidden_size":8,"conv_dim":[3,5]}"#
        )[1],
        out("extract_features", &[None, None, Some(5)])
    );
    assert_eq!(told(r#"{"architectures":["HubertModel"],"model_type":"hubert","hidden_size":8}"#).len(), 1);
    assert!(
        told(r#"{"architectures":["Wav2Vec2Model"],"model_type":"wav2vec2","add_adapter":true}"#).is_empty()
    );
    let pair = r#"{"architectures":["VisionEncoderDecoderModel"],"model_type":"vision-encoder-decoder",
        "encoder":{"model_type":"vit","hidden_size":8,"image_size":16},"decoder":{"model_type":"gpt2","n_embd":6,"vocab_size":9}}"#;
    assert_eq!(
        told(pair),
        [out("logits", &[None, None, Some(9)]), out("encoder_last_hidden_state", &[None, None, None])]
    );
}

#[test]
fn what_contradicts_itself_is_not_told() {
    let t = task(
        r#"{"architectures":["BertForSequenceClassification"],"model_type":"bert","vocab_size":9}"#,
        &[weight("classifier.weight", &[5, 8])],
    );
    assert_eq!(outputs(&t), [("logits", Some(vec![None, None]))]);
    assert!(t.warnings[0].contains("2 labels") && t.warnings[0].contains('5'));
}

#[test]
fn what_is_not_known_has_no_contract() {
    for config in [
        r#"{}"#,
        r#"{"architectures":[]}"#,
        r#"{"architectures":["Model"],"model_type":"new"}"#,
        r#"{"architectures":["NewForCausalLM"],"model_type":"new","vision_config":{},"vocab_size":3}"#,
        r#"{"architectures":["BertModel"],"model_type":"bert","vocab_size":3,"auto_map":{"AutoModel":"x.Y"}}"#,
        r#"{"architectures":[7],"model_type":{},"id2label":[],"image_size":[1,2,3]}"#,
        r#"{"architectures":["XLNetForQuestionAnswering"],"model_type":"xlnet","vocab_size":3}"#,
    ] {
        assert!(task(config, &[]).signature.is_none(), "{config}");
    }
}

#[test]
fn odd_numbers_are_harmless() {
    for kind in ["vit", "deit", "resnet", "detr", "whisper", "clip", "t5", "wav2vec2", "bert", "gpt2"] {
        for class in [
            "ViTModel",
            "XForImageClassification",
            "XForObjectDetection",
            "XForConditionalGeneration",
            "CLIPModel",
            "XForCTC",
        ] {
            task(
                &format!(
                    r#"{{"architectures":["{class}"],"model_type":"{kind}","image_size":18446744073709551615,"patch_size":0,
                    "num_labels":18446744073709551615,"max_source_positions":18446744073709551615,"hidden_sizes":{{}},"vocab_size":-1,"vision_config":3}}"#
                ),
                &[weight("pooler.dense.weight", &[])],
            );
        }
    }
}

fn look(files: &[(&str, &[u8])]) -> Option<crate::model::format::Detection> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    look_at(dir.path())
}

fn look_at(path: &Path) -> Option<crate::model::format::Detection> {
    let all = [Selected { source: path.to_owned(), dest: Vec::new() }];
    let tree = Tree::scan(&all, &|_, _| false, false).unwrap();
    detect(&tree, &Choice::default()).unwrap()
}

const EMPTY: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

#[test]
fn missing_parts_and_parts_elsewhere_are_found() {
    let config = br#"{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":3}"#;
    let index = br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors","c":"../../x","d":"/etc/passwd"}}"#;
    let d = look(&[
        ("config.json", config),
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", EMPTY),
    ])
    .unwrap();
    assert_eq!((d.format, d.failure), ("huggingface", None));
    let codes: Vec<&str> = d.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["weights-outside", "weights-outside", "missing-weights"]);
}

#[test]
fn relatives_are_told_apart() {
    let d = look(&[
        ("adapter_config.json", br#"{"peft_type":"LORA","base_model_name_or_path":"org/base","r":8}"#),
        ("adapter_model.safetensors", EMPTY),
    ])
    .unwrap();
    assert_eq!((d.framework.as_str(), d.findings[0].code), ("peft", "base-model-elsewhere"));
    assert_eq!(d.facts["huggingface.r"], 8);
    let d = look(&[
        ("model_index.json", br#"{"_class_name":"P","_diffusers_version":"0.30","unet":["diffusers","U"],"vae":["diffusers","V"]}"#),
        ("unet/diffusion_pytorch_model.safetensors", EMPTY),
    ])
    .unwrap();
    assert_eq!((d.framework.as_str(), d.findings[0].code), ("diffusers", "missing-component"));
    let d = look(&[
        ("config.json", br#"{"model_type":"bert","architectures":["BertModel"],"hidden_size":8,"vocab_size":3,"auto_map":{"AutoModel":"m.M"}}"#),
        ("model.safetensors", EMPTY),
    ])
    .unwrap();
    assert_eq!((d.contract, d.findings[0].code), (None, "remote-code"));
    let d = look(&[
        ("config.json", br#"{"model_type":"bert","architectures":["BertModel"],"hidden_size":8,"vocab_size":3}"#),
        ("model.safetensors", EMPTY),
        ("modules.json", br#"[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#),
        ("1_Pooling/config.json", br#"{"word_embedding_dimension":8,"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#),
    ])
    .unwrap();
    let output = &d.contract.unwrap().signatures[0].outputs[0];
    assert_eq!(
        (output.name.as_str(), output.shape.clone()),
        ("sentence_embedding", Some(vec![None, Some(16)]))
    );
}

#[test]
fn broken_files_are_told() {
    let config = br#"{"model_type":"llama"}"#;
    let d = look(&[("config.json", b"{\"model_type\":"), ("model.safetensors", EMPTY)]).unwrap();
    assert!(d.failure.is_some());
    let d = look(&[("config.json", config), ("model.safetensors.index.json", b"{\"weight_map\":[")]).unwrap();
    assert_eq!(d.findings[0].code, "bad-index");
    let d = look(&[("config.json", config), ("model.safetensors", b"\xff\xff\0\0\0\0\0\0{\"a\"")]).unwrap();
    assert!(d.failure.unwrap().contains("cut off"));
    let deep = [b"{\"model_type\":".to_vec(), vec![b'['; 100_000]].concat();
    assert!(look(&[("config.json", &deep), ("model.safetensors", EMPTY)]).unwrap().failure.is_some());
}
