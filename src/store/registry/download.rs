//! Reading manifests and blobs, verified, across cuts of the connection.
//!
//! A blob is a stream. When it is cut, floe asks for the rest; a registry that cannot give a rest
//! is asked for the whole again, and what was already read is skipped. Bytes that were handed out
//! cannot be taken back, so damaged content is an error of the reader, never a silent repeat.

use std::io::{self, Read};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::Registry;
use super::auth::Scope;
use super::call::{Reply, header, next_pause};
use super::error::{Again, Failure, MAX_ERROR_BODY, broken, place};
use super::names::{accept, lie, too_large};
use crate::blob::{Blob, Origin, Verify};
use crate::error::{Error, Kind, Result};
use crate::oci::Descriptor;
use crate::oci::document::{MAX_MANIFEST, check};
use crate::store::Document;

/// One more interruption is forgiven for so many bytes that arrived.
const FORGIVE: u64 = 64 << 20;

/// A manifest or index by its digest.
pub(super) fn document(registry: &Registry, descriptor: &Descriptor) -> Result<Document> {
    let name = descriptor.digest.to_string();
    if descriptor.size > MAX_MANIFEST as u64 {
        return Err(too_large(registry, &name));
    }
    let path = format!("v2/{}/manifests/{name}", registry.repository);
    let scope = Scope::pull(&registry.repository);
    let doing = format!("read the manifest `{name}`");
    let mut call = registry.call(Method::GET, &path, &scope, &doing);
    call.headers.push((ACCEPT, accept()));
    let (reply, _) = call.ask(MAX_MANIFEST).map_err(|f| f.error)?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            return Err(call.refused(&reply).error.with_kind(Kind::Integrity).hint(LOST));
        }
        _ => return Err(call.refused(&reply).error),
    }
    if reply.body.len() > MAX_MANIFEST {
        return Err(too_large(registry, &name));
    }
    if let Some(claimed) = reply.digest()
        && claimed != descriptor.digest
    {
        return Err(lie(registry, &name, &claimed));
    }
    check(&reply.body, descriptor, &format!("the manifest in `{}`", registry.place()))?;
    Ok(Document { descriptor: descriptor.clone(), bytes: reply.body })
}

const LOST: &str = "the registry lost it, or it was removed; publish it again";

/// A blob in a registry.
pub(super) struct RemoteBlob<'a> {
    registry: &'a Registry,
    descriptor: Descriptor,
}

impl<'a> RemoteBlob<'a> {
    pub(super) fn new(registry: &'a Registry, descriptor: &Descriptor) -> Self {
        Self { registry, descriptor: descriptor.clone() }
    }
}

impl Blob for RemoteBlob<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let mut download = Download {
            registry: self.registry,
            doing: format!("read the blob {}", self.descriptor.digest),
            size: self.descriptor.size,
            path: format!("v2/{}/blobs/{}", self.registry.repository, self.descriptor.digest),
            response: None,
            skip: 0,
            buffer: Vec::new(),
            taken: 0,
            at: 0,
            tried: 0,
            ranges: true,
        };
        // A refusal is told here, not somewhere in the middle of a copy.
        download.reconnect()?;
        let what = format!("the blob in `{}`", self.registry.place());
        Ok(Box::new(Verify::new(download, &self.descriptor, what)))
    }

    fn origin(&self) -> Option<Origin> {
        Some(Origin {
            registry: self.registry.registry().to_owned(),
            repository: self.registry.repository().to_owned(),
        })
    }
}

/// A blob on its way to us. What it gives is not verified yet.
struct Download<'a> {
    registry: &'a Registry,
    doing: String,
    path: String,
    size: u64,
    response: Option<Response>,
    /// Bytes of this response that were handed out before.
    skip: u64,
    buffer: Vec<u8>,
    taken: usize,
    /// Bytes handed out.
    at: u64,
    tried: u32,
    /// Whether the registry may be asked for a part.
    ranges: bool,
}

impl Download<'_> {
    /// Asks for what is still missing, as often as is reasonable.
    fn reconnect(&mut self) -> Result<()> {
        loop {
            match self.connect() {
                Ok(()) => return Ok(()),
                Err(failure) => self.recover(failure)?,
            }
        }
    }

    /// Waits before the next attempt, or says that it is enough.
    fn recover(&mut self, failure: Failure) -> Result<()> {
        self.response = None;
        let forgiven = u32::try_from(self.at / FORGIVE).unwrap_or(u32::MAX);
        let counted = self.tried.saturating_sub(forgiven);
        let (client, host) = (&self.registry.client, &self.registry.host);
        let pause = next_pause(client, host, failure, counted).map_err(|f| f.error)?;
        self.tried += 1;
        client.nap(pause)
    }

    fn connect(&mut self) -> std::result::Result<(), Failure> {
        let scope = Scope::pull(&self.registry.repository);
        let mut call = self.registry.call(Method::GET, &self.path, &scope, &self.doing);
        // A proxy that compresses on the way would change the bytes.
        call.headers.push((ACCEPT_ENCODING, "identity".to_owned()));
        if self.at > 0 && self.ranges {
            call.headers.push((RANGE, format!("bytes={}-", self.at)));
        }
        let (response, _) = call.open()?;
        let status = response.status();
        match status {
            StatusCode::OK => self.skip = self.at,
            StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(self.at) => self.skip = 0,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if self.ranges && self.at > 0 => {
                self.ranges = false;
                return self.connect();
            }
            _ => {
                let what = place(&self.doing, &self.registry.host.name, &self.registry.repository);
                let reply = Reply::read(&self.registry.client, response, MAX_ERROR_BODY, &what)?;
                let mut failure = call.refused(&reply);
                if status == StatusCode::NOT_FOUND {
                    failure.error = failure.error.with_kind(Kind::Integrity).hint(LOST);
                } else if status.is_success() {
                    failure = Failure::never(failure.error.with_kind(Kind::Network));
                }
                return Err(failure);
            }
        }
        self.response = Some(response);
        Ok(())
    }

    /// The next bytes of the response into the buffer; false at its end.
    fn fill(&mut self) -> std::result::Result<bool, Failure> {
        let Some(response) = self.response.as_mut() else { return Ok(false) };
        let stall = self.registry.client.settings().timeouts.stall;
        let what = place(&self.doing, &self.registry.host.name, &self.registry.repository);
        let chunk = self.registry.client.wait(async {
            match tokio::time::timeout(stall, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|e| broken(e, &what)),
                Err(_) => Err(Failure::after(Error::new(
                    Kind::Network,
                    format!("cannot {what}: nothing came for {} seconds", stall.as_secs()),
                ))),
            }
        })??;
        let Some(chunk) = chunk else { return Ok(false) };
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        self.skip -= skipped as u64;
        self.buffer.clear();
        self.buffer.extend_from_slice(&chunk[skipped..]);
        self.taken = 0;
        Ok(true)
    }

    fn cut(&self) -> Failure {
        let what = place(&self.doing, &self.registry.host.name, &self.registry.repository);
        let message = format!("cannot {what}: it ended after {} of {} bytes", self.at, self.size);
        let error = Error::new(Kind::Network, message)
            .hint("the network or the registry cuts connections; try again");
        Failure { error, again: Again::After(None) }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = &self.buffer[self.taken..];
            if !left.is_empty() && !buf.is_empty() {
                let n = left.len().min(buf.len());
                buf[..n].copy_from_slice(&left[..n]);
                self.taken += n;
                self.at += n as u64;
                return Ok(n);
            }
            if buf.is_empty() {
                return Ok(0);
            }
            match self.fill() {
                Ok(true) => {}
                // Everything is here; whether it is right is for the verification to say.
                _ if self.at >= self.size => return Ok(0),
                Ok(false) => {
                    let cut = self.cut();
                    self.recover(cut).and_then(|()| self.reconnect()).map_err(Error::into_io)?;
                }
                Err(failure) => {
                    self.recover(failure).and_then(|()| self.reconnect()).map_err(Error::into_io)?;
                }
            }
        }
    }
}

/// Where a partial answer begins: `Content-Range: bytes 5-9/10`.
fn starts_at(response: &Response) -> Option<u64> {
    start_of_range(header(response.headers(), CONTENT_RANGE.as_str())?)
}

fn start_of_range(text: &str) -> Option<u64> {
    text.trim().strip_prefix("bytes")?.trim_start().split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c36_partial_answers_say_where_they_begin() {
        for (text, start) in [
            ("bytes 5-9/10", Some(5)),
            (" bytes 0-9/*", Some(0)),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes -5-9/10", None),
            ("", None),
        ] {
            assert_eq!(start_of_range(text), start, "{text}");
        }
    }
}
