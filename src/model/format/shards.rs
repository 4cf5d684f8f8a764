//! Weights in several files: `model-00001-of-00003.safetensors`.
//!
//! The name is how writers number the parts of one model (huggingface_hub `split_torch_state_dict`,
//! llama.cpp `llama_split_path`). It is not proof that the parts belong together; a format reads each.

use std::collections::BTreeMap;

use crate::error::show_bytes;
use crate::model::format::{Candidate, Folder, Reading, Severity, file_name};

/// The variant of a candidate whose weights are in several files.
pub(crate) const PARTS: &str = "parts";

/// The most parts of one model that are looked for.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// What the name of a part tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part<'n> {
    /// What comes before the numbers.
    pub stem: &'n [u8],
    /// Which part it is, from 1 on.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// What comes after the numbers.
    pub extension: &'n [u8],
}

/// Splits the name of a part: `STEM-00001-of-00003.EXT`.
pub(crate) fn part(path: &[u8]) -> Option<Part<'_>> {
    let name = file_name(path);
    let dot = name.iter().rposition(|b| *b == b'.')?;
    let (rest, extension) = name.split_at(dot);
    let (rest, of) = number_at_end(rest)?;
    let (rest, number) = number_at_end(rest.strip_suffix(b"-of-")?)?;
    let stem = rest.strip_suffix(b"-")?;
    // Older writers of safetensors number from 0 on.
    (of >= 1 && number <= of && of <= MAX_PARTS).then_some(Part { stem, number, of, extension })
}

fn number_at_end(text: &[u8]) -> Option<(&[u8], u32)> {
    let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    if !(5..=6).contains(&digits) {
        return None;
    }
    let (rest, digits) = text.split_at(text.len() - digits);
    Some((rest, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

/// The name of another part of the same model.
pub(crate) fn name_of(part: &Part<'_>, number: u32) -> Vec<u8> {
    let mut name = part.stem.to_vec();
    name.extend(format!("-{number:05}-of-{:05}", part.of).into_bytes());
    name.extend(part.extension);
    name
}

/// The parts in a folder, by the path of the first part that is there: paths, sorted by number.
pub(crate) fn groups(folder: &Folder<'_>, extension: &[u8]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut groups: BTreeMap<(&[u8], u32), Vec<_>> = BTreeMap::new();
    for file in folder.files() {
        if let Some(p) = part(file.path()).filter(|p| p.extension == extension) {
            groups.entry((p.stem, p.of)).or_default().push((p.number, file.path()));
        }
    }
    groups
        .into_values()
        .map(|mut parts| {
            parts.sort_unstable();
            let paths: Vec<Vec<u8>> = parts.into_iter().map(|(_, path)| path.to_vec()).collect();
            (paths[0].clone(), paths)
        })
        .collect()
}

/// Makes a candidate whose file is the first of several parts the whole of them. The later ones stay
/// candidates, and are dropped since the first claims them.
pub(crate) fn gather(groups: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, candidate: &mut Candidate) {
    if let Some(parts) = groups.get(&candidate.file) {
        candidate.variant = PARTS;
        candidate.claims.extend(parts.iter().cloned());
    }
}

/// The paths of the parts of a candidate, or of its one file.
pub(crate) fn paths(candidate: &Candidate) -> Vec<Vec<u8>> {
    if candidate.variant != PARTS {
        return vec![candidate.file.clone()];
    }
    let Some(first) = part(&candidate.file) else { return vec![candidate.file.clone()] };
    let same = |p: &Part<'_>| (p.stem, p.of, p.extension) == (first.stem, first.of, first.extension);
    candidate.claims.iter().filter(|p| part(p).is_some_and(|p| same(&p))).cloned().collect()
}

/// Names the parts of a model that are not there.
pub(crate) fn find_missing(parts: &[Vec<u8>], reading: &mut Reading) {
    for name in missing(parts).iter().take(100) {
        let name = show_bytes(name);
        let message = format!("`{name}`, a part of the weights, is not among the files of the model");
        reading.find(Severity::Error, "missing-weights", name, message);
    }
}

/// The names of the parts that should be there and are not, at most `MAX_PARTS`.
pub(crate) fn missing(parts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let Some(first) = parts.first().and_then(|p| part(p)) else { return Vec::new() };
    let there: Vec<u32> = parts.iter().filter_map(|p| part(p)).map(|p| p.number).collect();
    let from = u32::from(!there.contains(&0));
    let to = first.of - (1 - from);
    (from..=to).filter(|n| !there.contains(n)).map(|n| name_of(&first, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        let p = part(b"a/model-00002-of-00003.safetensors").unwrap();
        assert_eq!((p.stem, p.number, p.of, p.extension), (&b"model"[..], 2, 3, &b".safetensors"[..]));
        assert_eq!(name_of(&p, 3), b"model-00003-of-00003.safetensors");
        for not in [
            &b"model.safetensors"[..],
            b"model-2-of-3.safetensors",
            b"model-00004-of-00003.gguf",
            b"-00001-of-00000.gguf",
            b"00001-of-00002",
            b"",
        ] {
            assert_eq!(part(not), None, "{}", not.escape_ascii());
        }
    }

    #[test]
    fn what_is_missing() {
        let there = |names: &[&str]| names.iter().map(|n| n.as_bytes().to_vec()).collect::<Vec<_>>();
        let parts = there(&["m-00001-of-00003.x", "m-00003-of-00003.x"]);
        assert_eq!(missing(&parts), there(&["m-00002-of-00003.x"]));
        assert_eq!(missing(&there(&["m-00000-of-00002.x", "m-00001-of-00002.x"])), there(&[]));
        assert_eq!(missing(&there(&["model.x"])), there(&[]));
    }
}
