//! Candidates that a person would not choose among: the state of a training beside a model, variants of
//! one model, its versions, and its snapshots in a cache.
//!
//! What belongs to one model by its format is claimed by that model; this is what only names tell. A
//! choice that is made here is a warning, and `--model` makes another.

use std::collections::BTreeMap;

use crate::error::{Result, show_bytes};
use crate::model::format::{Candidate, file_name};
use crate::model::tree::{Tree, folder_of};

/// How names of files begin that hold the state of a training (transformers, accelerate, and what
/// PyTorch's tutorials call them).
const TRAINING: &[&str] = &[
    "optimizer",
    "optim",
    "opt_state",
    "scheduler",
    "lr_scheduler",
    "rng_state",
    "random_states",
    "grad_scaler",
    "training_args",
    "trainer_state",
    "sampler",
];
/// Words after the name of a model that say how this variant of it was made (optimum, onnxruntime,
/// transformers.js, TFLite's guides).
const VARIANT: &[&str] = &[
    "arm64",
    "avx2",
    "avx512",
    "bf16",
    "bnb4",
    "dynamic",
    "f16",
    "f32",
    "float16",
    "float32",
    "fp16",
    "fp32",
    "int4",
    "int8",
    "o1",
    "o2",
    "o3",
    "o4",
    "opt",
    "optimised",
    "optimized",
    "q4",
    "q4f16",
    "q8",
    "qint8",
    "quant",
    "quantised",
    "quantized",
    "quint8",
    "sim",
    "simplified",
    "slim",
    "static",
    "uint4",
    "uint8",
    "vnni",
];
/// The longest `refs/main` of a cache: a commit.
const MAX_REF: u64 = 256;

/// Whether a folder holds the contents of a Hugging Face cache, whose names are in `snapshots/`.
pub(super) fn is_blobs(tree: &Tree, folder: &[u8]) -> bool {
    file_name(folder) == b"blobs" && has_folder(tree, &beside(folder, b"snapshots"))
}

fn has_folder(tree: &Tree, folder: &[u8]) -> bool {
    tree.files().any(|(p, _)| p.strip_prefix(folder).is_some_and(|r| r.starts_with(b"/")))
}

fn beside(path: &[u8], name: &[u8]) -> Vec<u8> {
    crate::model::format::join(folder_of(path), name)
}

/// Takes out what a person would not take for the model.
pub(super) fn settle(tree: &Tree, mut found: Vec<Candidate>) -> Result<Vec<Candidate>> {
    for step in [without_training, without_variants, newest] {
        if found.len() > 1 {
            found = step(found);
        }
    }
    if found.len() > 1 { current(tree, found) } else { Ok(found) }
}

/// Keeps some of the candidates, and has those say what was left out.
fn keep(found: Vec<Candidate>, keep: &[bool], what: &str) -> Vec<Candidate> {
    let (mut kept, mut left): (Vec<Candidate>, Vec<String>) = (Vec::new(), Vec::new());
    for (candidate, keep) in found.into_iter().zip(keep) {
        if *keep {
            kept.push(candidate);
        } else {
            left.push(show_bytes(&candidate.location));
        }
    }
    let more = if left.len() > 10 { ", …" } else { "" };
    left.truncate(10);
    for candidate in &mut kept {
        candidate
            .warnings
            .push(format!("{what}: `{}`{more}; `--model PATH` chooses another", left.join("`, `")));
    }
    kept
}

/// The state of a training beside a model; several checkpoints beside one model that is none.
fn without_training(found: Vec<Candidate>) -> Vec<Candidate> {
    let named = |c: &Candidate, names: &[&str]| {
        let name = file_name(&c.file).to_ascii_lowercase();
        c.format == "pytorch" && c.location == c.file && names.iter().any(|n| name.starts_with(n.as_bytes()))
    };
    let mut stay: Vec<bool> = found.iter().map(|c| !named(c, TRAINING)).collect();
    let checkpoint = |c: &Candidate| {
        let name = file_name(&c.file).to_ascii_lowercase();
        named(c, &["checkpoint", "ckpt"]) || c.format == "pytorch" && name.ends_with(b".ckpt")
    };
    let others = found.iter().zip(&stay).filter(|(c, stay)| **stay && !checkpoint(c)).count();
    if others == 1 {
        for (candidate, stay) in found.iter().zip(&mut stay) {
            *stay &= !checkpoint(candidate);
        }
    }
    if stay.contains(&true) && stay.contains(&false) {
        keep(found, &stay, "what is named as the state of a training is left out")
    } else {
        found
    }
}

/// `model.onnx` beside `model_quantized.onnx`: the one without a word more is the model.
fn without_variants(found: Vec<Candidate>) -> Vec<Candidate> {
    let split = |c: &Candidate| {
        let name = file_name(&c.file);
        let dot = name.iter().rposition(|b| *b == b'.').unwrap_or(name.len());
        (folder_of(&c.file).to_vec(), name[..dot].to_vec(), name[dot..].to_vec())
    };
    let is_variant = |stem: &[u8], base: &[u8]| {
        let Some(rest) = stem.strip_prefix(base) else { return false };
        let Ok(rest) = std::str::from_utf8(rest) else { return false };
        rest.starts_with(['-', '_', '.'])
            && rest[1..].split(['-', '_', '.']).all(|w| VARIANT.contains(&w.to_ascii_lowercase().as_str()))
    };
    let stay: Vec<bool> = found
        .iter()
        .map(|c| {
            let (folder, stem, ending) = split(c);
            c.location != c.file
                || !found.iter().any(|other| {
                    let (at, base, end) = split(other);
                    other.format == c.format && at == folder && end == ending && is_variant(&stem, &base)
                })
        })
        .collect();
    if stay.contains(&false) { keep(found, &stay, "variants of the same model are left out") } else { found }
}

/// Folders named by numbers, all with a model of one format in the same place: its versions, of which
/// servers take the highest.
fn newest(found: Vec<Candidate>) -> Vec<Candidate> {
    // The path before the number, and the path in it.
    let split = |c: &Candidate| {
        let parts: Vec<&[u8]> = c.location.split(|b| *b == b'/').collect();
        let at = parts.iter().position(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit))?;
        let number: u64 = std::str::from_utf8(parts[at]).ok()?.parse().ok()?;
        Some((number, (c.format, parts[..at].join(&b'/'), parts[at + 1..].join(&b'/'))))
    };
    let Some(all) = found.iter().map(split).collect::<Option<Vec<_>>>() else { return found };
    let places: BTreeMap<_, usize> = all.iter().map(|(_, place)| (place, 1)).collect();
    let Some(highest) = all.iter().map(|(n, _)| *n).max().filter(|_| places.len() == 1) else { return found };
    let stay: Vec<bool> = all.iter().map(|(n, _)| *n == highest).collect();
    keep(found, &stay, "the highest version is taken, and others are left out")
}

/// Snapshots in a cache: the one that `refs/main` names.
fn current(tree: &Tree, found: Vec<Candidate>) -> Result<Vec<Candidate>> {
    let split = |c: &Candidate| {
        let folder = folder_of(&c.location).to_vec();
        (file_name(&folder) == b"snapshots")
            .then(|| (beside(&folder, b"refs/main"), file_name(&c.location).to_vec()))
    };
    let Some(all) = found.iter().map(split).collect::<Option<Vec<_>>>() else { return Ok(found) };
    let Some((main, _)) = all.first().filter(|(main, _)| tree.get(main).is_some()) else { return Ok(found) };
    let commit = tree.open(main)?.head(MAX_REF as usize)?;
    let stay: Vec<bool> =
        all.iter().map(|(at, name)| at == main && name.as_slice() == commit.trim_ascii()).collect();
    Ok(if stay.contains(&true) {
        keep(found, &stay, "the snapshot is taken that `refs/main` names, and others are left out")
    } else {
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(format: &'static str, path: &str) -> Candidate {
        Candidate {
            format,
            variant: "",
            location: path.into(),
            file: path.into(),
            evidence: String::new(),
            warnings: Vec::new(),
            claims: Vec::new(),
        }
    }

    fn left(steps: &[(&'static str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let all = [crate::model::tree::Selected { source: dir.path().to_owned(), dest: Vec::new() }];
        let tree = Tree::scan(&all, &|_, _| false, false).unwrap();
        let found = steps.iter().map(|(format, path)| candidate(format, path)).collect();
        let found = settle(&tree, found).unwrap();
        assert!(found.len() == steps.len() || found.iter().all(|c| c.warnings.len() == 1));
        found.into_iter().map(|c| show_bytes(&c.file)).collect()
    }

    #[test]
    fn a_training_leaves_more_than_its_model() {
        assert_eq!(
            left(&[("pytorch", "m.pt"), ("pytorch", "optimizer.pt"), ("pytorch", "rng_state_0.pth")]),
            ["m.pt"]
        );
        assert_eq!(
            left(&[("onnx", "m.onnx"), ("pytorch", "epoch=1.ckpt"), ("pytorch", "epoch=2.ckpt")]),
            ["m.onnx"]
        );
        // Which of these is meant nobody can tell.
        for both in [["a.ckpt", "b.ckpt"], ["optimizer.pt", "optimizer2.pt"], ["a.pt", "b.pt"]] {
            assert_eq!(left(&both.map(|p| ("pytorch", p))), both);
        }
    }

    #[test]
    fn a_variant_says_so_in_its_name() {
        let names = [
            "on/m.onnx",
            "on/m_quantized.onnx",
            "on/m-int8.onnx",
            "on/m.fp16.onnx",
            "on/m_qint8_avx512_vnni.onnx",
        ];
        assert_eq!(left(&names.map(|p| ("onnx", p))), ["on/m.onnx"]);
        for both in [["m.onnx", "m_b.onnx"], ["a/m.onnx", "b/m_int8.onnx"], ["m-Q4.gguf", "m-Q8.gguf"]] {
            assert_eq!(left(&both.map(|p| ("x", p))), both);
        }
        assert_eq!(left(&[("onnx", "m.onnx"), ("tflite", "m_int8.tflite")]).len(), 2);
    }

    #[test]
    fn the_highest_of_several_versions_counts() {
        assert_eq!(left(&["1/m.onnx", "2/m.onnx", "10/m.onnx"].map(|p| ("onnx", p))), ["10/m.onnx"]);
        for both in [["1/m.onnx", "2/n.onnx"], ["a/1/m.onnx", "b/2/m.onnx"], ["1/m.onnx", "m.onnx"]] {
            assert_eq!(left(&both.map(|p| ("onnx", p))), both);
        }
    }
}
