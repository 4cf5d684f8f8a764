//! Layers and base blobs reach the destinations.
//!
//! A layer is read once for all destinations that need it. Where no destination holds a version of
//! the model, nothing can be there, and the layer is stored while it is hashed; else it is hashed
//! first, and read a second time only for those that lack it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use super::base::Opened;
use super::prepare::Prepared;
use super::target::Target;
use super::{MAX_THREADS, Options};
use crate::blob::codec::{Codec, Pool};
use crate::blob::tee::{Drain, tee};
use crate::blob::{Blob as _, Packed, Recipe};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observe};
use crate::image;
use crate::oci::{Descriptor, DiffId, Digest, media_type};
use crate::pack::cache::{Cache, Key};
use crate::pack::{Known, Layer, hash};
use crate::plan::{LayerPlan, Plan};
use crate::store::{Expected, ExpectedBlob, ExpectedManifest, Presence};

/// A layer that is ready to be made.
struct Ready<'a> {
    recipe: Layer<'a>,
    /// By what it is remembered.
    key: Option<Key>,
    /// What is remembered of it.
    known: Option<Packed>,
}

/// The layers of a plan, ready to be made.
pub(super) struct Recipes<'a> {
    all: Vec<Ready<'a>>,
    cache: Option<&'a Cache>,
    /// How many are made at once.
    workers: usize,
    /// Whether they have to arrive in their order.
    ordered: bool,
}

/// How every layer of the plan is made. Samples content where the plan leaves the codec open and nothing is
/// remembered.
pub(super) fn recipes<'a>(
    model: &'a Prepared,
    plan: &'a Plan,
    targets: &[Target<'_>],
    options: &'a Options,
) -> Result<Recipes<'a>> {
    let ordered = targets.iter().any(|t| t.sink().ordered());
    let workers = if ordered { 1 } else { options.jobs.min(plan.layers.len()).max(1) };
    // All threads together are about as many as were asked for: a layer has those that its share of the
    // content is worth, and what compresses is shared.
    let pool = Pool::new(options.jobs.min(MAX_THREADS));
    let total: u64 = plan.layers.iter().map(LayerPlan::size).sum();
    let threads = |layer: &LayerPlan| {
        let share = options.jobs as f64 * layer.size() as f64 / total.max(1) as f64;
        if workers == 1 { options.jobs } else { share.round() as usize }.clamp(1, MAX_THREADS)
    };
    let cache = options.cache.as_ref();
    let ready = |layer: &'a LayerPlan| {
        let key = cache.and_then(|c| c.layer(layer, &model.tree, plan.owner));
        let known = cache.zip(key.as_ref()).and_then(|(c, k)| c.get(k));
        let codec = known.as_ref().and_then(|k| Codec::of(&k.descriptor.media_type));
        let threads = threads(layer);
        let recipe = match codec {
            Some(codec) => Layer::with_codec(layer, &model.tree, plan.owner, threads, codec),
            None => Layer::new(layer, &model.tree, plan.owner, threads)?,
        };
        Ok(Ready { recipe: recipe.sharing(&pool), key, known: known.filter(|_| codec.is_some()) })
    };
    let all = plan.layers.iter().map(ready).collect::<Result<Vec<_>>>()?;
    Ok(Recipes { all, cache, workers, ordered })
}

/// What is remembered of the layers of a plan, without a look at their content.
pub(super) fn remembered(model: &Prepared, plan: &Plan, options: &Options) -> Vec<Option<image::Layer>> {
    let cache = options.cache.as_ref();
    plan.layers
        .iter()
        .map(|layer| {
            let packed = cache.and_then(|c| c.get(&c.layer(layer, &model.tree, plan.owner)?))?;
            Some(image::Layer { packed, role: layer.role.clone(), title: layer.title() })
        })
        .collect()
}

/// What is known of the image before a byte of it is read: its layers, and how large its documents will be at
/// least, by layers whose digests and sizes are made up.
pub(super) fn expected(base: &Opened, plan: &Plan, recipes: &Recipes<'_>) -> Result<Expected> {
    let ours = recipes.all.iter().map(|Ready { recipe, known, .. }| {
        let (exact, size) = recipe.size().map_or((false, recipe.work()), |size| (true, size));
        let descriptor = known.as_ref().map(|k| k.descriptor.clone());
        ExpectedBlob { title: recipe.title(), size, exact, descriptor }
    });
    let mut seen = BTreeSet::new();
    let below = base.bases.iter().flat_map(|b| &b.layers).filter(|l| seen.insert(l.digest));
    let blobs = ours.chain(below.map(|l| ExpectedBlob::of(l, "layer of the base"))).collect();
    let nothing = Packed {
        descriptor: Descriptor::new(media_type::LAYER, Digest::of(b""), 0),
        diff_id: DiffId(Digest::of(b"")),
    };
    let layer = |plan: &LayerPlan| image::Layer {
        packed: nothing.clone(),
        role: plan.role.clone(),
        title: plan.title(),
    };
    let layers: Vec<image::Layer> = plan.layers.iter().map(layer).collect();
    let (images, top) = super::assemble(base, plan, &layers)?;
    let title = format!("the image of `{}`", plan.model);
    let mut manifests: Vec<ExpectedManifest> = images
        .iter()
        .map(|image| ExpectedManifest {
            title: title.clone(),
            size: image.manifest.descriptor.size,
            layers: image.layers.len(),
            config: image.config.descriptor().size,
        })
        .collect();
    if images.len() > 1 {
        manifests.push(ExpectedManifest { title, size: top.descriptor.size, layers: 0, config: 0 });
    }
    Ok(Expected { blobs, manifests })
}

/// Asks every destination whether it would take the image, before a byte is sent.
pub(super) fn preflight(expected: &Expected, targets: &[Target<'_>], see: &dyn Observe) -> Result<()> {
    targets.iter().try_for_each(|t| t.sink().preflight(expected, &t.toward(see)))
}

/// Stores the layers of the base and those of the model, at the same time where their order does not show.
pub(super) fn store(
    base: &Opened,
    recipes: &Recipes<'_>,
    targets: &[Target<'_>],
    options: &Options,
    see: &dyn Observe,
) -> Result<Vec<image::Layer>> {
    if recipes.ordered {
        base_layers(base, targets, options, see)?;
        return layers(recipes, targets, see);
    }
    let see = Together { see, failed: AtomicBool::new(false) };
    let (below, ours) = std::thread::scope(|scope| {
        let below = scope.spawn(|| see.heed(base_layers(base, targets, options, &see)));
        let ours = see.heed(layers(recipes, targets, &see));
        (below.join(), ours)
    });
    let below = below.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the thread that stores the base died")));
    match (below, ours) {
        (Ok(()), ours) => ours,
        // One of them stopped because of the other.
        (Err(e), Err(first)) if e.kind() == Kind::Interrupted => Err(first),
        (Err(e), _) => Err(e),
    }
}

/// Lets what is done at the same time stop when a part of it has failed.
struct Together<'a> {
    see: &'a dyn Observe,
    failed: AtomicBool,
}

impl Together<'_> {
    fn heed<T>(&self, result: Result<T>) -> Result<T> {
        self.failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    }
}

impl Observe for Together<'_> {
    fn on(&self, event: Event) {
        self.see.on(event);
    }

    fn stop(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.see.stop()
    }
}

/// Packs every layer into every destination.
pub(super) fn layers(
    recipes: &Recipes<'_>,
    targets: &[Target<'_>],
    see: &dyn Observe,
) -> Result<Vec<image::Layer>> {
    let Recipes { all, cache, workers, ordered } = recipes;
    // Biggest first, so that the last thread to finish has little left; ties by place.
    let mut order: Vec<usize> = (0..all.len()).collect();
    if !ordered {
        order.sort_by_key(|i| (std::cmp::Reverse(all[*i].recipe.work()), *i));
    }
    let packed = in_parallel(&order, *workers, |i| remembering(&all[i], *cache, targets, see))?;
    Ok(packed
        .into_iter()
        .zip(all)
        .map(|(packed, Ready { recipe, .. })| image::Layer {
            packed,
            role: recipe.role().to_owned(),
            title: recipe.recorded(),
        })
        .collect())
}

/// One layer into every destination, by what is remembered of it where something is.
fn remembering(
    ready: &Ready<'_>,
    cache: Option<&Cache>,
    targets: &[Target<'_>],
    see: &dyn Observe,
) -> Result<Packed> {
    let Ready { recipe, key, known } = ready;
    if let Some(packed) = known {
        match one(recipe, Some(packed.clone()), targets, see) {
            // What is sent is verified: the memory was wrong, whatever the stamps of the files say.
            Err(e) if e.kind() == Kind::Integrity => {
                if let Some((cache, key)) = cache.zip(key.as_ref()) {
                    cache.forget(key);
                }
            }
            done => return done,
        }
    }
    let begun = SystemTime::now();
    let packed = one(recipe, None, targets, see)?;
    if let Some((cache, key)) = cache.zip(key.as_ref())
        && let Err(e) = cache.put(key, &packed, begun)
    {
        see.on(Event::Note { message: format!("the digest of a layer was not remembered: {e}") });
    }
    Ok(packed)
}

/// One layer into every destination.
fn one(
    recipe: &Layer<'_>,
    known: Option<Packed>,
    targets: &[Target<'_>],
    see: &dyn Observe,
) -> Result<Packed> {
    if targets.is_empty() {
        return known.map_or_else(|| hash(recipe, see), Ok);
    }
    if known.is_none() && targets.iter().all(|t| !t.known) {
        let ingest: Vec<_> =
            targets.iter().map(|t| move |r: &dyn Recipe| t.sink().ingest(r, &t.toward(see))).collect();
        return agreed(through(recipe, &ingest)?);
    }
    let packed = known.map_or_else(|| hash(recipe, see), Ok)?;
    let mut lacking = Vec::new();
    for target in targets {
        if target.sink().presence(&packed.descriptor)? != Presence::Present {
            lacking.push(target);
        }
    }
    let put: Vec<_> = lacking
        .iter()
        .map(|t| {
            let packed = packed.clone();
            move |r: &dyn Recipe| {
                let see = t.toward(see).of(recipe.title());
                t.sink().put(&Known::new(r, packed.clone()), &see).map(|_| packed.clone())
            }
        })
        .collect();
    if !put.is_empty() {
        agreed(through(recipe, &put)?)?;
    }
    Ok(packed)
}

fn through<F>(recipe: &dyn Recipe, sinks: &[F]) -> Result<Vec<Packed>>
where
    F: Fn(&dyn Recipe) -> Result<Packed> + Sync,
{
    let sinks: Vec<&Drain<'_, Packed>> = sinks.iter().map(|s| s as _).collect();
    tee(recipe, &sinks).into_iter().collect()
}

/// Several destinations must have seen the same bytes, also when one of them read again.
fn agreed(all: Vec<Packed>) -> Result<Packed> {
    let mut all = all.into_iter();
    let first = all.next().ok_or_else(|| Error::new(Kind::Bug, "a layer went nowhere"))?;
    if all.any(|p| p != first) {
        return Err(Error::new(Kind::Io, "two readings of a layer gave different bytes")
            .hint("build again when nothing writes to the model directory"));
    }
    Ok(first)
}

/// The layers of the base that a destination lacks.
fn base_layers(base: &Opened, targets: &[Target<'_>], options: &Options, see: &dyn Observe) -> Result<()> {
    let mut seen = BTreeSet::new();
    let layers: Vec<_> =
        base.bases.iter().flat_map(|b| &b.layers).filter(|l| seen.insert(l.digest)).collect();
    let jobs: Vec<(usize, usize)> =
        (0..targets.len()).flat_map(|t| (0..layers.len()).map(move |l| (t, l))).collect();
    let order: Vec<usize> = (0..jobs.len()).collect();
    let workers = if targets.iter().any(|t| t.sink().ordered()) { 1 } else { options.jobs };
    in_parallel(&order, workers, |i| {
        let (target, layer) = jobs[i];
        let sink = targets[target].sink();
        if sink.presence(layers[layer])? == Presence::Present {
            return Ok(());
        }
        let blob = base.blob(layers[layer])?;
        let toward = targets[target].toward(see);
        let toward = base.title().into_iter().fold(toward, super::target::Toward::of);
        sink.put(&*blob, &toward).map(|_| ())
    })?;
    Ok(())
}

/// Runs `work` for every index of `order`, on `workers` threads at most, and gives the results by
/// index. The first error ends it.
fn in_parallel<T: Send>(
    order: &[usize],
    workers: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let results: Vec<Mutex<Option<Result<T>>>> = order.iter().map(|_| Mutex::new(None)).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(i) = order.get(next.fetch_add(1, Ordering::Relaxed)).copied() else { break };
            let result = work(i);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            if let Ok(mut slot) = results[i].lock() {
                *slot = Some(result);
            }
        }
    };
    match workers.min(order.len()) {
        0 | 1 => run(),
        several => std::thread::scope(|scope| {
            for _ in 0..several {
                scope.spawn(run);
            }
        }),
    }
    let mut results: Vec<Option<Result<T>>> =
        results.into_iter().map(|slot| slot.into_inner().ok().flatten()).collect();
    if let Some(at) = results.iter().position(|r| matches!(r, Some(Err(_))))
        && let Some(Err(e)) = results.swap_remove(at)
    {
        return Err(e);
    }
    results
        .into_iter()
        .map(|r| r.unwrap_or_else(|| Err(Error::new(Kind::Bug, "a thread that packs a layer died"))))
        .collect()
}
