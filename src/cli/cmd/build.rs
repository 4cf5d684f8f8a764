//! `floe build`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::args::BuildArgs;
use crate::cli::context::{Context, rfc3339};
use crate::cli::job::Job;
use crate::cli::note::Note;
use crate::cli::{output, usage};
use floe::build::{self, Built, Choice, Foundation, Input, Mode, Options, Platforms, Surroundings};
use floe::error::{At, show_bytes};
use floe::model::payload::Naming;
use floe::oci::Platform;
use floe::plan::{DEFAULT_CREATED, MTIME, Owner};
use floe::store::location::Location;
use floe::store::open::Stores;
use floe::{Error, Kind, Result};

/// The largest definition that is read from standard input.
const MAX_STDIN: u64 = 1 << 20;

pub(crate) fn run(args: &BuildArgs, context: &Context) -> Result<()> {
    let mut options = options(args, context)?;
    let stores = context.stores()?.with_sync(args.fsync);
    if let Some(Foundation::Base(text)) = &mut options.foundation {
        *text = full_name(text, &stores, context)?;
    }
    // Where the result cannot be noted down, nothing is published.
    let digestfile = args.digestfile.as_deref().map(Note::new).transpose()?;
    let metadata_file = args.metadata_file.as_deref().map(Note::new).transpose()?;
    let job = Job::open(args.github, args.tekton.as_deref(), &args.output)?;
    let built = build::build(&options, &Surroundings { stores: &stores, see: context.see() })?;
    context.finish();

    let document = document(&built)?;
    if let Some(file) = digestfile {
        let digests: Vec<String> = built.iter().filter_map(|b| b.digest).map(|d| d.to_string()).collect();
        file.write(digests.join("\n").as_bytes())?;
    }
    if let Some(file) = metadata_file {
        let text = serde_json::to_vec_pretty(&metadata(&document, &built))
            .map_err(|e| Error::new(Kind::Bug, "the result cannot be written as JSON").because(e))?;
        file.write(&text)?;
    }
    job.hand_on(&built)?;
    if args.json {
        return output::json(&document);
    }
    if args.dry_run.is_some() {
        built.iter().for_each(|b| context.fact(&rehearsal(b)));
    }
    let lines: Vec<String> = built.iter().flat_map(|b| lines(b, &args.print)).collect();
    output::answer(&lines.join("\n"))
}

/// The base that was typed, with the host that registries.conf has for a name without one. A base
/// that a definition names is Docker's wherever it is built.
fn full_name(text: &str, stores: &Stores, context: &Context) -> Result<String> {
    if text.contains("://") || !matches!(Location::base(text), Ok(Location::Registry(_))) {
        return Ok(text.to_owned());
    }
    let Some(full) = stores.client.settings().registries.full_name(text)? else { return Ok(text.to_owned()) };
    context.watch().detail(format!("the base `{text}` is `{full}`, by registries.conf"));
    Ok(full)
}

/// One document for one model; a list of them for several.
fn document(built: &[Built]) -> Result<Value> {
    #[derive(Serialize)]
    struct One<'a> {
        floe: u32,
        #[serde(flatten)]
        built: &'a Built,
    }
    let value = match built {
        [one] => serde_json::to_value(One { floe: 1, built: one }),
        several => serde_json::to_value(json!({"floe": 1, "models": several})),
    };
    value.map_err(|e| Error::new(Kind::Bug, "the result cannot be written as JSON").because(e))
}

/// The document, with the keys beside it that `docker buildx build --metadata-file` writes
/// (docs.docker.com, "docker buildx build", "Write build result metadata to a file").
fn metadata(document: &Value, built: &[Built]) -> Value {
    let mut value = document.clone();
    let (Some(map), [one]) = (value.as_object_mut(), built) else { return value };
    if let (Some(digest), Some(media_type), Some(size)) = (one.digest, &one.media_type, one.size) {
        let descriptor = json!({"digest": digest, "mediaType": media_type, "size": size});
        map.insert("containerimage.descriptor".to_owned(), descriptor);
        map.insert("containerimage.digest".to_owned(), json!(digest));
        let names: Vec<&str> = one.published.iter().map(|p| p.reference.as_str()).collect();
        map.insert("image.name".to_owned(), json!(names.join(",")));
    }
    value
}

/// The layers that a build would make. What was not hashed is `?`.
fn rehearsal(b: &Built) -> String {
    let words = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let mut rows = vec![words(&["LAYER", "FILES", "BYTES", "STORED", "DIGEST"])];
    rows.extend(b.layers.iter().map(|l| {
        vec![
            l.role.clone(),
            l.files.to_string(),
            output::size(l.bytes),
            l.size.map_or("?".to_owned(), output::size),
            l.digest.map_or("?".to_owned(), |d| d.to_string()),
        ]
    }));
    output::table(&rows)
}

/// What stdout shows: a line a destination.
fn lines(b: &Built, print: &str) -> Vec<String> {
    let digest = b.digest.map_or("?".to_owned(), |d| d.to_string());
    if b.published.is_empty() {
        // A rehearsal: nothing has a version yet.
        let text = match print {
            "digest" => digest,
            "version" | "tag" => "?".to_owned(),
            _ => format!("{}@{digest}", b.repository),
        };
        return vec![text];
    }
    let line = |p: &build::PublishedAt| match print {
        "digest" => digest.clone(),
        "version" | "tag" => p.tag.clone(),
        _ => p.reference.clone(),
    };
    b.published.iter().map(line).collect()
}

fn options(args: &BuildArgs, context: &Context) -> Result<Options> {
    let epoch = context.source_date_epoch()?;
    let definition = match &args.file {
        None => None,
        Some(file) if file == Path::new("-") => {
            let mut bytes = Vec::new();
            let mut input = std::io::Read::take(std::io::stdin().lock(), MAX_STDIN + 1);
            std::io::Read::read_to_end(&mut input, &mut bytes)
                .doing("read the definition from standard input")?;
            if bytes.len() as u64 > MAX_STDIN {
                let message = format!("the definition on standard input has more than {MAX_STDIN} bytes");
                return Err(Error::new(Kind::Model, message).hint("a definition has a few kilobytes"));
            }
            Some((file.clone(), utf8(bytes, "the definition on standard input")?))
        }
        Some(file) => {
            let bytes = floe::fs::read_capped(file, MAX_STDIN)?;
            Some((file.clone(), utf8(bytes, "the definition")?))
        }
    };
    let foundation = match (&args.runtime, &args.base) {
        (Some(name), _) => Some(Foundation::Runtime(name.clone())),
        (None, Some(base)) => Some(Foundation::Base(base.clone())),
        (None, None) => None,
    };
    let jobs = jobs(args.jobs)?;
    Ok(Options {
        input: Input { path: args.path.clone(), definition },
        name: args.name.clone(),
        foundation,
        base_name: args.base_name.clone(),
        outputs: args.output.clone(),
        platforms: platforms(&args.platform)?,
        compression: args.compression.parse()?,
        labels: pairs("--label", &args.label)?,
        annotations: pairs("--annotation", &args.annotation)?,
        env: pairs("--env", &args.env)?,
        metadata: pairs("--metadata", &args.metadata)?,
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        owner: args.owner.as_deref().map_or(Ok(Owner::default()), owner)?,
        payload: args.payload.clone(),
        naming: if args.payload_names.as_deref() == Some("basename") {
            Naming::Basename
        } else {
            Naming::Verbatim
        },
        follow_links: args.follow_links,
        allow_secrets: args.allow_secret.iter().map(Into::into).collect(),
        choice: Choice {
            framework: args.framework.clone(),
            path: args.model.as_ref().map(|m| m.trim_end_matches('/').as_bytes().to_vec()),
        },
        trust_definition: args.trust_definition,
        deny_findings: args.deny.iter().any(|d| d == "findings"),
        aliases: aliases(&args.alias)?,
        number_tag: args.number_tag,
        record: if args.no_record { None } else { Some(context.circumstances(&args.path)?) },
        created: epoch.map_or(DEFAULT_CREATED.to_owned(), rfc3339),
        newest: epoch.unwrap_or(MTIME),
        jobs,
        cache: context.cache(),
        programs: programs(&args.floe_binary)?,
        own_program: std::env::current_exe().ok().filter(|_| cfg!(target_os = "linux")),
        notes: args
            .digestfile
            .iter()
            .chain(&args.metadata_file)
            .cloned()
            .chain(Job::files(args.tekton.as_deref()))
            .collect(),
        mode: match args.dry_run.as_deref() {
            None => Mode::Publish,
            Some("full") => Mode::Hash,
            Some(_) => Mode::Plan,
        },
    })
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|e| Error::new(Kind::Model, format!("{what} is not UTF-8")).because(e.utf8_error()))
}

fn aliases(texts: &[String]) -> Result<Vec<String>> {
    for alias in texts {
        floe::versions::check_alias(alias)?;
    }
    Ok(texts.to_vec())
}

fn platforms(texts: &[String]) -> Result<Platforms> {
    if texts.is_empty() {
        return Ok(Platforms::Host);
    }
    if texts.iter().any(|t| t == "all") {
        return match texts {
            [_] => Ok(Platforms::All),
            _ => Err(usage("`--platform all` stands alone", "give `all`, or the platforms one by one")),
        };
    }
    let mut all = Vec::new();
    for text in texts {
        let platform = text.parse()?;
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    // In whatever order they are named, they are one image.
    all.sort();
    Ok(Platforms::These(all))
}

/// Programs of floe by platform.
fn programs(texts: &[String]) -> Result<BTreeMap<Platform, PathBuf>> {
    let mut all = BTreeMap::new();
    for text in texts {
        let wrong = |why: &str| {
            usage(
                format!("`--floe-binary {}` {why}", show_bytes(text.as_bytes())),
                "write `--floe-binary PLATFORM=PATH`, as in `--floe-binary linux/arm64=./floe-arm64`",
            )
        };
        let parts = text.split_once('=').filter(|(_, path)| !path.is_empty());
        let (platform, path) = parts.ok_or_else(|| wrong("is no PLATFORM=PATH"))?;
        if all.insert(platform.parse::<Platform>()?, path.into()).is_some() {
            return Err(wrong("names a platform for the second time"));
        }
    }
    Ok(all)
}

pub(super) fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (key, value) = text.split_once('=').filter(|(k, _)| !k.is_empty()).ok_or_else(|| {
            usage(
                format!("`{flag} {}` is no KEY=VALUE", show_bytes(text.as_bytes())),
                format!("write `{flag} KEY=VALUE`"),
            )
        })?;
        if key.chars().any(char::is_control) {
            return Err(usage(
                format!("the key of `{flag} {}` has a control character", show_bytes(text.as_bytes())),
                "remove it",
            ));
        }
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// Threads for hashing and compressing: as many as there are processors, unless somebody says.
pub(super) fn jobs(given: Option<usize>) -> Result<usize> {
    match given {
        Some(0) => Err(usage("`--jobs 0` would do nothing", "give 1 or more")),
        Some(n) => Ok(n.min(256)),
        None => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    }
}

pub(super) fn owner(text: &str) -> Result<Owner> {
    let parts = text.split_once(':').and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
    let Some((uid, gid)) = parts else {
        return Err(usage(
            format!("`--owner {}` is no UID:GID", show_bytes(text.as_bytes())),
            "write two numbers, as in `--owner 1000:1000`",
        ));
    };
    Ok(Owner { uid, gid })
}
