//! Where the bytes of a blob come from: memory, a file, or another registry. They come in pieces. Those of
//! another registry are verified on the way, and the last piece is not handed out before all of them are
//! right.

use std::io::{self, Read as _, Seek as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use reqwest::Method;
use tokio::time::Instant;

use super::call::Call;
use super::host::Host;
use super::network::network_fault;
use super::retry::Tries;
use super::scope::Scopes;
use super::verify::Verifier;
use super::wire::refuse_encoding;
use crate::cx::Cx;
use crate::execute::ports::{LayerFile, RegistryError, RegistryFault};
use crate::oci::{Descriptor, Digest, Repository};

/// A transfer that moves less than this within the stall limit is dead.
pub(super) const ALIVE: u64 = 16 * 1024;
/// Progress after which a transfer that was cut has earned new patience.
pub(super) const PROGRESS: u64 = 1024 * 1024;

/// How much of a blob in memory is handed out at once, so that its way out can be watched.
const MEMORY_PIECE: usize = 64 * 1024;
/// The same for one in a file.
const FILE_PIECE: u64 = 256 * 1024;

/// A blob, piece by piece.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>;

/// The bytes of a blob, which can be read from any offset, more than once.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// All of them are here.
    Memory(Bytes),
    /// They are read from a layer's file, which castoff itself wrote and hashed.
    File(Arc<LayerFile>),
    /// They are read from a registry.
    Remote(Remote),
}

/// A blob in a registry.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) cx: Cx,
    pub(super) host: Arc<Host>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) size: u64,
    verifier: Arc<Mutex<Verifier>>,
    /// Why reading ended for good, where it did.
    failure: Arc<Mutex<Option<RegistryError>>>,
}

impl Source {
    /// The blob of `descriptor` in `repository` on `host`.
    pub(super) fn remote(
        cx: &Cx,
        host: Arc<Host>,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Self {
        Self::Remote(Remote {
            cx: cx.clone(),
            host,
            repository: repository.clone(),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            verifier: Arc::new(Mutex::new(Verifier::new(&descriptor.digest))),
            failure: Arc::default(),
        })
    }

    /// Why reading failed for good, where it did. Taking it leaves nothing.
    pub(super) fn failure(&self) -> Option<RegistryError> {
        match self {
            Self::Memory(_) | Self::File(_) => None,
            Self::Remote(remote) => remote.failure.lock().ok()?.take(),
        }
    }

    /// The bytes from `offset` on.
    pub(super) fn open(&self, offset: u64) -> Pieces {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.slice(start.min(bytes.len())..);
                let starts = (0..rest.len()).step_by(MEMORY_PIECE);
                Box::pin(stream::iter(starts.map(move |start| {
                    Ok(rest.slice(start..rest.len().min(start + MEMORY_PIECE)))
                })))
            }
            Self::File(layer) => Box::pin(read_file(Arc::clone(layer), offset)),
            Self::Remote(remote) => Box::pin(read_from(remote.clone(), offset)),
        }
    }
}

/// The bytes of a layer's file from `offset` on. Several may read at the same time.
fn read_file(
    layer: Arc<LayerFile>,
    offset: u64,
) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send {
    stream::unfold(Some(offset), move |offset| {
        let layer = Arc::clone(&layer);
        async move {
            let offset = offset.filter(|offset| *offset < layer.size)?;
            let digest = layer.digest.clone();
            let read = tokio::task::spawn_blocking(move || file_piece(&layer, offset)).await;
            match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(piece) => {
                    let next = offset + piece.len() as u64;
                    Some((Ok(piece), Some(next)))
                }
                Err(error) => {
                    let error = RegistryError {
                        doing: format!("read layer {digest}"),
                        host: String::new(),
                        fault: RegistryFault::Protocol {
                            message: error.to_string(),
                        },
                    };
                    Some((Err(error), None))
                }
            }
        }
    })
}

fn file_piece(layer: &LayerFile, offset: u64) -> io::Result<Bytes> {
    let mut file = layer.file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(io::SeekFrom::Start(offset))?;
    let length = (layer.size - offset).min(FILE_PIECE);
    let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    (&mut *file).take(length).read_to_end(&mut piece)?;
    if piece.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(piece.into())
}

/// The bytes of a remote blob from `offset` on, with what is cut asked for again.
fn read_from(
    remote: Remote,
    offset: u64,
) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send {
    let doing = format!("read {}@{}", remote.repository, remote.digest);
    let patience = remote.host.common.options.patience;
    let who = (remote.host.name.as_str(), &remote.host.presence);
    let reader = Reader {
        tries: Tries::of_transfer(&remote.cx, patience, who, doing),
        remote,
        offset,
        response: None,
        skip: 0,
        began: Instant::now(),
        alive: 0,
        failed_at: offset,
    };
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
            Ok(None) => None,
            Err(error) => {
                if let Ok(mut failure) = reader.remote.failure.lock() {
                    *failure = Some(error.clone());
                }
                Some((Err(error), None))
            }
        }
    })
}

struct Reader {
    remote: Remote,
    /// How far we are.
    offset: u64,
    response: Option<reqwest::Response>,
    /// Bytes of the present answer that we have already.
    skip: u64,
    /// When, and with how many bytes since, the transfer last proved to be alive.
    began: Instant,
    alive: u64,
    tries: Tries,
    /// How far we were when it was last cut.
    failed_at: u64,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.offset >= self.remote.size {
            return Ok(None);
        }
        loop {
            match self.piece().await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(fault) => {
                    self.response = None;
                    if self.offset - self.failed_at > PROGRESS {
                        self.tries.made_progress();
                    }
                    self.failed_at = self.offset;
                    self.tries.after(fault).await?;
                }
            }
        }
    }

    /// The next piece of the answer that is open, or of a new one.
    async fn piece(&mut self) -> Result<Bytes, RegistryFault> {
        let stall = self.remote.host.common.options.timeouts.stall;
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.ask().await?,
        };
        loop {
            let chunk = tokio::time::timeout_at(self.began + stall, response.chunk()).await;
            let chunk = chunk.map_err(|_| RegistryFault::TimedOut { after: stall })?;
            let host = &self.remote.host.name;
            let chunk = chunk.map_err(|error| network_fault(&error, host))?;
            let Some(chunk) = chunk else {
                return Err(RegistryFault::Lost {
                    host: host.clone(),
                    message: "the blob ends too early".to_owned(),
                });
            };
            self.alive += chunk.len() as u64;
            if self.alive >= ALIVE {
                (self.began, self.alive) = (Instant::now(), 0);
            }
            if let Some(bytes) = self.take(chunk)? {
                self.response = Some(response);
                return Ok(bytes);
            }
        }
    }

    /// What is new in a chunk: counted, verified, and when it is the last one, checked.
    fn take(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, RegistryFault> {
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        bytes::Buf::advance(&mut chunk, usize::try_from(skipped).unwrap_or(usize::MAX));
        if chunk.is_empty() {
            return Ok(None);
        }
        let size = self.remote.size;
        if self.offset + chunk.len() as u64 > size {
            return Err(RegistryFault::Protocol {
                message: format!("blob {} has more than {size} bytes", self.remote.digest),
            });
        }
        let Ok(mut verifier) = self.remote.verifier.lock() else {
            return Ok(None);
        };
        verifier.take(self.offset, &chunk);
        self.offset += chunk.len() as u64;
        if self.offset == size {
            verifier.check()?;
        }
        Ok(Some(chunk))
    }

    /// Asks for what is still missing.
    async fn ask(&mut self) -> Result<reqwest::Response, RegistryFault> {
        let remote = &self.remote;
        let path = remote.repository.path();
        let mut call = Call::new(
            Method::GET,
            format!("{path}/blobs/{}", remote.digest),
            Scopes::pull(path),
        );
        if self.offset > 0 {
            // Some registries know a range with both its ends only.
            let range = format!("bytes={}-{}", self.offset, remote.size - 1);
            call = call.with_header("range", &range);
        }
        let response = remote.host.open(&call, &[200, 206]).await?;
        refuse_encoding(response.headers())?;
        let header = |name| response.headers().get(name)?.to_str().ok();
        let wrong = |message: String| RegistryFault::Protocol { message };
        let length = header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let expected = if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = header(CONTENT_RANGE).and_then(range_start);
            if range != Some(self.offset) {
                return Err(wrong(format!("another range than from {}", self.offset)));
            }
            self.skip = 0;
            remote.size - self.offset
        } else {
            self.skip = self.offset;
            remote.size
        };
        if length.is_some_and(|length| length != expected) {
            return Err(wrong(format!(
                "blob {} has {} bytes and not {}",
                remote.digest,
                length.unwrap_or_default(),
                remote.size
            )));
        }
        (self.began, self.alive) = (Instant::now(), 0);
        Ok(response)
    }
}

/// Where a `Content-Range: bytes 5-9/10` begins.
fn range_start(text: &str) -> Option<u64> {
    let range = text.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_from_anywhere_by_many_at_once() {
        use futures_util::TryStreamExt as _;
        use std::io::Write as _;

        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let source = Source::File(Arc::new(LayerFile {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            file: Mutex::new(file),
        }));
        let source = &source;
        let read = |offset| async move {
            let pieces: Vec<Bytes> = source.open(offset).try_collect().await.unwrap();
            pieces.concat()
        };
        let read = &read;
        let (whole, rest) = tokio::join!(read(0), read(300_001));
        assert_eq!(whole, bytes);
        assert_eq!(rest, bytes[300_001..]);
        assert!(read(bytes.len() as u64).await.is_empty());
    }

    #[test]
    fn ranges_begin_somewhere() {
        assert_eq!(range_start("bytes 5-9/10"), Some(5));
        assert_eq!(range_start("bytes 0-0/*"), Some(0));
        assert_eq!(range_start("bytes */10"), None);
        assert_eq!(range_start("5-9"), None);
    }
}
