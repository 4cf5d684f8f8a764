//! Which file goes into which layer.
//!
//! By size alone: what a file is for only names the layer, so that better detection never moves a
//! digest. A file from [`OWN_LAYER`] up is a layer of its own, so that a changed shard is sent and
//! nothing else; files from [`GROUPED`] up share one layer, smaller ones another, so that a changed
//! line of code costs kilobytes. The contract comes last.
//!
//! An image may have 127 layers in some runtimes; [`BUDGET`] leaves a reserve for whoever builds on
//! ours. When big files are more than the budget allows, they are packed in contiguous runs of path
//! order, cut where a run has reached its share of the total.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compression, ImagePath, LayerPlan, PlanEntry, PlanKind, encoded};
use crate::error::{Error, Kind, Result, counted};
use crate::model::Tree;
use crate::model::tree::{Entry, EntryKind};

/// From this size on a file has its own layer: 32 MiB.
pub const OWN_LAYER: u64 = 32 << 20;
/// From this size on a file is in the layer of the larger ones: 1 MiB.
pub const GROUPED: u64 = 1 << 20;
/// The most layers that an image gets, those of the base counted.
pub const BUDGET: usize = 120;
/// The fewest layers that must be left over the base: big, grouped, small, contract.
const NEEDED: usize = 4;

/// What the layers are made of.
pub struct Material<'a> {
    /// The files of the model.
    pub tree: &'a Tree,
    /// What a file of the tree is for.
    pub role: &'a dyn Fn(&[u8]) -> &'static str,
    /// Where the tree lies in the image.
    pub folder: ImagePath,
    /// Path in the image and content of the contract files.
    pub contract: Vec<(ImagePath, Vec<u8>)>,
    /// How all layers are compressed.
    pub compression: Compression,
    /// How many layers the base has; of several platforms the most.
    pub base_layers: usize,
}

/// The layers over the base, lowest first.
pub fn layers(m: &Material<'_>) -> Result<Vec<LayerPlan>> {
    let room = BUDGET.saturating_sub(m.base_layers);
    if room < NEEDED {
        return Err(Error::new(
            Kind::Model,
            format!(
                "the base has {}, at most {} leave room for a model",
                counted(m.base_layers, "layer", "layers"),
                BUDGET - NEEDED
            ),
        )
        .hint("squash the base, or choose another one"));
    }
    let (mut own, mut grouped, mut small) = (Vec::new(), Vec::new(), Vec::new());
    for entry in m.tree.entries() {
        match &entry.kind {
            EntryKind::File { stamp, .. } if stamp.size >= OWN_LAYER => own.push(entry),
            EntryKind::File { stamp, .. } if stamp.size >= GROUPED => grouped.push(entry),
            EntryKind::Dir if has_children(m.tree, entry) => {}
            EntryKind::File { .. } | EntryKind::Link { .. } | EntryKind::Dir => small.push(entry),
        }
    }
    let mut layers = Vec::new();
    for run in runs(&own, room - (NEEDED - 1)) {
        layers.push(layer(m, &run)?);
    }
    for group in [grouped, small] {
        if !group.is_empty() {
            layers.push(layer(m, &group)?);
        }
    }
    if !m.contract.is_empty() {
        let mut entries = BTreeMap::new();
        for (path, bytes) in &m.contract {
            entries.insert(path.clone(), PlanKind::Inline { base64: encoded(bytes) });
        }
        layers.push(finish("contract".to_owned(), m.compression, entries));
    }
    Ok(layers)
}

/// Whether anything lies in a folder, so that the folder comes with it.
fn has_children(tree: &Tree, dir: &Entry) -> bool {
    let prefix = [&dir.path[..], b"/"].concat();
    let at = tree.entries().partition_point(|e| e.path < prefix);
    tree.entries().get(at).is_some_and(|e| e.path.starts_with(&prefix))
}

/// Big files in at most `room` contiguous runs: one each while that is enough.
fn runs<'a>(files: &[&'a Entry], room: usize) -> Vec<Vec<&'a Entry>> {
    if files.len() <= room {
        return files.iter().map(|f| vec![*f]).collect();
    }
    let size = |e: &Entry| if let EntryKind::File { stamp, .. } = &e.kind { stamp.size } else { 0 };
    let total: u64 = files.iter().map(|f| size(f)).sum();
    // Every run but the last reaches the target, so there are no more than `room` of them.
    let target = total.div_ceil(room as u64);
    let mut out: Vec<Vec<&Entry>> = Vec::new();
    let mut filled = target;
    for file in files {
        if filled >= target {
            out.push(Vec::new());
            filled = 0;
        }
        filled += size(file);
        out.last_mut().expect("a run was begun above").push(file);
    }
    out
}

fn layer(m: &Material<'_>, files: &[&Entry]) -> Result<LayerPlan> {
    let mut roles = BTreeSet::new();
    let mut entries = BTreeMap::new();
    for file in files {
        let path = m.folder.join(&file.path)?;
        let kind = match &file.kind {
            EntryKind::Dir => PlanKind::Dir,
            EntryKind::File { stamp, executable } => {
                roles.insert((m.role)(&file.path));
                PlanKind::File {
                    from: ImagePath::new(&file.path[..])?,
                    size: stamp.size,
                    executable: *executable,
                }
            }
            EntryKind::Link { target } => PlanKind::Link { target: ImagePath::link_target(&target[..]) },
        };
        entries.insert(path, kind);
    }
    let role =
        if roles.is_empty() { "other".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join("+") };
    Ok(finish(role, m.compression, entries))
}

/// Adds the parent folders.
fn finish(role: String, compression: Compression, mut entries: BTreeMap<ImagePath, PlanKind>) -> LayerPlan {
    let paths: Vec<ImagePath> = entries.keys().cloned().collect();
    for path in paths {
        let mut folder = path.folder();
        while let Some(f) = folder {
            folder = f.folder();
            entries.entry(f).or_insert(PlanKind::Dir);
        }
    }
    let entries = entries.into_iter().map(|(path, kind)| PlanEntry { path, kind }).collect();
    LayerPlan { role, compression, entries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Selected;
    use std::path::Path;

    /// A tree of sparse files; sizes are all that counts here.
    fn tree(dir: &Path, files: &[(&str, u64)]) -> Tree {
        for (name, size) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().set_len(*size).unwrap();
        }
        Tree::scan(&[Selected { source: dir.to_owned(), dest: Vec::new() }], &|_, _| false, false).unwrap()
    }

    fn split(tree: &Tree, base_layers: usize) -> Result<Vec<LayerPlan>> {
        let folder = ImagePath::new("model/files").unwrap();
        let contract = vec![(ImagePath::new("model/contract.json").unwrap(), b"{}".to_vec())];
        let role = |p: &[u8]| if p.ends_with(b".py") { "code" } else { "weights" };
        layers(&Material { tree, role: &role, folder, contract, compression: Compression::Auto, base_layers })
    }

    fn shape(layers: &[LayerPlan]) -> Vec<(String, Vec<String>)> {
        layers
            .iter()
            .map(|l| (l.role.clone(), l.entries.iter().map(|e| e.path.to_string()).collect()))
            .collect()
    }

    #[test]
    fn size_alone_decides() {
        let d = tempfile::tempdir().unwrap();
        let t = tree(
            d.path(),
            &[
                ("a.bin", OWN_LAYER),
                ("b.bin", OWN_LAYER - 1),
                ("c/x.py", 5),
                ("c/y.txt", GROUPED - 1),
                ("z.bin", 40 << 20),
            ],
        );
        std::fs::create_dir(d.path().join("void")).unwrap();
        let t2 = tree(d.path(), &[]);
        assert!(t2.entries().len() > t.entries().len());
        let strings = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            shape(&split(&t2, 0).unwrap()),
            [
                ("weights".to_owned(), strings(&["model", "model/files", "model/files/a.bin"])),
                ("weights".to_owned(), strings(&["model", "model/files", "model/files/z.bin"])),
                ("weights".to_owned(), strings(&["model", "model/files", "model/files/b.bin"])),
                (
                    "code+weights".to_owned(),
                    strings(&[
                        "model",
                        "model/files",
                        "model/files/c",
                        "model/files/c/x.py",
                        "model/files/c/y.txt",
                        "model/files/void"
                    ])
                ),
                ("contract".to_owned(), strings(&["model", "model/contract.json"])),
            ]
        );
    }

    #[test]
    fn more_big_files_than_the_budget_go_in_runs_of_path_order() {
        let d = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..300).map(|i| format!("shard-{i:03}.bin")).collect();
        let files: Vec<(&str, u64)> = names
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), OWN_LAYER + (i as u64 % 7) * (9 << 20)))
            .collect();
        let t = tree(d.path(), &files);
        for base in [0, 10, 100, 116] {
            let layers = split(&t, base).unwrap();
            assert!(layers.len() + base <= BUDGET, "{} over {base}", layers.len());
            let order: Vec<&ImagePath> = layers
                .iter()
                .flat_map(|l| {
                    l.entries.iter().filter(|e| matches!(e.kind, PlanKind::File { .. })).map(|e| &e.path)
                })
                .collect();
            assert_eq!(order.len(), 300);
            assert!(order.is_sorted());
        }
        assert!(split(&t, 117).unwrap_err().to_string().contains("117 layers"));
    }

    #[test]
    fn a_plan_that_was_split_can_be_frozen() {
        let d = tempfile::tempdir().unwrap();
        let t = tree(d.path(), &[("a/b/c", 1), ("a.b", 2), ("a/b.d", 3)]);
        let mut plan = super::super::Plan {
            layout: super::super::LAYOUT,
            model: "m".into(),
            created: super::super::DEFAULT_CREATED.into(),
            base_name: None,
            owner: super::super::Owner::default(),
            layers: split(&t, 0).unwrap(),
            config: super::super::ConfigPlan::default(),
            annotations: BTreeMap::new(),
        };
        plan.check().unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Plan>(&text).unwrap(), plan);
        plan.layers[0].entries.swap(0, 1);
        assert!(plan.check().is_err());
    }
}
