//! What a reading is worth: each fact of a truth against what floe says.
//!
//! A fact is the name, the dtype or the shape of one tensor. Where the truth calls its level `stored`
//! or `derived`, a perfect reader of the files knows it; the rest is a bonus. To say nothing is never
//! wrong, to say something else than the truth always is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use floe::model::format::{Choice, Detection, detect, document};
use floe::model::tree::{Selected, Tree};
use serde_json::Value;

/// The tree of a file or a folder.
pub(super) fn tree(path: &Path) -> Tree {
    let dest = if path.is_dir() { Vec::new() } else { path.file_name().unwrap().as_encoded_bytes().to_vec() };
    Tree::scan(&[Selected { source: path.to_owned(), dest }], &|_, _| false, false).unwrap()
}

/// The truths below a folder, each with the model that it is about.
pub(super) fn cases(root: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    // One list of truths, whose paths are relative to it.
    let list = root.join("index.json");
    if let Ok(Value::Array(truths)) = std::fs::read(&list).map(|b| serde_json::from_slice(&b).unwrap()) {
        found.extend(truths.into_iter().map(|t| (root.join(t["path"].as_str().unwrap()), t)));
        return found;
    }
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let truth = folder.join("truth.json");
        if truth.is_file() {
            let truth: Value = serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap();
            let name = truth["path"].as_str().unwrap().rsplit('/').next().unwrap();
            found.push((folder.join(name), truth));
            continue;
        }
        let inside = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
        folders.extend(inside.filter(|p| p.is_dir()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// What was counted for one format.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Models.
    pub(super) models: usize,
    /// Facts that the files hold, and how many of them floe tells.
    pub(super) inputs: Share,
    /// The same of outputs.
    pub(super) outputs: Share,
    /// Entries of tables of weights.
    pub(super) weights: Share,
    /// Facts beyond what the files hold, that floe tells and that are right.
    pub(super) bonus: usize,
    /// What floe says and is not so.
    pub(super) wrong: Vec<String>,
    /// What the files hold and floe does not tell.
    pub(super) missing: Vec<String>,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) right: usize,
    pub(super) all: usize,
}

impl Share {
    fn add(&mut self, right: bool) {
        self.all += 1;
        self.right += usize::from(right);
    }

    /// In per cent; everything of nothing is everything.
    pub(super) fn percent(self) -> f64 {
        if self.all == 0 { 100.0 } else { 100.0 * self.right as f64 / self.all as f64 }
    }
}

/// Scores every truth below a folder, by format.
pub(super) fn folder(root: &Path) -> BTreeMap<String, Count> {
    let mut all: BTreeMap<String, Count> = BTreeMap::new();
    for (model, truth) in cases(root) {
        let count = all.entry(truth["format"].as_str().unwrap().to_owned()).or_default();
        one(&model, &truth, count);
    }
    all
}

/// Scores one model.
pub(super) fn one(model: &Path, truth: &Value, count: &mut Count) {
    let id = truth["id"].as_str().unwrap();
    count.models += 1;
    let found = match detect(&tree(model), &Choice::default()) {
        Ok(Some(found)) => found,
        other => return count.missing.push(format!("{id}: nothing was read: {other:?}")),
    };
    if let Some(failure) = &found.failure {
        count.missing.push(format!("{id}: {failure}"));
    }
    let framework = found.framework.to_lowercase();
    let known = [&truth["framework"], &truth["format"]].map(|v| v.as_str().unwrap_or("").to_lowercase());
    if found.format != truth["format"] || !known.contains(&framework) {
        count.wrong.push(format!("{id}: it is {framework} in the format {}", found.format));
    }
    signatures(id, truth, &document::found(&found), count);
    weights(id, truth, &found, count);
    said(id, truth, &found, count);
}

fn signatures(id: &str, truth: &Value, found: &Value, count: &mut Count) {
    let nothing = Vec::new();
    let got = found["signatures"].as_array().unwrap_or(&nothing);
    let stored = level(truth, "signatures", "") == "stored";
    for (i, want) in truth["signatures"].as_array().unwrap_or(&nothing).iter().enumerate() {
        let named = got.iter().find(|s| s["name"] == want["name"]);
        let same_place = got.get(i).filter(|_| want["name"].is_null() || !stored);
        let Some(s) = named.or(same_place) else {
            count.missing.push(format!("{id}: no signature {}", want["name"]));
            continue;
        };
        for side in ["inputs", "outputs"] {
            let at = format!("/signatures/{i}/{side}");
            tensors(id, truth, side, &at, &s[side], &want[side], count);
        }
    }
}

fn level<'t>(truth: &'t Value, key: &str, pointer: &str) -> &'t str {
    let all = &truth["determinable"];
    // A truth without levels is one where the file holds everything.
    all["overrides"][pointer].as_str().or(all[key].as_str()).unwrap_or(if all.is_null() {
        "stored"
    } else {
        "no"
    })
}

fn tensors(id: &str, truth: &Value, side: &str, at: &str, got: &Value, want: &Value, count: &mut Count) {
    let nothing = Vec::new();
    let (got, want) = (got.as_array().unwrap_or(&nothing), want.as_array().unwrap_or(&nothing));
    let convention = level(truth, &format!("{side}.name"), "") == "no";
    for (k, w) in want.iter().enumerate() {
        let named = got.iter().find(|g| g["name"] == w["name"]);
        let g = named.or_else(|| got.get(k).filter(|_| convention));
        for field in ["name", "dtype", "shape"] {
            if (w[field].is_null() && field != "shape") || (field == "name" && convention) {
                continue;
            }
            let level = level(truth, &format!("{side}.{field}"), &format!("{at}/{k}/{field}"));
            let knowable = matches!(level, "stored" | "derived");
            let said = g.map_or(&Value::Null, |g| &g[field]);
            let place = || format!("{id}: {at}/{k} {} {field}", w["name"]);
            let verdict = compare(field, said, &w[field]);
            if verdict == Verdict::Wrong {
                count.wrong.push(format!("{}: {said} instead of {}", place(), w[field]));
            }
            if knowable {
                let share = if side == "inputs" { &mut count.inputs } else { &mut count.outputs };
                share.add(verdict == Verdict::Right);
                if matches!(verdict, Verdict::Missing | Verdict::Weak) {
                    count.missing.push(format!("{}: {said} instead of {}", place(), w[field]));
                }
            } else if verdict == Verdict::Right {
                count.bonus += 1;
            }
        }
        columns(id, g, w, count);
        if let (Some(optional), Some(g)) = (w["optional"].as_bool(), g)
            && g["optional"].as_bool().unwrap_or(false) != optional
        {
            count.wrong.push(format!("{id}: whether {} may be left out", w["name"]));
        }
    }
    // Inputs that have a default of their own are more than some truths list.
    let extra =
        got.iter().filter(|g| g["optional"] != true && !want.iter().any(|w| w["name"] == g["name"])).count();
    let extra = if convention { got.len().saturating_sub(want.len()) } else { extra };
    if extra > 0 {
        count.wrong.push(format!("{id}: {at} has {extra} more than the truth"));
    }
}

/// Columns have the truth's names in the truth's order, where there are any.
fn columns(id: &str, got: Option<&Value>, want: &Value, count: &mut Count) {
    let (Some(want), Some(got)) = (want["columns"].as_array(), got.and_then(|g| g["columns"].as_array()))
    else {
        return;
    };
    let names = |all: &[Value]| all.iter().map(|c| c["name"].clone()).collect::<Vec<_>>();
    if names(want) != names(got) {
        count.wrong.push(format!("{id}: the columns are {:?} instead of {:?}", names(got), names(want)));
    }
    for (g, w) in got.iter().zip(want) {
        if !g["dtype"].is_null() && !w["dtype"].is_null() && g["dtype"] != w["dtype"] {
            count
                .wrong
                .push(format!("{id}: the column {} is {} instead of {}", w["name"], g["dtype"], w["dtype"]));
        }
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Right,
    Weak,
    Missing,
    Wrong,
}

fn compare(field: &str, said: &Value, truth: &Value) -> Verdict {
    match (said, truth) {
        (Value::Null, Value::Null) => Verdict::Right,
        (Value::Null, _) => Verdict::Missing,
        // More than the framework itself tells.
        (_, Value::Null) if field == "shape" => Verdict::Right,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let bad = a.iter().zip(b).any(|(x, y)| x != y && !x.is_null());
            let weak = a.iter().zip(b).any(|(x, y)| x != y);
            if bad {
                Verdict::Wrong
            } else if weak {
                Verdict::Weak
            } else {
                Verdict::Right
            }
        }
        (a, b) if a == b => Verdict::Right,
        _ => Verdict::Wrong,
    }
}

fn weights(id: &str, truth: &Value, found: &Detection, count: &mut Count) {
    let got = serde_json::to_value(&found.tensors).unwrap();
    for want in truth["tensors"].as_array().unwrap_or(&Vec::new()) {
        let g = got.as_array().unwrap().iter().find(|g| g["name"] == want["name"]);
        let right = g.is_some_and(|g| g["dtype"] == want["dtype"] && g["shape"] == want["shape"]);
        count.weights.add(right);
        match g {
            Some(g) if !right => count.wrong.push(format!("{id}: the weight {g} instead of {want}")),
            None => count.missing.push(format!("{id}: the weight {}", want["name"])),
            Some(_) => {}
        }
    }
}

/// Facts and findings that a truth demands; a model of which none are demanded has none.
fn said(id: &str, truth: &Value, found: &Detection, count: &mut Count) {
    for (key, value) in truth["facts"].as_object().into_iter().flatten() {
        if found.facts.get(key) != Some(value) {
            count
                .wrong
                .push(format!("{id}: the fact {key} is {:?} instead of {value}", found.facts.get(key)));
        }
    }
    let nothing = Vec::new();
    let wanted = truth["findings"].as_array().unwrap_or(&nothing);
    for code in wanted {
        if !found.findings.iter().any(|f| f.code == code) {
            count.missing.push(format!("{id}: the finding {code}"));
        }
    }
    for f in found.findings.iter().filter(|f| !wanted.iter().any(|code| f.code == code)) {
        count.wrong.push(format!("{id}: a finding {} on a clean model: {}", f.code, f.message));
    }
}

/// The counts as a table in Markdown.
pub(super) fn table(all: &BTreeMap<String, Count>) -> String {
    let mut out = String::from(
        "| format | models | facts of inputs | facts of outputs | weights | beyond the files | wrong |\n|---|---|---|---|---|---|---|\n",
    );
    let share = |s: Share| if s.all == 0 { "-".to_owned() } else { format!("{}/{}", s.right, s.all) };
    for (format, c) in all {
        writeln!(
            out,
            "| {format} | {} | {} | {} | {} | {} | {} |",
            c.models,
            share(c.inputs),
            share(c.outputs),
            share(c.weights),
            c.bonus,
            c.wrong.len()
        )
        .unwrap();
    }
    out
}
