//! A program as a layer: one static executable that an empty image can start.
//!
//! The layer is a function of the program's bytes alone: one entry, `/floe`, with fixed mode, owner
//! and time, always gzipped, whatever is chosen for a model's layers. It is packed once at most and kept in
//! memory, so that what was looked at, what was hashed and what is stored are the same bytes; where the cache
//! knows its digests and nobody wants its bytes, it is not read at all.
//!
//! Invariant: a [`Program`] that exists runs on its platform without any other file, as far as its
//! headers tell.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use super::cache::Cache;
use super::elf::{Elf, Fault};
use crate::blob::codec::{self, Codec};
use crate::blob::{Blob, Bytes, Hashing, Packed, copy};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::event::{Event, Observe, Quiet, checkpoint};
use crate::fs::Stamp;
use crate::model::tree::changed;
use crate::oci::{Descriptor, DiffId, Platform};
use crate::plan::MTIME;
use crate::tar;

/// Where the program lies in the image, relative to its root.
pub const PATH: &str = "floe";
/// The largest program that is packed: it is kept in memory, compressed.
pub const MAX_PROGRAM: u64 = 1 << 30;

/// A program that was looked at, and is packed or was packed by an earlier build.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    stamp: Stamp,
    threads: usize,
    packed: Packed,
    /// The stored bytes, once somebody wanted them.
    layer: OnceLock<Bytes>,
}

impl Program {
    /// Looks at the program in a file and packs it for a platform. `threads` do not show in the bytes. What the cache
    /// remembers of it is not packed before it is wanted.
    ///
    /// # Errors
    ///
    /// [`Kind::Model`] for what cannot run alone on the platform: no ELF executable, one that is
    /// linked against libraries, one for another machine.
    pub fn pack(
        path: &Path,
        platform: &Platform,
        threads: usize,
        cache: Option<&Cache>,
        see: &dyn Observe,
    ) -> Result<Self> {
        let mut file = crate::fs::open_regular(path)?;
        let stamp = Stamp::of(&file.metadata().at("stat", path)?);
        check(&mut file, path, stamp.size, platform)?;
        let key = cache.and_then(|c| c.program(path, &stamp));
        let program = |packed, layer| Self { path: path.to_owned(), stamp, threads, packed, layer };
        if let Some(packed) = cache.zip(key.as_ref()).and_then(|(c, k)| c.get(k)) {
            return Ok(program(packed, OnceLock::new()));
        }
        let begun = SystemTime::now();
        let (packed, layer) = make(path, &stamp, threads, see)?;
        if let Some((cache, key)) = cache.zip(key.as_ref())
            && let Err(e) = cache.put(key, &packed, begun)
        {
            see.on(Event::Note { message: format!("the digest of the program was not remembered: {e}") });
        }
        Ok(program(packed, OnceLock::from(layer)))
    }

    /// The layer's digests.
    pub fn packed(&self) -> Packed {
        self.packed.clone()
    }
}

impl Blob for Program {
    fn descriptor(&self) -> &Descriptor {
        &self.packed.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let layer = match self.layer.get() {
            Some(layer) => layer,
            None => {
                let (packed, layer) = make(&self.path, &self.stamp, self.threads, &Quiet)?;
                if packed != self.packed {
                    return Err(changed(&self.path));
                }
                self.layer.get_or_init(|| layer)
            }
        };
        layer.open()
    }
}

/// Packs a program whose file has to be in the state of the stamp before and after.
fn make(path: &Path, stamp: &Stamp, threads: usize, see: &dyn Observe) -> Result<(Packed, Bytes)> {
    let kind = tar::Kind::File { size: stamp.size };
    let owned = tar::Stamp { mode: 0o755, uid: 0, gid: 0, mtime: MTIME };
    let head = tar::header(PATH.as_bytes(), &kind, owned, &[]);
    let tail = [&vec![0; tar::padding(stamp.size)][..], &tar::END].concat();
    let length = head.len() as u64 + stamp.size + tail.len() as u64;
    // Hashing what goes in takes as long as compressing it: each reads the file for itself, at once.
    let content = || -> Result<_> {
        let file = crate::fs::open_regular(path)?;
        Ok(std::io::Cursor::new(head.clone())
            .chain(file.take(stamp.size))
            .chain(std::io::Cursor::new(tail.clone())))
    };
    let seen = |_: usize| checkpoint(see).map_err(Error::into_io);
    let (hashed, stored) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| -> Result<_> {
            let mut tar = Hashing::new(content()?);
            copy(&mut tar, &mut std::io::sink(), seen).at("read", path)?;
            Ok(tar.finish())
        });
        let mut stored = Vec::new();
        let packed = content().and_then(|content| {
            copy(&mut codec::quick_gzip(content, threads), &mut stored, seen).at("read", path)
        });
        let hashed = hashing.join().map_err(|_| Error::new(Kind::Bug, "the hashing thread died"))??;
        packed.map(|_| (hashed, stored))
    })?;
    let (diff_id, read, _) = hashed;
    if read != length || Stamp::of(&std::fs::metadata(path).at("stat", path)?) != *stamp {
        return Err(changed(path));
    }
    let layer = Bytes::new(Codec::Gzip.media_type(), stored);
    Ok((Packed { descriptor: layer.descriptor().clone(), diff_id: DiffId(diff_id) }, layer))
}

/// Refuses what would not start in an image that holds nothing else.
fn check(file: &mut File, path: &Path, size: u64, platform: &Platform) -> Result<()> {
    let refuse = |why: String| Error::new(Kind::Model, format!("`{}` {why}", show(path)));
    let another = || {
        format!(
            "give a floe that was built for it with `--floe-binary {platform}=PATH`, or pack the model \
                 without a server with `--runtime data`"
        )
    };
    if platform.os != "linux" {
        return Err(Error::new(Kind::Usage, format!("there is no floe for {platform}, only for Linux"))
            .hint("choose a platform such as linux/amd64, or pack the model without a server with `--runtime data`"));
    }
    if size > MAX_PROGRAM {
        return Err(refuse(format!("has {size} bytes, a program may have {MAX_PROGRAM}"))
            .hint("leave its debug information away: `strip` does that, and so does a release build"));
    }
    let elf = match Elf::read(file, size) {
        Ok(elf) => elf,
        Err(Fault::Io(e)) => return Err(e).at("read", path),
        Err(Fault::Wrong(why)) => return Err(refuse(why).hint(another())),
    };
    let needs = match &elf.interpreter {
        Some(name) => Some(format!("its interpreter is `{}`", show_bytes(name))),
        None => elf.needs_libraries.then(|| "it names them in its dynamic section".to_owned()),
    };
    if let Some(needs) = needs {
        return Err(refuse(format!(
            "is linked against the system's libraries ({needs}), so it cannot run on `scratch`"
        ))
        .hint(format!(
            "build floe with its own `.cargo/config.toml`, which RUSTFLAGS in the environment would replace, \
             or give a static one with `--floe-binary {platform}=PATH`; `--runtime data` packs the model \
             without a server"
        )));
    }
    match elf.architecture() {
        Some(found) if found == platform.architecture => Ok(()),
        Some(found) => {
            Err(refuse(format!("is a program for linux/{found}, not for {platform}")).hint(another()))
        }
        None => Err(refuse(format!(
            "is a program for a machine that floe does not know (number {}), not for {platform}",
            elf.machine()
        ))
        .hint(another())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::program;
    use super::*;
    use crate::oci::Digest;

    const LOAD: u32 = 1;
    const INTERPRETER: u32 = 3;

    fn pack(bytes: &[u8], platform: &str, threads: usize) -> Result<Program> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, bytes).unwrap();
        Program::pack(&path, &platform.parse().unwrap(), threads, None, &Quiet)
    }

    fn unpacked(program: &Program) -> Vec<u8> {
        let mut tar = Vec::new();
        Codec::Gzip.decode(program.open().unwrap()).unwrap().read_to_end(&mut tar).unwrap();
        tar
    }

    #[test]
    fn the_layer_is_the_program_and_nothing_else() {
        let bytes = program(62, &[(LOAD, &[7; 3_000_000])]);
        let packed = pack(&bytes, "linux/amd64", 2).unwrap();
        assert_eq!(packed.descriptor().media_type, crate::oci::media_type::LAYER_GZIP);
        let tar = unpacked(&packed);
        assert_eq!(packed.packed().diff_id.0, Digest::of(&tar));
        let mut archive = ::tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let h = entry.header();
        assert_eq!((h.mode().unwrap(), h.uid().unwrap(), h.gid().unwrap()), (0o755, 0, 0));
        assert_eq!((h.mtime().unwrap(), &*entry.path_bytes()), (1, PATH.as_bytes()));
        let mut found = Vec::new();
        entry.read_to_end(&mut found).unwrap();
        assert!(found == bytes);
        assert!(entries.next().is_none());
    }

    #[test]
    fn threads_do_not_show_and_a_bit_does() {
        let bytes = program(62, &[(LOAD, &[7; 3_000_000])]);
        let of = |bytes: &[u8], threads| pack(bytes, "linux/amd64", threads).unwrap().packed();
        assert_eq!(of(&bytes, 1), of(&bytes, 4));
        let mut other = bytes.clone();
        other[2_000_000] ^= 1;
        assert_ne!(of(&bytes, 1), of(&other, 1));
    }

    #[test]
    fn what_cannot_run_alone_is_refused_with_a_way_out() {
        let fine = program(62, &[(LOAD, b"x")]);
        let dynamic = program(62, &[(INTERPRETER, b"/lib64/ld.so\x1b\0"), (LOAD, b"x")]);
        for (bytes, platform, said) in [
            (&dynamic[..], "linux/amd64", "(its interpreter is `/lib64/ld.so\\u{1b}`), so it cannot run on"),
            (&fine, "linux/arm64", "is a program for linux/amd64, not for linux/arm64"),
            (&program(9999, &[(LOAD, b"x")]), "linux/arm64", "(number 9999)"),
            (b"#!/bin/sh\n", "linux/amd64", "is a script"),
            (b"not ELF at all", "linux/amd64", "is no ELF file"),
            (b"", "linux/amd64", "is no ELF file"),
        ] {
            let e = pack(bytes, platform, 1).unwrap_err();
            assert_eq!(e.kind(), Kind::Model);
            assert!(e.to_string().contains(said), "{e}");
            let hint = e.hint_text().unwrap();
            assert!(hint.contains(&format!("--floe-binary {platform}=PATH")), "{hint}");
        }
        assert_eq!(pack(&fine, "windows/amd64", 1).unwrap_err().kind(), Kind::Usage);
        pack(&program(40, &[(LOAD, b"x")]), "linux/arm/v7", 1).unwrap_err();
        pack(&fine, "linux/amd64/v3", 1).unwrap();
    }

    #[test]
    fn a_folder_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let e = Program::pack(dir.path(), &Platform::host(), 1, None, &Quiet).unwrap_err();
        assert!(e.to_string().contains("not a regular file"), "{e}");
    }
}
