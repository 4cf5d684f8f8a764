//! What a file of a model is for.
//!
//! A role is told to people, as an annotation of a layer. It decides nothing: layers are split by
//! size alone, so that a better guess here never moves a digest.

use std::fmt;

use serde::Serialize;

use crate::model::format::file_name;

/// What a file of a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Trained parameters, alone or with their graph in one file.
    Weights,
    /// The computation without its parameters.
    Graph,
    /// Source that serves or wraps the model.
    Code,
    /// Vocabularies and other files that the graph reads.
    Assets,
    /// Settings and lists of dependencies.
    Config,
    /// What turns text into tokens.
    Tokenizer,
    /// Samples, tables, test data.
    Data,
    /// Anything else.
    Other,
}

impl Role {
    /// Its name in kebab case, as annotations hold it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Graph => "graph",
            Self::Code => "code",
            Self::Assets => "assets",
            Self::Config => "config",
            Self::Tokenizer => "tokenizer",
            Self::Data => "data",
            Self::Other => "other",
        }
    }

    /// What the name of a file suggests, whatever the format of the model.
    pub fn by_name(path: &[u8]) -> Self {
        let name = file_name(path).to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name);
        if TOKENIZERS.contains(&&*name) {
            return Self::Tokenizer;
        }
        let Some((_, extension)) = name.rsplit_once('.') else { return Self::Other };
        EXTENSIONS.iter().find(|(_, list)| list.contains(&extension)).map_or(Self::Other, |(role, _)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const TOKENIZERS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
];

const EXTENSIONS: &[(Role, &[&str])] = &[
    (
        Role::Code,
        &["py", "r", "jl", "java", "scala", "sh", "js", "ts", "c", "cc", "cpp", "h", "rs", "go", "ipynb"],
    ),
    (Role::Config, &["yaml", "yml", "json", "toml", "ini", "cfg", "conf", "properties", "txt", "lock"]),
    (
        Role::Weights,
        &[
            "bin",
            "onnx",
            "pb",
            "pt",
            "pth",
            "h5",
            "hdf5",
            "keras",
            "tflite",
            "safetensors",
            "gguf",
            "ckpt",
            "params",
            "pkl",
            "pickle",
            "joblib",
            "cbm",
            "ubj",
            "model",
            "bst",
            "pdparams",
            "msgpack",
            "weight",
            "weights",
        ],
    ),
    (
        Role::Data,
        &["csv", "tsv", "parquet", "npy", "npz", "arrow", "jsonl", "tfrecord", "avro", "orc", "feather"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suggest_roles() {
        for (path, role) in [
            (&b"src/Serve.PY"[..], Role::Code),
            (b"requirements.txt", Role::Config),
            (b"sub/tokenizer.json", Role::Tokenizer),
            (b"sample.csv", Role::Data),
            (b"a/model.safetensors", Role::Weights),
            (b"LICENSE", Role::Other),
            (b"a.b/c", Role::Other),
            (b"\xff.bin", Role::Weights),
        ] {
            assert_eq!(Role::by_name(path), role, "{}", path.escape_ascii());
        }
    }
}
