//! From the class of a model to what goes in and out of it.
//!
//! A class of transformers fixes the names and shapes of its `forward`; the numbers come from the
//! configuration and are held against the weights. Names are those of the arguments of `forward` and
//! of the fields of its output. What is not certain for a class is left out, and a class that is not
//! known has no contract.

use crate::model::contract::{DType, Known, Shape, Signature, Tensor};
use crate::model::format::Weight;
use crate::model::format::huggingface::check::Weights;
use crate::model::format::huggingface::config::Config;
use crate::model::format::huggingface::families::{
    ANY_IMAGE, ENCODER_DECODER, FIXED_IMAGE, WAVE, WITH_POOLER, WITH_TOKEN_TYPES, WITHOUT_POOLER,
};

/// What a class stands for.
pub(super) struct Task {
    /// What people call it, where it is one of the tasks of transformers' pipelines.
    pub name: Option<&'static str>,
    /// The contract, where the class is known.
    pub signature: Option<Signature>,
    /// Where configuration and weights contradict each other.
    pub warnings: Vec<String>,
}

/// How a class ends, and the task that it is for.
const HEADS: &[(&str, &str)] = &[
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForQuestionAnsweringSimple", "question-answering"),
    ("ForMultipleChoice", "multiple-choice"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("ForImageClassification", "image-classification"),
    ("ForImageClassificationWithTeacher", "image-classification"),
    ("ForDepthEstimation", "depth-estimation"),
    ("ForAudioFrameClassification", ""),
    ("ForXVector", ""),
    ("ModelWithProjection", ""),
    ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"),
    ("ForCTC", "automatic-speech-recognition"),
    ("ForAudioClassification", "audio-classification"),
    ("ForPreTraining", ""),
    ("ForNextSentencePrediction", ""),
    ("EncoderModel", "feature-extraction"),
    ("Model", "feature-extraction"),
];

/// What is known of a model.
pub(super) struct Maker<'m> {
    pub(super) config: &'m Config,
    weights: Weights<'m>,
    pub(super) kind: &'m str,
    /// Numbers are of this type; `None` where the weights are not plain float32, since a caller chooses
    /// then in which type they are loaded.
    float: Option<DType>,
    warnings: Vec<String>,
}

/// The task of a folder with a configuration and a table of weights, which may be empty.
pub(super) fn task(config: &Config, tensors: &[Weight]) -> Task {
    let class = config.architecture().unwrap_or_default();
    let class = class.strip_prefix("TF").or_else(|| class.strip_prefix("Flax")).unwrap_or(class);
    let kind = config.text("model_type").unwrap_or_default();
    let head = HEADS.iter().find(|(suffix, _)| class.ends_with(suffix));
    let mut name = head.map(|(_, task)| *task).filter(|t| !t.is_empty());
    match (kind, name) {
        ("whisper" | "speech_to_text", Some("text2text-generation")) => {
            name = Some("automatic-speech-recognition");
        }
        ("clip" | "siglip" | "align", Some("feature-extraction"))
            if !class.contains("Text") && !class.contains("Vision") =>
        {
            name = Some("zero-shot-image-classification");
        }
        (k, Some("text-classification")) if WAVE.contains(&k) => name = Some("audio-classification"),
        (k, Some("text2text-generation")) if !ENCODER_DECODER.contains(&k) => name = None,
        _ => {}
    }
    let written = config.text("torch_dtype").or_else(|| config.text("dtype"));
    let plain = if tensors.is_empty() {
        written.is_none_or(|d| d == "float32")
    } else {
        tensors
            .iter()
            .all(|t| !matches!(t.dtype.as_deref(), Some(d) if d != "float32" && d != "int64" && d != "bool"))
    };
    let float = plain.then_some(DType::Float32);
    let mut maker = Maker { config, weights: Weights(tensors), kind, float, warnings: Vec::new() };
    // Classes of the folder's own code are named as they please.
    let foreign = config.has("auto_map");
    let sides = head.filter(|_| !foreign).and_then(|(suffix, _)| maker.sides(class, suffix));
    let signature = sides.map(|(inputs, outputs)| Signature {
        name: "forward".to_owned(),
        known: Known::Convention,
        inputs,
        outputs,
    });
    Task { name, signature, warnings: maker.warnings }
}

pub(super) type Sides = Option<(Vec<Tensor>, Vec<Tensor>)>;

impl Maker<'_> {
    fn sides(&mut self, class: &str, suffix: &str) -> Sides {
        let kind = self.kind;
        if WAVE.contains(&kind) {
            return self.wave(suffix);
        }
        if FIXED_IMAGE.contains(&kind) || ANY_IMAGE.contains(&kind) {
            return self.image(suffix);
        }
        match kind {
            "detr" | "yolos" | "conditional_detr" | "table-transformer" => return self.detection(suffix),
            "audio-spectrogram-transformer" => return self.spectrogram(suffix),
            "whisper" => return self.whisper(suffix),
            "clip" => return self.clip(class),
            "clip_text_model" | "clip_vision_model" => return self.half_of_clip(class),
            "vision-encoder-decoder" | "encoder-decoder" => return self.pair(class),
            "dpt" | "depth_anything" | "glpn" if suffix == "ForDepthEstimation" => return self.depth(),
            "dinov2_with_registers" | "dinov3_vit" | "dpt" | "siglip_vision_model" | "ijepa"
                if suffix == "Model" =>
            {
                return self.pieces();
            }
            _ => {}
        }
        if ENCODER_DECODER.contains(&kind) {
            return self.encoder_decoder(suffix);
        }
        self.text(suffix)
    }

    /// A tensor of numbers.
    pub(super) fn real(&self, name: &str, shape: Shape) -> Tensor {
        let mut t = Tensor::new(name, self.float, Some(shape), Known::Derived);
        if self.float.is_none() {
            t.known.dtype = Known::Unknown;
        }
        t
    }

    fn labels(&mut self) -> Option<u64> {
        let labels = self.config.num_labels();
        self.weights.agree(&CLASSIFIERS, labels, "labels", &mut self.warnings)
    }

    fn vocabulary(&mut self, config: &Config) -> Option<u64> {
        let size = config.size(&["vocab_size"]);
        self.weights.agree(&LANGUAGE_HEADS, size, "words", &mut self.warnings)
    }

    fn text(&mut self, suffix: &str) -> Sides {
        let config = self.config;
        let known = WITH_TOKEN_TYPES.contains(&self.kind)
            || WITH_POOLER.contains(&self.kind)
            || WITHOUT_POOLER.contains(&self.kind);
        // Of a type that is not known, only a head of text over a vocabulary is what it seems.
        let other_senses = [
            "vision_config",
            "audio_config",
            "image_size",
            "patch_size",
            "max_2d_position_embeddings",
            "num_mel_bins",
        ];
        if !known && (other_senses.iter().any(|k| config.has(k)) || !config.has("vocab_size")) {
            return None;
        }
        let encoder_decoder = config.get("is_encoder_decoder").is_some_and(|v| v.as_bool() == Some(true));
        if encoder_decoder {
            return None;
        }
        let rank = if suffix == "ForMultipleChoice" { 3 } else { 2 };
        let mut inputs = vec![tokens("input_ids", rank, false)];
        if self.kind != "fnet" {
            inputs.push(tokens("attention_mask", rank, true));
        }
        if WITH_TOKEN_TYPES.contains(&self.kind) {
            inputs.push(tokens("token_type_ids", rank, true));
        }
        let outputs = match suffix {
            "ForSequenceClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, labels])]
            }
            "ForTokenClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, None, labels])]
            }
            "ForQuestionAnswering" if matches!(self.kind, "xlnet" | "xlm" | "flaubert") => return None,
            "ForQuestionAnswering" | "ForQuestionAnsweringSimple" => self.spans(),
            "ForMultipleChoice" => vec![self.real("logits", vec![None, None])],
            "ForMaskedLM" | "ForCausalLM" | "LMHeadModel" => {
                let words = self.vocabulary(config);
                vec![self.real("logits", vec![None, None, words])]
            }
            "ForNextSentencePrediction" if known => vec![self.real("logits", vec![None, Some(2)])],
            "ForPreTraining" if self.kind == "electra" => vec![self.real("logits", vec![None, None])],
            "ForPreTraining" if matches!(self.kind, "bert" | "albert") => {
                let words = self.vocabulary(config);
                let pairs = if self.kind == "bert" { "seq_relationship_logits" } else { "sop_logits" };
                vec![
                    self.real("prediction_logits", vec![None, None, words]),
                    self.real(pairs, vec![None, Some(2)]),
                ]
            }
            "Model" if known => return self.bare(inputs),
            _ => return None,
        };
        Some((inputs, outputs))
    }

    fn bare(&mut self, inputs: Vec<Tensor>) -> Sides {
        let pooler = if WITH_POOLER.contains(&self.kind) {
            // A model may be made without the layer; then its weights lack it.
            self.weights.0.is_empty()
                || self.weights.any("pooler.dense.weight")
                || self.weights.any("pooler.weight")
        } else if WITHOUT_POOLER.contains(&self.kind) {
            false
        } else {
            return None;
        };
        // What an embedding of another width would make of it is not certain for these.
        let width = if matches!(self.kind, "funnel" | "opt") { None } else { self.config.hidden() };
        let mut outputs = vec![self.real("last_hidden_state", vec![None, None, width])];
        if pooler {
            outputs.push(self.real("pooler_output", vec![None, width]));
        }
        Some((inputs, outputs))
    }

    fn spans(&self) -> Vec<Tensor> {
        ["start_logits", "end_logits"].map(|n| self.real(n, vec![None, None])).to_vec()
    }

    fn encoder_decoder(&mut self, suffix: &str) -> Sides {
        let (config, width) = (self.config, self.config.hidden());
        let mut inputs = vec![tokens("input_ids", 2, false), tokens("attention_mask", 2, true)];
        let state = self.real("encoder_last_hidden_state", vec![None, None, width]);
        let outputs = match suffix {
            "ForConditionalGeneration" | "LMHeadModel" => {
                inputs.push(tokens("decoder_input_ids", 2, false));
                let words = self.vocabulary(config);
                vec![self.real("logits", vec![None, None, words]), state]
            }
            // Marian calls its model with a head this way.
            "Model" if self.config.architecture() == Some("MarianMTModel") => {
                inputs.push(tokens("decoder_input_ids", 2, false));
                let words = self.vocabulary(config);
                vec![self.real("logits", vec![None, None, words]), state]
            }
            "EncoderModel" => vec![self.real("last_hidden_state", vec![None, None, width])],
            "Model" => {
                inputs.push(tokens("decoder_input_ids", 2, false));
                vec![self.real("last_hidden_state", vec![None, None, width]), state]
            }
            "ForSequenceClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, labels]), state]
            }
            "ForQuestionAnswering" => {
                let mut outputs = self.spans();
                outputs.push(state);
                outputs
            }
            _ => return None,
        };
        Some((inputs, outputs))
    }

    fn image(&mut self, suffix: &str) -> Sides {
        let config = self.config;
        let size = config.image_size().filter(|_| FIXED_IMAGE.contains(&self.kind));
        let [h, w] = size.map_or([None, None], |[h, w]| [Some(h), Some(w)]);
        let channels = Some(config.size(&["num_channels"]).unwrap_or(3));
        let inputs = vec![self.real("pixel_values", vec![None, channels, h, w])];
        let outputs = match suffix {
            "ForImageClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, labels])]
            }
            "ForSemanticSegmentation" if self.kind == "segformer" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, labels, None, None])]
            }
            "Model" if matches!(self.kind, "dinov2" | "beit" | "data2vec-vision" | "swin" | "swinv2") => {
                return self.pieces();
            }
            "Model" if matches!(self.kind, "segformer" | "efficientnet") => return self.last_map(),
            "Model" if matches!(self.kind, "mobilenet_v1" | "mobilenet_v2" | "mobilevit") => {
                return self.last_map();
            }
            "ForImageClassificationWithTeacher" if self.kind == "deit" => return self.with_teacher(),
            "Model" if matches!(self.kind, "vit" | "deit") => {
                let patch = config.size(&["patch_size"]).filter(|p| *p > 0);
                let extra = if self.kind == "deit" { 2 } else { 1 };
                let pieces = match (size, patch) {
                    (Some([h, w]), Some(p)) => (h / p).checked_mul(w / p).and_then(|n| n.checked_add(extra)),
                    _ => None,
                };
                let width = config.hidden();
                let mut outputs = vec![self.real("last_hidden_state", vec![None, pieces, width])];
                if self.weights.0.is_empty() {
                    return None;
                }
                if self.weights.any("pooler.dense.weight") {
                    let pooled = config.size(&["pooler_output_size"]).or(width);
                    outputs.push(self.real("pooler_output", vec![None, pooled]));
                }
                outputs
            }
            "Model" if matches!(self.kind, "resnet" | "regnet" | "convnext" | "convnextv2") => {
                let width = self.last_width();
                let pooled = if self.kind.starts_with("convnext") {
                    vec![None, width]
                } else {
                    vec![None, width, Some(1), Some(1)]
                };
                vec![
                    self.real("last_hidden_state", vec![None, width, None, None]),
                    self.real("pooler_output", pooled),
                ]
            }
            _ => return None,
        };
        Some((inputs, outputs))
    }

    fn detection(&mut self, suffix: &str) -> Sides {
        if suffix != "ForObjectDetection" {
            return None;
        }
        let config = self.config;
        let channels = Some(config.size(&["num_channels"]).unwrap_or(3));
        let mut inputs = vec![self.real("pixel_values", vec![None, channels, None, None])];
        let yolos = self.kind == "yolos";
        let queries = config.size(&[if yolos { "num_detection_tokens" } else { "num_queries" }]);
        // The last class is nothing; the second of these kinds has none.
        let labels = config.num_labels();
        let labels =
            if self.kind == "conditional_detr" { labels } else { labels.and_then(|n| n.checked_add(1)) };
        let width = config.hidden();
        let mut outputs = vec![
            self.real("logits", vec![None, queries, labels]),
            self.real("pred_boxes", vec![None, queries, Some(4)]),
        ];
        if !yolos {
            let mut mask = Tensor::new("pixel_mask", Some(DType::Int64), Some(vec![None; 3]), Known::Derived);
            mask.optional = true;
            inputs.push(mask);
            outputs.push(self.real("last_hidden_state", vec![None, queries, width]));
            outputs.push(self.real("encoder_last_hidden_state", vec![None, None, width]));
        } else {
            outputs.push(self.real("last_hidden_state", vec![None, None, width]));
        }
        Some((inputs, outputs))
    }

    fn wave(&mut self, suffix: &str) -> Sides {
        let config = self.config;
        let mut inputs = vec![self.real("input_values", vec![None, None])];
        inputs.push(tokens("attention_mask", 2, true));
        let outputs = match suffix {
            "ForCTC" => {
                let words = config.size(&["vocab_size"]);
                let words = self.weights.agree(&LANGUAGE_HEADS, words, "words", &mut self.warnings);
                vec![self.real("logits", vec![None, None, words])]
            }
            "ForSequenceClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, labels])]
            }
            "ForAudioFrameClassification" => {
                let labels = self.labels();
                vec![self.real("logits", vec![None, None, labels])]
            }
            "ForXVector" => {
                let width = config.size(&["xvector_output_dim"]);
                ["logits", "embeddings"].map(|n| self.real(n, vec![None, width])).to_vec()
            }
            // An adapter gives rows of another width.
            "Model" if config.get("add_adapter").is_none_or(|v| v.as_bool() == Some(false)) => {
                let mut outputs = vec![self.real("last_hidden_state", vec![None, None, config.hidden()])];
                if !matches!(self.kind, "hubert" | "sew" | "sew-d") {
                    let sizes = config.get("conv_dim").and_then(|s| s.as_array());
                    let width = sizes.and_then(|s| s.last()).and_then(serde_json::Value::as_u64);
                    outputs.push(self.real("extract_features", vec![None, None, width]));
                }
                outputs
            }
            _ => return None,
        };
        Some((inputs, outputs))
    }

    fn spectrogram(&mut self, suffix: &str) -> Sides {
        if suffix != "ForAudioClassification" {
            return None;
        }
        let (time, bins) = (self.config.size(&["max_length"]), self.config.size(&["num_mel_bins"]));
        let labels = self.labels();
        let inputs = vec![self.real("input_values", vec![None, time, bins])];
        Some((inputs, vec![self.real("logits", vec![None, labels])]))
    }

    fn whisper(&mut self, suffix: &str) -> Sides {
        let config = self.config;
        let source = config.size(&["max_source_positions"]);
        let bins = config.size(&["num_mel_bins"]);
        let width = config.hidden();
        let inputs = vec![
            self.real("input_features", vec![None, bins, source.and_then(|n| n.checked_mul(2))]),
            tokens("decoder_input_ids", 2, false),
        ];
        let state = self.real("encoder_last_hidden_state", vec![None, source, width]);
        let outputs = match suffix {
            "ForConditionalGeneration" => {
                let words = self.vocabulary(config);
                vec![self.real("logits", vec![None, None, words]), state]
            }
            "Model" => vec![self.real("last_hidden_state", vec![None, None, width]), state],
            _ => return None,
        };
        Some((inputs, outputs))
    }

    fn clip(&mut self, class: &str) -> Sides {
        if class != "CLIPModel" {
            return None;
        }
        let (vision, config) = (self.config.inner("vision_config"), self.config);
        let [h, w] = vision.image_size().map_or([None, None], |[h, w]| [Some(h), Some(w)]);
        let channels = Some(vision.size(&["num_channels"]).unwrap_or(3));
        let inputs = vec![
            tokens("input_ids", 2, false),
            self.real("pixel_values", vec![None, channels, h, w]),
            tokens("attention_mask", 2, true),
        ];
        let width = config.size(&["projection_dim"]);
        let width = self.weights.agree(
            &["text_projection.weight"],
            width,
            "numbers of an embedding",
            &mut self.warnings,
        );
        let outputs = vec![
            self.real("logits_per_image", vec![None, None]),
            self.real("logits_per_text", vec![None, None]),
            self.real("text_embeds", vec![None, width]),
            self.real("image_embeds", vec![None, width]),
        ];
        Some((inputs, outputs))
    }
}

/// Numbers of words, or which of them count.
pub(super) fn tokens(name: &str, rank: usize, optional: bool) -> Tensor {
    let mut t = Tensor::new(name, Some(DType::Int64), Some(vec![None; rank]), Known::Derived);
    t.optional = optional;
    t
}

/// Weights of which the first dimension is the number of labels.
const CLASSIFIERS: [&str; 5] = [
    "classifier.weight",
    "classifier.out_proj.weight",
    "classification_head.out_proj.weight",
    "score.weight",
    "logits_proj.weight",
];

/// Weights of which the first dimension is the number of words.
const LANGUAGE_HEADS: [&str; 4] =
    ["lm_head.weight", "lm_head.decoder.weight", "predictions.decoder.weight", "proj_out.weight"];
