//! The binary form: C structs one after the other, as XGBoost before 3.1 writes them.
//!
//! `binf` (from 1.0 on), `LearnerModelParam` of 136 bytes, the names of the objective and of the
//! booster with their lengths, the booster, the attributes (xgboost 1.5: src/learner.cc `LearnerIO`).
//! A booster that was pickled before version 1.6 has `CONFIG-offset:` and a number before all that.

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;
use crate::model::pull::Stream;

use super::model::Model;

/// What a pickled booster of versions 1.0 to 1.5 begins with; an offset of 8 bytes follows.
const PICKLED: &[u8] = b"CONFIG-offset:";
/// The size of `LearnerModelParam`.
const PARAM: usize = 136;
/// The longest name of an objective or a booster.
const MAX_NAME: u64 = 64;
/// The size of a tree's parameters, of a node and of a node's statistics (tree_model.h).
const TREE: u64 = 148;
const NODE: u64 = 20;
const STAT: u64 = 16;
/// The size of `GBTreeModelParam` and of `DeprecatedGBLinearModelParam`.
const GBTREE: usize = 160;
const GBLINEAR: u64 = 136;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// How many bytes come before `LearnerModelParam`.
fn prefix(head: &[u8]) -> usize {
    let pickled = if head.starts_with(PICKLED) { PICKLED.len() + 8 } else { 0 };
    pickled + if head.get(pickled..).is_some_and(|h| h.starts_with(b"binf")) { 4 } else { 0 }
}

/// A text with its length of 8 bytes before it.
fn text(head: &[u8], at: usize) -> Option<(&str, usize)> {
    let length = head.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)?;
    let length = usize::try_from(length).ok().filter(|n| (1..=MAX_NAME as usize).contains(n))?;
    let text = std::str::from_utf8(head.get(at + 8..at + 8 + length)?).ok()?;
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_'))
        .then_some((text, at + 8 + length))
}

/// Whether a file begins so: without `binf` nothing but sensible values tells.
pub(super) fn looks_like(head: &[u8]) -> bool {
    header(head).is_some()
}

/// The fixed part, and where the booster begins.
fn header(head: &[u8]) -> Option<(Model, bool, usize)> {
    let start = prefix(head);
    let param = head.get(start..start + PARAM)?;
    let field = |at: usize| u32_at(param, at);
    let base_score = f32::from_bits(field(0)?);
    let (features, classes) = (field(4)?, field(8)?);
    let (attributes, metrics) = (field(12)?, field(16)?);
    let (major, minor) = (field(20)?, field(24)?);
    let sane = !base_score.is_nan()
        && classes <= 1 << 24
        && attributes <= 1
        && metrics <= 1
        && major <= 3
        && minor <= 100
        && param[40..].iter().all(|b| *b == 0);
    if !sane {
        return None;
    }
    let (objective, at) = text(head, start + PARAM)?;
    let (booster, at) = text(head, at)?;
    if !["gbtree", "gblinear", "dart"].contains(&booster) {
        return None;
    }
    let model = Model {
        // Before 1.0 there was no such field; the file does not tell which version it was.
        version: (major > 0).then(|| format!("{major}.{minor}")),
        features: Some(features.into()),
        classes: Some(classes.into()),
        // `num_target` came with 1.6 in the place of reserved zeros.
        targets: Some(field(28).filter(|_| (major, minor) >= (1, 6)).map_or(1, |n| u64::from(n.max(1)))),
        base_score: Some(base_score.to_string()),
        objective: Some(objective.to_owned()),
        booster: Some(booster.to_owned()),
        ..Model::default()
    };
    Some((model, attributes == 1, at))
}

/// Reads it; the booster is jumped over to the attributes, as far as it is what it should be.
pub(super) fn read(source: &dyn Source, limit: u64) -> Result<Model> {
    let mut head = vec![0; 4096];
    let n = source.read_at(0, &mut head)?;
    head.truncate(n);
    let Some((mut model, attributes, at)) = header(&head) else {
        return Err(Error::new(Kind::Model, "this is no booster in the binary form of XGBoost"));
    };
    let mut stream = Stream::new(source, at as u64, limit);
    let whole = booster(&mut stream, &mut model)
        .and_then(|()| if attributes { self::attributes(&mut stream, &mut model) } else { Ok(()) });
    match whole {
        Err(_) if stream.stopped() => Ok(model),
        other => other.map(|()| model),
    }
}

fn booster(s: &mut Stream<'_>, model: &mut Model) -> Result<()> {
    if model.booster.as_deref() == Some("gblinear") {
        s.jump(GBLINEAR)?;
        return vector(s, 4);
    }
    let param = s.bytes(GBTREE)?;
    let trees = u32_at(&param, 0).unwrap_or(0);
    if u64::from(trees).saturating_mul(TREE) > s.rest() {
        return Err(Error::new(
            Kind::Model,
            format!("{trees} trees are claimed, {} bytes are left", s.rest()),
        ));
    }
    model.trees = Some(trees.into());
    let old = model.version.is_none();
    for _ in 0..trees {
        let tree = s.bytes(TREE as usize)?;
        let nodes = u64::from(u32_at(&tree, 4).unwrap_or(0));
        s.jump(nodes * (NODE + STAT))?;
        // From 1.0 on the number is there, and the vector is not.
        if old && u32_at(&tree, 20).unwrap_or(0) != 0 {
            vector(s, 4)?;
        }
    }
    s.jump(u64::from(trees) * 4)?;
    if model.booster.as_deref() == Some("dart") && trees > 0 {
        vector(s, 4)?;
    }
    Ok(())
}

/// Jumps over a vector with its length before it.
fn vector(s: &mut Stream<'_>, width: u64) -> Result<()> {
    let length = u64::from_le_bytes(s.fixed()?);
    s.jump(length.saturating_mul(width))
}

fn attributes(s: &mut Stream<'_>, model: &mut Model) -> Result<()> {
    let count = u64::from_le_bytes(s.fixed()?);
    for _ in 0..count.min(1000) {
        let mut pair = [String::new(), String::new()];
        for text in &mut pair {
            let length = u64::from_le_bytes(s.fixed()?);
            match usize::try_from(length) {
                Ok(n) if n <= 1 << 20 => *text = String::from_utf8_lossy(&s.bytes(n)?).into_owned(),
                _ => s.jump(length)?,
            }
        }
        let [key, value] = pair;
        model.attributes.push((key, value));
    }
    Ok(())
}
