//! What is known of types of models: which inputs they take besides the usual ones.
//!
//! The lists follow the `forward` methods of transformers (src/transformers/models). A type that is in
//! none of them is nothing that floe claims to know.

/// Text models that take `token_type_ids`, as their tokenizers give them.
pub(super) const WITH_TOKEN_TYPES: &[&str] = &[
    "albert",
    "bert",
    "big_bird",
    "canine",
    "convbert",
    "deberta",
    "deberta-v2",
    "electra",
    "ernie",
    "fnet",
    "funnel",
    "megatron-bert",
    "mobilebert",
    "nezha",
    "nystromformer",
    "rembert",
    "roformer",
    "splinter",
    "squeezebert",
    "xlnet",
    "yoso",
];

/// Text models whose bare form has a layer for the whole text, unless its weights are left out.
pub(super) const WITH_POOLER: &[&str] = &[
    "albert",
    "bert",
    "big_bird",
    "camembert",
    "canine",
    "data2vec-text",
    "ernie",
    "esm",
    "fnet",
    "ibert",
    "longformer",
    "megatron-bert",
    "mobilebert",
    "mpnet",
    "nezha",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "squeezebert",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

/// Text models whose bare form has no such layer.
pub(super) const WITHOUT_POOLER: &[&str] = &[
    "bloom",
    "codegen",
    "convbert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "falcon",
    "flaubert",
    "funnel",
    "gemma",
    "gemma2",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "llama",
    "mistral",
    "mixtral",
    "modernbert",
    "mpt",
    "nystromformer",
    "olmo",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "roformer",
    "splinter",
    "stablelm",
    "starcoder2",
    "xglm",
    "xlm",
    "xlnet",
    "yoso",
];

/// Models with an encoder and a decoder of text.
pub(super) const ENCODER_DECODER: &[&str] = &[
    "bart",
    "bigbird_pegasus",
    "blenderbot",
    "blenderbot-small",
    "led",
    "longt5",
    "m2m_100",
    "marian",
    "mbart",
    "mt5",
    "mvp",
    "pegasus",
    "plbart",
    "t5",
    "umt5",
];

/// Models of sound that take the wave itself.
pub(super) const WAVE: &[&str] = &[
    "data2vec-audio",
    "hubert",
    "sew",
    "sew-d",
    "unispeech",
    "unispeech-sat",
    "wav2vec2",
    "wav2vec2-conformer",
    "wavlm",
];

/// Models of images that take one size only and refuse every other.
pub(super) const FIXED_IMAGE: &[&str] = &["deit", "vit", "vit_msn"];

/// Models of images that take any size.
pub(super) const ANY_IMAGE: &[&str] = &[
    "beit",
    "bit",
    "convnext",
    "convnextv2",
    "cvt",
    "data2vec-vision",
    "dinov2",
    "efficientnet",
    "focalnet",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilevit",
    "mobilevitv2",
    "poolformer",
    "pvt",
    "pvt_v2",
    "regnet",
    "resnet",
    "segformer",
    "swiftformer",
    "swin",
    "swinv2",
];
