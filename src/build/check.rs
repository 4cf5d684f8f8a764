//! Whether a server can serve the model: asked before anything is stored.
//!
//! The engine that will run in floe's own image is in this program too, so the model is loaded here,
//! and an image that would fail at its first request is never made. Of Hydrosphere's Python runtimes
//! the one thing is checked at which they stop: the function that they call. It is not the check of a
//! request ([`crate::serve`] does that); no input is computed, and no code of the model is run.

use std::path::{Path, PathBuf};

#[cfg(feature = "serve")]
use crate::engine;
use crate::error::{Error, Kind, Result, show, show_bytes};
use crate::event::{Event, Observe, warn};
use crate::fs::path_from_bytes;
use crate::model::contract::{Signature, compare};
use crate::model::format::{self, Choice, Detection, Format, function};
use crate::model::tree::folder_of;
use crate::model::{Contract, Tree};
use crate::runtimes::{self, Runtime};

/// Whether the engine is part of this program.
pub(super) const CAN_SERVE: bool = cfg!(feature = "serve");

/// A model that floe's own server is to serve.
pub(super) struct Served<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) tree: &'a Tree,
    /// The folder that the model was taken from.
    pub(super) root: &'a Path,
    pub(super) detection: Option<&'a Detection>,
    /// Whether somebody had to say which of several models is meant.
    pub(super) chosen: bool,
    /// What goes into the image.
    pub(super) contract: Option<&'a Contract>,
}

/// What loading the model told.
struct Loaded {
    backend: &'static str,
    warnings: Vec<String>,
}

/// Refuses code that a runtime could not call: it has no function for the contract, or one that takes
/// other arguments.
///
/// Hydrosphere's Python runtimes call it whatever the format of the weights is; other images that a
/// definition names are taken for runtimes of that kind where the code is all there is.
pub(super) fn check_function(
    runtime: &Runtime,
    by_hand: bool,
    tree: &Tree,
    detection: Option<&Detection>,
    contract: Option<&Contract>,
) -> Result<()> {
    let python = runtime.base.contains("hydrosphere/serving-runtime-python");
    let alike = !by_hand
        && runtime.contract.is_some()
        && !runtimes::is_hydrosphere(&runtime.base)
        && detection.is_some_and(|d| d.format == function::PythonFunction.name());
    match contract {
        Some(contract) if python || alike => function::check(tree, contract).map(drop),
        _ => Ok(()),
    }
}

/// Refuses a model that could not be served.
pub(super) fn check(model: &Served<'_>, see: &dyn Observe) -> Result<()> {
    check_with(model, load, see)
}

#[cfg(feature = "serve")]
fn load(file: &Path) -> Result<Loaded> {
    let checked = engine::check(file)?;
    Ok(Loaded { backend: checked.backend, warnings: checked.warnings })
}

#[cfg(not(feature = "serve"))]
fn load(file: &Path) -> Result<Loaded> {
    let message = format!("`{}` cannot be checked: this floe was built without its engine", show(file));
    Err(Error::new(Kind::Usage, message).hint("build floe with the feature `serve`, or name another runtime"))
}

fn check_with(model: &Served<'_>, load: impl Fn(&Path) -> Result<Loaded>, see: &dyn Observe) -> Result<()> {
    let Some(detection) = model.detection else {
        let message =
            format!("no model was recognised that the runtime `{}` could serve", model.runtime.name);
        return Err(Error::new(Kind::Model, message).hint(others(None)?));
    };
    // A declared contract makes up for a model that floe cannot read; nothing makes the server run it.
    if let Some(failure) = &detection.failure {
        return Err(with_others(Error::new(Kind::Model, failure.clone()), detection));
    }
    check_alone(model, detection)?;
    check_contract(model, detection)?;
    let file = on_disk(model, detection)?;
    let loaded =
        load(&file).map_err(|e| if e.kind() == Kind::Model { with_others(e, detection) } else { e })?;
    for warning in loaded.warnings {
        warn(see, warning, None);
    }
    see.on(Event::Note { message: format!("the engine {} can run the model", loaded.backend) });
    Ok(())
}

/// The server finds the model as a build does to which nobody said which one is meant.
fn check_alone(model: &Served<'_>, detection: &Detection) -> Result<()> {
    let found = || format::detect(model.tree, &Choice::default());
    if !model.chosen || found().is_ok_and(|d| d.is_some_and(|d| d.file == detection.file)) {
        return Ok(());
    }
    let shown = show_bytes(&detection.file);
    let message =
        format!("beside `{shown}` there are other models, and its server would not know which one to serve");
    Err(Error::new(Kind::Model, message)
        .hint("select the files of the one model with `--payload`, or as the payload of a serving.yaml"))
}

/// The server runs the graph as it is: what the graph does not have cannot be promised, whether the
/// definition is trusted or not.
fn check_contract(model: &Served<'_>, detection: &Detection) -> Result<()> {
    let stored = detection.contract.as_ref().and_then(Contract::default_signature);
    let said = model.contract.and_then(Contract::default_signature);
    let (Some(said), Some(stored)) = (said, stored) else { return Ok(()) };
    let refuse = |why: String| {
        let name = &model.runtime.name;
        let message =
            format!("the runtime `{name}` serves the model as it is and cannot keep the contract: {why}");
        Err(Error::new(Kind::Model, message)
            .hint("correct the contract or remove it: what an ONNX model takes and gives is read from it"))
    };
    let one =
        |s: &Signature| Contract { signatures: vec![Signature { name: said.name.clone(), ..s.clone() }] };
    if let Some(first) = compare(&one(said), &one(stored)).contradictions.first() {
        return refuse(format!(
            "{}: the definition says {}, the model {}",
            first.what, first.declared, first.stored
        ));
    }
    let weight = |name: &str| stored.inputs.iter().any(|t| t.optional && t.name == name);
    if let Some(t) = said.inputs.iter().find(|t| !t.optional && weight(&t.name)) {
        let name = show_bytes(t.name.as_bytes());
        return refuse(format!("the input `{name}` is a weight of the model, which no request can replace"));
    }
    Ok(())
}

/// Where the engine finds the model: the file on disk with the other files that it needs in the same
/// places around it as in the image.
fn on_disk(model: &Served<'_>, detection: &Detection) -> Result<PathBuf> {
    let path = &detection.file;
    let entry = model.tree.get(path).ok_or_else(|| {
        Error::new(Kind::Bug, format!("the model's file `{}` is not among its files", show_bytes(path)))
    })?;
    // As it was found, where links that were followed lead to files of other names.
    let found = model.root.join(path_from_bytes(path));
    let around = |candidate: &PathBuf| {
        let folder = crate::fs::parent(candidate);
        let top = folder_of(path);
        let same = |at: &Path, want: &Path| matches!((std::fs::canonicalize(at), std::fs::canonicalize(want)), (Ok(a), Ok(b)) if a == b);
        same(candidate, &entry.source)
            && detection.required.iter().all(|needed| {
                let below = needed.strip_prefix(top).map(|n| n.strip_prefix(b"/").unwrap_or(n));
                let (Some(below), Some(needed)) = (below, model.tree.get(needed)) else { return false };
                same(&folder.join(path_from_bytes(below)), &needed.source)
            })
    };
    [entry.source.clone(), found].into_iter().find(around).ok_or_else(|| {
        let message = format!(
            "`{}` cannot be tried: on disk the files with its weights lie elsewhere than they will in the image",
            show(&entry.source)
        );
        Error::new(Kind::Model, message)
            .hint("lay them out as they will be, or pack the model without a server with `--runtime data`")
    })
}

/// The engine's refusal, and what can be done instead.
fn with_others(e: Error, detection: &Detection) -> Error {
    let Ok(others) = others(Some(detection.format)) else { return e };
    match e.hint_text().map(str::to_owned) {
        Some(own) => e.hint(format!("{own}; or {others}")),
        None => e.hint(others),
    }
}

/// Which runtimes serve a format. Those that run whatever code comes with the model do not count:
/// they know nothing of the format.
fn others(format: Option<&str>) -> Result<String> {
    let able: Vec<String> = runtimes::all()?
        .into_iter()
        .filter(|r| !r.is_own() && format.is_some_and(|f| r.formats.iter().any(|own| own == f)))
        .map(|r| format!("`--runtime {}`", r.name))
        .collect();
    Ok(if able.is_empty() {
        "pack the files without a server with `--runtime data`, or lay them on an image of your own with \
         `--base`"
            .to_owned()
    } else {
        format!("choose a runtime that can: {}", able.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Quiet;
    use crate::model::contract::{DType, Known, Tensor};
    use crate::model::format::{Choice, detect};
    use crate::model::tree::Selected;

    fn example(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/onnx").join(path)
    }

    fn scan(all: &[(PathBuf, &str)], follow: bool) -> (Tree, Detection) {
        let all: Vec<Selected> = all
            .iter()
            .map(|(source, dest)| Selected { source: source.clone(), dest: dest.as_bytes().to_vec() })
            .collect();
        let tree = Tree::scan(&all, &|_, _| false, follow).unwrap();
        let detection = detect(&tree, &Choice::default()).unwrap().unwrap();
        (tree, detection)
    }

    /// What the check says with an engine that does what `load` does; the file that it was given.
    fn checked(
        (tree, detection): &(Tree, Detection),
        root: &Path,
        declared: Option<&Contract>,
        load: impl Fn() -> Result<Loaded>,
    ) -> Result<PathBuf> {
        let runtime = runtimes::own().unwrap();
        let contract = declared.or(detection.contract.as_ref());
        let detection = Some(detection);
        let model = Served { runtime: &runtime, tree, root, detection, chosen: false, contract };
        let given = std::cell::RefCell::new(PathBuf::new());
        let load = |file: &Path| {
            file.clone_into(&mut given.borrow_mut());
            load()
        };
        check_with(&model, load, &Quiet)?;
        Ok(given.into_inner())
    }

    fn fine() -> Result<Loaded> {
        Ok(Loaded { backend: "e", warnings: Vec::new() })
    }

    #[test]
    fn the_engine_gets_the_file_on_disk() {
        let top = example("on_dev_scaler");
        let model = scan(&[(top.clone(), "")], false);
        assert_eq!(checked(&model, &top, None, fine).unwrap(), top.join("model.onnx"));
        let top = example("made_external/model");
        let model = scan(&[(top.clone(), "")], false);
        assert!(!model.1.required.is_empty());
        assert_eq!(checked(&model, &top, None, fine).unwrap(), top.join("model.onnx"));
    }

    #[test]
    fn c50_followed_links_are_the_model_where_the_names_are() {
        let dir = tempfile::tempdir().unwrap();
        let (blobs, snapshot) = (dir.path().join("blobs"), dir.path().join("snapshot"));
        let top = example("made_external/model");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::create_dir_all(&snapshot).unwrap();
        for (i, item) in std::fs::read_dir(&top).unwrap().enumerate() {
            let (blob, item) = (blobs.join(i.to_string()), item.unwrap());
            std::fs::copy(item.path(), &blob).unwrap();
            std::os::unix::fs::symlink(&blob, snapshot.join(item.file_name())).unwrap();
        }
        let model = scan(&[(snapshot.clone(), "")], true);
        assert!(model.0.get(&model.1.file).unwrap().source.starts_with(blobs.canonicalize().unwrap()));
        assert_eq!(checked(&model, &snapshot, None, fine).unwrap(), snapshot.join("model.onnx"));
    }

    #[test]
    fn files_that_lie_elsewhere_than_in_the_image_are_not_tried() {
        let top = example("made_external/model");
        let dir = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for item in std::fs::read_dir(&top).unwrap() {
            let name = item.unwrap().file_name().into_string().unwrap();
            let folder = dir.path().join(format!("in-{name}"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::copy(top.join(&name), folder.join(&name)).unwrap();
            all.push((folder.join(&name), name));
        }
        let all: Vec<(PathBuf, &str)> = all.iter().map(|(p, n)| (p.clone(), n.as_str())).collect();
        let model = scan(&all, false);
        let e = checked(&model, dir.path(), None, fine).unwrap_err();
        assert!(e.to_string().contains("lie elsewhere"), "{e}");
    }

    #[test]
    fn what_the_engine_refuses_gets_a_way_out() {
        let top = example("on_dev_scaler");
        let model = scan(&[(top.clone(), "")], false);
        let refusal = || Error::new(Kind::Model, "no operator `Foo`");
        let e = checked(&model, &top, None, || Err(refusal())).unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::Model, "no operator `Foo`"));
        assert!(e.hint_text().unwrap().starts_with("pack the files without a server"));
        let e = checked(&model, &top, None, || Err(refusal().hint("export again"))).unwrap_err();
        assert!(e.hint_text().unwrap().starts_with("export again; or pack the files without a server"));
        let io = checked(&model, &top, None, || Err(Error::new(Kind::Io, "gone"))).unwrap_err();
        assert_eq!((io.kind(), io.hint_text()), (Kind::Io, None));
    }

    #[test]
    fn a_contract_that_the_graph_cannot_keep_is_refused() {
        let top = example("on_dev_scaler");
        let model = scan(&[(top.clone(), "")], false);
        let stored = model.1.contract.clone().unwrap();
        let with = |change: &dyn Fn(&mut Signature)| {
            let mut contract = stored.clone();
            change(&mut contract.signatures[0]);
            checked(&model, &top, Some(&contract), fine)
        };
        with(&|s| s.name = "another".to_owned()).unwrap();
        with(&|s| s.inputs[0].shape = None).unwrap();
        for change in [
            &(|s: &mut Signature| s.inputs[0].name = "other".to_owned()) as &dyn Fn(&mut Signature),
            &|s| s.outputs.clear(),
            &|s| s.inputs.push(Tensor::new("more", Some(DType::Bool), None, Known::Declared)),
            &|s| s.inputs[0].dtype = Some(DType::String),
            &|s| s.inputs[0].name.clear(),
        ] {
            let e = with(change).unwrap_err();
            assert_eq!(e.kind(), Kind::Model);
            assert!(e.to_string().contains("cannot keep the contract"), "{e}");
        }
    }

    #[test]
    fn a_weight_that_could_be_replaced_is_no_input() {
        let top = example("made_overridable/model");
        let model = scan(&[(top.clone(), "")], false);
        checked(&model, &top, None, fine).unwrap();
        let mut declared = model.1.contract.clone().unwrap();
        declared.signatures[0].inputs.iter_mut().for_each(|t| t.optional = false);
        let e = checked(&model, &top, Some(&declared), fine).unwrap_err();
        assert!(e.to_string().contains("is a weight of the model"), "{e}");
    }

    #[test]
    fn a_python_runtime_is_given_the_function_that_it_calls() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/func_main.py"), "def infer(x):\n    return {'y': x}\n").unwrap();
        let (tree, detection) = scan(&[(dir.path().to_owned(), "")], false);
        let mut contract = detection.contract.clone().unwrap();
        let check = |runtime: &str, by_hand: bool, contract: &Contract| {
            let runtime = Runtime::of_image(runtime);
            check_function(&runtime, by_hand, &tree, Some(&detection), Some(contract))
        };
        let python = "hydrosphere/serving-runtime-python-3.7:3.0.3";
        check(python, false, &contract).unwrap();
        contract.signatures[0].name = "predict".to_owned();
        for (runtime, by_hand) in [(python, false), (python, true), ("mine/python:1", false)] {
            let e = check(runtime, by_hand, &contract).unwrap_err();
            assert!(e.message().contains("has no function `predict`"), "{e}");
        }
        check("hydrosphere/serving-runtime-tensorflow:1", false, &contract).unwrap();
        check("mine/python:1", true, &contract).unwrap();
    }

    #[test]
    fn a_broken_model_cannot_be_served_whatever_is_declared() {
        let top = example("on_dev_scaler");
        let mut model = scan(&[(top.clone(), "")], false);
        let contract = model.1.contract.take();
        model.1.failure = Some("the graph has no end".to_owned());
        let e = checked(&model, &top, contract.as_ref(), fine).unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::Model, "the graph has no end"));
        assert!(e.hint_text().unwrap().contains("--runtime data"));
    }

    #[test]
    fn a_model_that_was_not_recognised_cannot_be_served() {
        let runtime = runtimes::own().unwrap();
        let tree = Tree::default();
        let contract = Contract::default();
        let model = Served {
            runtime: &runtime,
            tree: &tree,
            root: Path::new("."),
            detection: None,
            chosen: false,
            contract: Some(&contract),
        };
        let e = check_with(&model, |_| fine(), &Quiet).unwrap_err();
        assert!(e.hint_text().unwrap().contains("--runtime data"), "{e:?}");
    }
}
