//! From the source to the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::source::Source;
use super::{Choice, Foundation, Options, Surroundings, base, check, contract, target};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::event::{Event, FileSize, Observe, warn};
use crate::fs::TEMP_PREFIX;
use crate::model::definition::{self, Definition, Place, Placed};
use crate::model::format::{self, Detection, Role};
use crate::model::ignore::Rules;
use crate::model::payload::{self, Selection};
use crate::model::tree::{Content, Entry, EntryKind, Selected};
use crate::model::{Contract, Tree, secrets};
use crate::oci::Reference;
use crate::oci::annotation;
use crate::plan::split::{self, Material};
use crate::plan::{ConfigPlan, ImagePath, LAYOUT, Plan};
use crate::runtimes::{self, Runtime};
use crate::store::location::Location;

/// How many of the largest files are shown.
const LARGEST: usize = 10;

/// A model that is known well enough to be planned.
pub(super) struct Prepared {
    pub(super) repository: String,
    pub(super) definition: Definition,
    pub(super) tree: Tree,
    pub(super) detection: Option<Detection>,
    pub(super) contract: Option<Contract>,
    pub(super) foundation: Chosen,
    /// Path in the image and content.
    pub(super) contract_files: Vec<(ImagePath, Vec<u8>)>,
}

/// The runtime, or the base given by hand.
pub(super) struct Chosen {
    pub(super) runtime: Runtime,
    /// Whether the base was given by hand, so that we know nothing of how it serves.
    pub(super) by_hand: bool,
}

/// Takes the snapshot, recognises the model, and settles name, contract and runtime.
pub(super) fn prepare(source: &Source, options: &Options, around: &Surroundings<'_>) -> Result<Prepared> {
    let see = around.see;
    let mut definition = source.definition.clone();
    if let Some(command) = &definition.install_command {
        return Err(definition
            .error(command.place, "the definition has an `install-command`, which this floe does not run")
            .hint(
                "install what the model needs in the base image, name that with `--base`, and remove the key",
            ));
    }
    let repository = options.name.clone().unwrap_or_else(|| definition.name.clone());
    definition::check_name(&repository).map_err(|e| {
        // A name from the file is shown where it stands.
        if options.name.is_some() || !source.declared {
            return e;
        }
        let placed = definition.error(definition.place, e.message());
        e.hint_text().map(str::to_owned).into_iter().fold(placed, Error::hint)
    })?;
    if !source.declared {
        definition.name.clone_from(&repository);
    }

    let tree = snapshot(source, &definition, &repository, options, around)?;
    tell(&tree, see);
    check_secrets(&tree, options)?;

    let declared = contract::declared(&definition, &tree, &source.root)?;
    let detection = match format::detect(&tree, &options.choice.borrow()) {
        Ok(found) => found,
        // What the author declares needs no inference.
        Err(e) if declared.is_some() && e.kind() == Kind::Model => {
            warn(see, format!("the model was not recognised: {e}"), e.hint_text());
            None
        }
        Err(e) => return Err(e),
    };
    if let Some(d) = &detection {
        tell_detection(d, declared.is_some(), see)?;
        if options.deny_findings {
            deny_findings(d)?;
        }
    }
    let contract = contract::settle(declared, detection.as_ref(), &tree, options, see)?;
    let foundation = choose(&definition, detection.as_ref(), options)?;
    check_runtime(&foundation, detection.as_ref(), contract.as_ref(), see)?;
    let Chosen { runtime, by_hand } = &foundation;
    check::check_function(runtime, *by_hand, &tree, detection.as_ref(), contract.as_ref())?;
    if foundation.runtime.is_own() {
        let served = check::Served {
            runtime: &foundation.runtime,
            tree: &tree,
            root: &source.root,
            detection: detection.as_ref(),
            chosen: options.choice != Choice::default(),
            contract: contract.as_ref(),
        };
        check::check(&served, see)?;
    }
    let contract_files = contract::files(contract.as_ref(), &definition, source, &foundation, see)?;
    Ok(Prepared { repository, definition, tree, detection, contract, foundation, contract_files })
}

fn snapshot(
    source: &Source,
    definition: &Definition,
    repository: &str,
    options: &Options,
    around: &Surroundings<'_>,
) -> Result<Tree> {
    let see = around.see;
    let mut rules = Rules::load(&source.root)?;
    if let Some(file) = &source.definition_file {
        rules = rules.leave_out(file);
    }
    // What a build writes is no part of the model, or each build would pack the one before.
    let mut written = target::written(&options.outputs, repository);
    written.extend(around.stores.local.clone());
    written.extend(options.notes.iter().cloned());
    let written: Vec<_> = written.iter().filter_map(|p| std::fs::canonicalize(p).ok()).collect();
    let ignore = |path: &Path, is_dir: bool| {
        let temporary = path.file_name().is_some_and(|n| n.as_bytes().starts_with(TEMP_PREFIX.as_bytes()));
        let ours = || {
            let same_name = |w: &&std::path::PathBuf| w.file_name() == path.file_name();
            written
                .iter()
                .find(same_name)
                .is_some_and(|_| std::fs::canonicalize(path).is_ok_and(|real| written.contains(&real)))
        };
        temporary || ours() || rules.ignores(path, is_dir)
    };
    let selection = if let Some(file) = &source.single {
        let name = file.file_name().map(|n| n.as_bytes().to_vec()).unwrap_or_default();
        let real = std::fs::canonicalize(file).at("resolve", file)?;
        Selection { selected: vec![Selected { source: real, dest: name }], ..Selection::default() }
    } else {
        let mut definition = definition.clone();
        if !options.payload.is_empty() {
            let flag = |value: &String| Placed { value: value.clone(), place: Place::COMMAND_LINE };
            definition.payload = Some(options.payload.iter().map(flag).collect());
        }
        payload::select(&definition, &source.root, options.naming, &ignore)?
    };
    for w in &selection.warnings {
        warn(see, w.message.clone(), w.hint.as_deref());
    }
    let mut tree = Tree::scan(&selection.selected, &ignore, options.follow_links)?;
    tree.ignored.extend(selection.ignored);
    tree.ignored.sort();
    tree.ignored.dedup();
    if tree.files().next().is_none() {
        return Err(Error::new(Kind::Model, format!("there is no file to pack in `{}`", show(&source.root)))
            .hint("the payload is empty, or everything is ignored; see `.floeignore` in the README"));
    }
    Ok(tree)
}

fn same(a: &Path, b: &Path) -> bool {
    a == b
        || (a.file_name() == b.file_name() && std::fs::canonicalize(a).ok() == std::fs::canonicalize(b).ok())
}

/// File count, total size, the largest files, and what was left out.
fn tell(tree: &Tree, see: &dyn Observe) {
    let mut sizes: Vec<(u64, &[u8])> = tree
        .entries()
        .iter()
        .filter_map(|e| {
            if let EntryKind::File { stamp, .. } = &e.kind { Some((stamp.size, &e.path[..])) } else { None }
        })
        .collect();
    let bytes = sizes.iter().map(|(s, _)| s).sum();
    let files = sizes.len();
    sizes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let largest = sizes
        .iter()
        .take(LARGEST)
        .map(|(size, path)| FileSize { path: show_bytes(path), size: *size })
        .collect();
    let ignored = tree.ignored.iter().map(|p| show(p)).collect();
    see.on(Event::Contents { files, bytes, largest, ignored });
}

/// From so many files on they are looked through on several threads.
const MANY: usize = 256;

/// Refuses files that hold a credential: the first of them.
fn check_secrets(tree: &Tree, options: &Options) -> Result<()> {
    let files: Vec<_> = tree.files().collect();
    let threads = if files.len() < MANY { 1 } else { options.jobs.clamp(1, super::MAX_THREADS) };
    if threads == 1 {
        return files.iter().try_for_each(|(path, entry)| check_secret(path, entry, options));
    }
    std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(threads));
        let look = |part: &[(&[u8], &Entry)]| {
            part.iter().try_for_each(|(path, entry)| check_secret(path, entry, options))
        };
        let running: Vec<_> = parts.map(|part| scope.spawn(move || look(part))).collect();
        let dead = || Err(Error::new(Kind::Bug, "a thread that looks for secrets died"));
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| dead()))
    })
}

fn check_secret(path: &[u8], entry: &Entry, options: &Options) -> Result<()> {
    if options.allow_secrets.iter().any(|a| entry.source == *a || same(a, &entry.source) || is_path(a, path))
    {
        return Ok(());
    }
    let content = Content::open(entry)?;
    if content.size() > secrets::MAX_BYTES {
        return Ok(());
    }
    let head = content.head(secrets::HEAD)?;
    if !secrets::is_text(&head) {
        return Ok(());
    }
    let bytes = if content.size() > head.len() as u64 { content.read_all(secrets::MAX_BYTES)? } else { head };
    let Some(found) = secrets::scan(&bytes) else { return Ok(()) };
    let shown = show_bytes(path);
    Err(Error::new(
        Kind::Model,
        format!("`{}` holds {} in line {}", show(&entry.source), found.what, found.line),
    )
    .hint(format!(
        "remove it, name the file in `.floeignore`, or pack it all the same with `--allow-secret {shown}`"
    )))
}

fn is_path(allowed: &Path, path: &[u8]) -> bool {
    allowed.as_os_str().as_bytes() == path
}

fn tell_detection(d: &Detection, declared: bool, see: &dyn Observe) -> Result<()> {
    see.on(Event::Note { message: format!("{}: {}", d.format, d.evidence) });
    for w in d.warnings.iter().filter(|w| d.failure.as_ref() != Some(w)) {
        warn(see, w.clone(), None);
    }
    for f in d.findings.iter().filter(|f| d.failure.as_ref() != Some(&f.message)) {
        match f.severity {
            format::Severity::Info => see.on(Event::Note { message: f.message.clone() }),
            format::Severity::Warning | format::Severity::Error => warn(see, f.message.clone(), None),
        }
    }
    if let Some(failure) = &d.failure {
        if !declared {
            return Err(Error::new(Kind::Model, failure.clone())
                .hint("repair the model, or declare its contract in a serving.yaml"));
        }
        warn(see, failure.clone(), Some("the declared contract is used"));
    }
    Ok(())
}

/// Refuses a model with anything that its author should look at.
fn deny_findings(d: &Detection) -> Result<()> {
    let all: Vec<String> = d
        .findings
        .iter()
        .filter(|f| f.severity > format::Severity::Info)
        .map(|f| format!("{} in `{}`: {}", f.code, show_bytes(f.place.as_bytes()), f.message))
        .collect();
    let Some(first) = all.first() else { return Ok(()) };
    let more = match all.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    Err(Error::new(Kind::Findings, format!("the model has findings, which are denied: {first}{more}"))
        .hint("`floe infer` lists them; build without `--deny findings` where they are meant"))
}

fn choose(definition: &Definition, detection: Option<&Detection>, options: &Options) -> Result<Chosen> {
    let by_hand = |reference: &str| {
        // Of this one everything is known: it is the base of a runtime.
        if Location::base(reference)? == Location::Floe {
            return Ok(Chosen { runtime: runtimes::own()?, by_hand: false });
        }
        let mut runtime = Runtime::of_image(reference);
        runtime.working_dir = false;
        runtime.needs_contract = false;
        Ok(Chosen { runtime, by_hand: true })
    };
    let catalog = |name: &str| Ok(Chosen { runtime: runtimes::find(name)?, by_hand: false });
    match &options.foundation {
        Some(Foundation::Runtime(name)) => return catalog(name),
        Some(Foundation::Base(reference)) => return by_hand(reference),
        None => {}
    }
    if let Some(base) = &definition.base {
        return by_hand(&base.value);
    }
    match &definition.runtime {
        Some(runtime) if runtimes::is_known(&runtime.value) => catalog(&runtime.value),
        Some(runtime) => Ok(Chosen { runtime: Runtime::of_image(&runtime.value), by_hand: false }),
        None => {
            // Without the engine in it, this library cannot vouch for the model.
            let format = detection.and_then(Detection::known_format).filter(|_| check::CAN_SERVE);
            Ok(Chosen { runtime: runtimes::default_for(format)?, by_hand: false })
        }
    }
}

/// A runtime that cannot serve what it gets is refused now, not at the first request.
fn check_runtime(
    chosen: &Chosen,
    detection: Option<&Detection>,
    contract: Option<&Contract>,
    see: &dyn Observe,
) -> Result<()> {
    let runtime = &chosen.runtime;
    let bare = chosen.by_hand || runtime.base == "scratch";
    const DECLARE: &str = "declare one in a serving.yaml: a `contract` with `inputs` and `outputs`; \
                           `floe schema` prints what may stand there";
    match (detection, contract) {
        (None, None) if bare => {
            warn(
                see,
                "no format was recognised and no contract is declared; the image holds the files alone",
                Some(DECLARE),
            );
            return Ok(());
        }
        (None, None) => {
            return Err(Error::new(
                Kind::Model,
                format!("no format was recognised, and the runtime `{}` needs a contract", runtime.name),
            )
            .hint(DECLARE));
        }
        (Some(d), None) if !bare && runtime.needs_contract => {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "the {} model holds no contract, and the runtime `{}` needs one",
                    d.format, runtime.name
                ),
            )
            .hint(DECLARE));
        }
        _ => {}
    }
    if let Some(d) = detection
        && d.known_format().is_some_and(|format| !runtime.serves(format))
    {
        return Err(Error::new(
            Kind::Model,
            format!(
                "the runtime `{}` serves {}, and the format of the model is {}",
                runtime.name,
                runtime.formats.join(", "),
                d.format
            ),
        )
        .hint("choose another one with `--runtime`, or give a base by hand with `--base`"));
    }
    Ok(())
}

/// Decides the layers and the configuration.
pub(super) fn plan(model: &Prepared, base: &base::Opened, options: &Options) -> Result<Plan> {
    let runtime = &model.foundation.runtime;
    let definition = &model.definition;
    let folder = runtime.folder(&model.repository);
    let role = |path: &[u8]| -> &'static str {
        match &model.detection {
            Some(d) => d.role(path).name(),
            None => Role::by_name(path).name(),
        }
    };
    let base_layers = base.bases.iter().map(|b| b.layers.len()).max().unwrap_or(0);
    let layers = split::layers(&Material {
        tree: &model.tree,
        role: &role,
        folder: ImagePath::new(folder.trim_start_matches('/').as_bytes())?,
        contract: model.contract_files.clone(),
        compression: options.compression,
        base_layers,
    })?;

    let own = options.workdir.as_ref().or(definition.workdir.as_ref());
    let mut config = ConfigPlan {
        working_dir: own.cloned().or_else(|| runtime.working_dir.then_some(folder)),
        user: options.user.clone().or_else(|| definition.user.clone()),
        env: merged(&runtime.environment(&model.repository), &[&definition.env, &options.env]),
        model_id_env: runtime.model_id_env.clone(),
        labels: merged(&definition.labels, &[&options.labels]),
    };
    // What the author sets stands.
    config.model_id_env = config.model_id_env.filter(|key| !config.env.contains_key(key));
    Ok(Plan {
        layout: LAYOUT,
        model: definition.name.clone(),
        created: options.created.clone(),
        base_name: base_name(model, options)?,
        owner: options.owner,
        layers,
        config,
        annotations: annotations(model, options)?,
    })
}

/// The declared name of the base. One that was typed for this build may be a mirror's, and the same
/// base has to give the same image wherever it was fetched from.
fn base_name(model: &Prepared, options: &Options) -> Result<Option<String>> {
    let text = match &options.base_name {
        Some(text) => text,
        None if matches!(options.foundation, Some(Foundation::Base(_))) => return Ok(None),
        None => &model.foundation.runtime.base,
    };
    match Location::base(text)? {
        Location::Registry(r) => {
            let tag = r.tag.clone().or_else(|| r.digest.is_none().then(|| "latest".to_owned()));
            Ok(Some(Reference { digest: None, tag, ..r }.to_string()))
        }
        _ if options.base_name.is_some() => Err(Error::new(
            Kind::Usage,
            format!("`--base-name {}` is no registry reference", show_bytes(text.as_bytes())),
        )
        .hint("write HOST/NAME:TAG, as in docker.io/library/debian:12")),
        _ => Ok(None),
    }
}

fn merged(first: &BTreeMap<String, String>, then: &[&BTreeMap<String, String>]) -> BTreeMap<String, String> {
    let mut all = first.clone();
    for map in then {
        all.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    all
}

fn annotations(model: &Prepared, options: &Options) -> Result<BTreeMap<String, String>> {
    let definition = &model.definition;
    let own = merged(&definition.annotations, &[&options.annotations]);
    let reserved: BTreeSet<&String> = own.keys().filter(|k| k.starts_with(annotation::PREFIX)).collect();
    if let Some(key) = reserved.first() {
        return Err(Error::new(
            Kind::Usage,
            format!("the annotation `{}` is floe's own", show_bytes(key.as_bytes())),
        )
        .hint("choose a key that does not begin with `dev.floe.`"));
    }
    let mut all = BTreeMap::new();
    all.insert(annotation::TITLE.to_owned(), definition.name.clone());
    for (key, value) in [
        ("org.opencontainers.image.source", &definition.source),
        ("org.opencontainers.image.revision", &definition.revision),
        ("org.opencontainers.image.licenses", &definition.licenses),
        ("org.opencontainers.image.description", &definition.description),
    ] {
        if let Some(value) = value {
            all.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(format) = model.detection.as_ref().and_then(Detection::known_format) {
        all.insert(annotation::FORMAT.to_owned(), format.to_owned());
    }
    if let Some(c) = &model.contract {
        all.extend(Plan::contract_annotations(&crate::model::contract::json::write(c)?));
    }
    for (key, value) in merged(&definition.metadata, &[&options.metadata]) {
        all.insert(format!("{}metadata.{key}", annotation::PREFIX), value);
    }
    all.extend(own);
    Ok(all)
}
