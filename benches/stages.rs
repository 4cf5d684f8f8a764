//! The stages of a build, each alone: headers, reading and hashing, codecs, and the look into the cache.
//!
//! `cargo bench --no-default-features --features cli --bench stages`; `speed.py` beside it measures whole builds.

use std::hint::black_box;
use std::io::{self, Read};
use std::time::SystemTime;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use floe::blob::codec::{CODECS, Pool};
use floe::blob::{Hashing, Recipe};
use floe::event::Quiet;
use floe::model::Tree;
use floe::model::tree::Selected;
use floe::pack::cache::Cache;
use floe::pack::{Layer, hash};
use floe::plan::split::{Material, layers};
use floe::plan::{Compression, ImagePath, LayerPlan, Owner};
use tempfile::TempDir;

/// Bytes of the content that is hashed and compressed.
const CONTENT: usize = 32 << 20;
/// Small files of a layer.
const FILES: usize = 5000;

/// Half text, half noise.
fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..size)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (i >> 16) & 1 == 0 { b"weights and biases "[i % 19] } else { (state >> 32) as u8 }
        })
        .collect()
}

fn planned(dir: &TempDir) -> (Tree, Vec<LayerPlan>) {
    let all = [Selected { source: dir.path().to_owned(), dest: Vec::new() }];
    let tree = Tree::scan(&all, &|_, _| false, false).expect("the folder can be read");
    let material = Material {
        tree: &tree,
        role: &|_| "weights",
        folder: ImagePath::new("model/files").expect("a path"),
        contract: Vec::new(),
        compression: Compression::None,
        base_layers: 0,
    };
    let layers = layers(&material).expect("a plan can be made");
    (tree, layers)
}

fn folder(files: usize, size: usize) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let bytes = content(size);
    for i in 0..files {
        std::fs::write(dir.path().join(format!("f{i:05}.bin")), &bytes).expect("a file can be written");
    }
    dir
}

/// A layer is read, laid out as a tar and hashed: one large file, and many small ones.
fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("tar and hash");
    for (name, files, size) in [("one file", 1, CONTENT), ("small files", FILES, 4096)] {
        let dir = folder(files, size);
        let (tree, plans) = planned(&dir);
        group.throughput(Throughput::Bytes((files * size) as u64));
        for threads in [1, 2] {
            let recipes: Vec<_> = plans
                .iter()
                .map(|p| Layer::new(p, &tree, Owner::default(), threads).expect("a recipe can be made"))
                .collect();
            group.bench_function(format!("{name}, {threads} threads"), |b| {
                b.iter(|| recipes.iter().for_each(|r| drop(black_box(hash(r, &Quiet).expect("it is read")))));
            });
        }
    }
    group.finish();
}

/// The tar alone, without a hash that is worth the name: what headers and reading cost.
fn headers(c: &mut Criterion) {
    let dir = folder(FILES, 1);
    let (tree, plans) = planned(&dir);
    c.bench_function("tar of small files, not hashed", |b| {
        b.iter(|| {
            for plan in &plans {
                let recipe = Layer::new(plan, &tree, Owner::default(), 1).expect("a recipe can be made");
                black_box(recipe.size());
                recipe.open().expect("it opens").read_exact(&mut [0; 512]).expect("it begins");
            }
        });
    });
}

fn hashing(c: &mut Criterion) {
    let bytes = content(CONTENT);
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Bytes(CONTENT as u64));
    let mut buffer = vec![0; floe::blob::CHUNK];
    let mut drain = |mut reader: Hashing<&[u8]>| {
        while reader.read(&mut buffer).expect("memory can be read") > 0 {}
        black_box(reader.finish().0)
    };
    group.bench_function("here", |b| b.iter(|| drain(Hashing::new(&bytes[..]))));
    group.bench_function("beside", |b| b.iter(|| drain(Hashing::beside(&bytes[..]))));
    group.finish();
}

fn codecs(c: &mut Criterion) {
    let bytes = content(CONTENT);
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes(CONTENT as u64)).sample_size(10);
    for codec in CODECS {
        for threads in [1, 2] {
            let pool = Pool::new(threads);
            group.bench_function(format!("{codec}, {threads} threads"), |b| {
                b.iter(|| {
                    let mut stream = codec.encode(&bytes[..], threads, &pool).expect("it starts");
                    io::copy(&mut stream, &mut io::sink()).expect("memory can be read")
                });
            });
        }
    }
    group.finish();
}

/// A layer of many files that is remembered: its key is made, and its digest looked up.
fn remembered(c: &mut Criterion) {
    let dir = folder(FILES, 1);
    let (tree, plans) = planned(&dir);
    let memory = tempfile::tempdir().expect("a temporary folder can be made");
    let cache = Cache::new(memory.path().to_owned(), true);
    // Files that were just written are not remembered.
    std::thread::sleep(floe::pack::cache::QUIET);
    let begun = SystemTime::now();
    for plan in &plans {
        let recipe = Layer::new(plan, &tree, Owner::default(), 1).expect("a recipe can be made");
        let packed = hash(&recipe, &Quiet).expect("it is read");
        let key = cache.layer(plan, &tree, Owner::default()).expect("files have stamps");
        cache.put(&key, &packed, begun).expect("it is remembered");
        assert_eq!(cache.get(&key), Some(packed));
    }
    c.bench_function("cache, 5000 files", |b| {
        b.iter(|| {
            for plan in &plans {
                let key = cache.layer(plan, &tree, Owner::default()).expect("files have stamps");
                black_box(cache.get(&key));
            }
        });
    });
}

criterion_group!(benches, headers, reading, hashing, codecs, remembered);
criterion_main!(benches);
