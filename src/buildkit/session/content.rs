//! Folders with blobs that a builder reads and writes: image layouts, and caches on this machine.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::content_wire::{
    Action, Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use crate::buildkit::layout::{Ingest, Layout};
use crate::oci::Digest;

/// By which a call names the folder that it is about (BuildKit, session/content, `GRPCHeaderID`).
const STORE: &str = "buildkit-attachable-store-id";
/// How much of a blob one message carries (containerd, contentserver, `bufPool`).
const CHUNK: u64 = 1024 * 1024;
/// The most that is written of a blob whose size nobody said.
const MAX_BLOB: u64 = 64 * 1024 * 1024 * 1024;

pub(super) type Reads = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;
pub(super) type Writes = Pin<Box<dyn Stream<Item = Result<WriteResponse, Status>> + Send>>;

/// The folders that one build may ask for, by the names that it has for them.
#[derive(Clone, Debug, Default)]
pub(in crate::buildkit) struct Stores(HashMap<String, Store>);

#[derive(Clone, Debug)]
struct Store {
    layout: Layout,
    is_writable: bool,
}

impl Stores {
    /// Offers a folder, for reading alone or for writing, too. `kind` is what the builder puts before
    /// the name: `oci` or `local`. The name says nothing of where the folder is.
    pub(in crate::buildkit) fn offer(
        &mut self,
        kind: &str,
        path: &Path,
        layout: Layout,
        is_writable: bool,
    ) -> String {
        let name = Digest::of(path.as_os_str().as_encoded_bytes());
        let name = format!("castoff-{}", name.short());
        let known = self.0.get(&format!("{kind}:{name}"));
        let is_writable = is_writable || known.is_some_and(|store| store.is_writable);
        let store = Store {
            layout,
            is_writable,
        };
        self.0.insert(format!("{kind}:{name}"), store);
        name
    }

    /// Offers a folder for the result of the build (BuildKit, exporter/oci, `NewCallerStore`).
    pub(in crate::buildkit) fn take_export(&mut self, layout: Layout) {
        let store = Store {
            layout,
            is_writable: true,
        };
        self.0.insert("export".to_owned(), store);
    }
}

/// Serves the folders. Everything that touches a disk happens on threads of its own.
pub(super) struct Content {
    stores: Stores,
    /// Blobs that were found to be what their names say, each looked at once for each build.
    verified: Mutex<HashSet<(String, Digest)>>,
}

impl Content {
    pub(super) fn new(stores: Stores) -> Self {
        Self {
            stores,
            verified: Mutex::default(),
        }
    }

    fn store(&self, metadata: &MetadataMap) -> Result<(String, Store), Status> {
        let name = metadata.get(STORE).and_then(|value| value.to_str().ok());
        let name = name.ok_or_else(|| Status::invalid_argument(format!("no {STORE}")))?;
        let store = self.stores.0.get(name).cloned();
        store
            .map(|store| (name.to_owned(), store))
            .ok_or_else(|| Status::not_found(format!("unknown store {name}")))
    }

    pub(super) async fn info(
        &self,
        request: Request<InfoRequest>,
    ) -> Result<Response<InfoResponse>, Status> {
        let (_, store) = self.store(request.metadata())?;
        let digest = parse(&request.get_ref().digest)?;
        let wanted = digest.clone();
        let (_, size) = blocking(move || store.layout.blob(&wanted)).await?;
        Ok(Response::new(InfoResponse {
            info: Some(Info {
                digest: digest.as_str().to_owned(),
                size: signed(size),
                ..Info::default()
            }),
        }))
    }

    pub(super) async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Reads>, Status> {
        let (name, store) = self.store(request.metadata())?;
        let ReadRequest {
            digest,
            offset,
            size,
        } = request.into_inner();
        let digest = parse(&digest)?;
        let key = (name, digest.clone());
        let is_verified = self.verified.lock().is_ok_and(|known| known.contains(&key));
        let (mut file, length) = blocking(move || {
            if !is_verified {
                store.layout.verify(&digest)?;
            }
            store.layout.blob(&digest)
        })
        .await?;
        if let Ok(mut known) = self.verified.lock() {
            known.insert(key);
        }
        let start = u64::try_from(offset).unwrap_or_default();
        if start > length {
            return Err(Status::out_of_range(format!(
                "read past the {length} bytes of the blob"
            )));
        }
        let rest = length - start;
        let wanted = u64::try_from(size).ok().filter(|size| *size > 0);
        let wanted = wanted.map_or(rest, |size| size.min(rest));
        file.seek(SeekFrom::Start(start))
            .map_err(|error| status(&error))?;
        // One piece is read when the last one was taken, so no more than that is held.
        let chunks = try_unfold((file, 0_u64), move |(mut file, sent)| async move {
            if sent == wanted {
                return Ok(None);
            }
            let (file, data) = blocking(move || {
                let mut data = Vec::new();
                let length = CHUNK.min(wanted - sent);
                (&mut file).take(length).read_to_end(&mut data)?;
                Ok((file, data))
            })
            .await?;
            if data.is_empty() {
                return Err(Status::data_loss("the blob became shorter"));
            }
            let after = sent + data.len() as u64;
            let response = ReadResponse {
                offset: signed(sent),
                data,
            };
            Ok(Some((response, (file, after))))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    pub(super) fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Writes>, Status> {
        let (_, store) = self.store(request.metadata())?;
        if !store.is_writable {
            return Err(Status::permission_denied("this store is only read"));
        }
        let requests = request.into_inner();
        let writing = Writing {
            layout: store.layout,
            ingest: None,
            total: 0,
            expected: None,
        };
        let answers = try_unfold(
            (requests, Some(writing)),
            |(mut requests, writing)| async move {
                let Some(writing) = writing else {
                    return Ok(None);
                };
                let Some(request) = requests.message().await? else {
                    return Ok(None);
                };
                let (writing, response) =
                    tokio::task::spawn_blocking(move || writing.take(&request))
                        .await
                        .map_err(|error| Status::internal(error.to_string()))??;
                Ok(Some((response, (requests, writing))))
            },
        );
        Ok(Response::new(Box::pin(answers)))
    }
}

/// A blob on its way in (containerd, contentserver, `Write`).
struct Writing {
    layout: Layout,
    ingest: Option<Ingest>,
    /// How long it will be; 0 where nobody said.
    total: u64,
    expected: Option<Digest>,
}

impl Writing {
    /// Does what one message asks for. After a commit there is nothing left to write to.
    fn take(mut self, request: &WriteRequest) -> Result<(Option<Self>, WriteResponse), Status> {
        if self.ingest.is_none() && request.name.is_empty() {
            return Err(Status::invalid_argument(
                "the first message must have a reference",
            ));
        }
        if request.total > 0 {
            self.total = u64::try_from(request.total).unwrap_or_default();
        }
        if !request.expected.is_empty() {
            let expected = parse(&request.expected)?;
            if self.layout.verify(&expected).is_ok() {
                return Err(Status::already_exists(format!("blob {expected} exists")));
            }
            self.expected = Some(expected);
        }
        let mut ingest = match self.ingest.take() {
            Some(ingest) => ingest,
            None => self.layout.begin().map_err(|error| status(&error))?,
        };
        let action = request.action();
        if action != Action::Stat {
            let offset = u64::try_from(request.offset).unwrap_or_default();
            if offset == 0 && ingest.written() > 0 {
                ingest.clear().map_err(|error| status(&error))?;
            }
            if offset != ingest.written() {
                return Err(Status::out_of_range(format!(
                    "write at {offset} must be at {}",
                    ingest.written()
                )));
            }
            let limit = if self.total > 0 { self.total } else { MAX_BLOB };
            if offset + request.data.len() as u64 > limit {
                return Err(Status::out_of_range(format!("more than {limit} bytes")));
            }
            let written = ingest.write(&request.data);
            written.map_err(|error| status(&error))?;
        }
        let mut response = WriteResponse {
            action: action.into(),
            started_at: Some(bollard_buildkit_proto::google::protobuf::Timestamp::default()),
            updated_at: Some(bollard_buildkit_proto::google::protobuf::Timestamp::default()),
            offset: signed(ingest.written()),
            total: signed(self.total),
            digest: ingest.digest().as_str().to_owned(),
        };
        if action != Action::Commit {
            self.ingest = Some(ingest);
            return Ok((Some(self), response));
        }
        if self.total > 0 && ingest.written() != self.total {
            return Err(Status::failed_precondition(format!(
                "unexpected size {} of {}",
                ingest.written(),
                self.total
            )));
        }
        let digest = ingest.digest();
        if let Some(expected) = self.expected.filter(|expected| *expected != digest) {
            return Err(Status::failed_precondition(format!(
                "unexpected digest {digest} of {expected}"
            )));
        }
        let digest = ingest.commit().map_err(|error| status(&error))?;
        digest.as_str().clone_into(&mut response.digest);
        Ok((None, response))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| status(&error))
}

fn status(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::NotFound => Status::not_found("content not found"),
        io::ErrorKind::PermissionDenied => Status::permission_denied(error.to_string()),
        io::ErrorKind::InvalidData => Status::data_loss(error.to_string()),
        _ => Status::unknown(error.to_string()),
    }
}

fn parse(digest: &str) -> Result<Digest, Status> {
    digest
        .parse()
        .map_err(|error: crate::oci::DigestError| Status::invalid_argument(error.to_string()))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn writing() -> (tempfile::TempDir, Writing) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let writing = Writing {
            layout,
            ingest: None,
            total: 0,
            expected: None,
        };
        (folder, writing)
    }

    fn request(action: Action, offset: i64, data: &[u8]) -> WriteRequest {
        WriteRequest {
            action: action.into(),
            name: "one".to_owned(),
            offset,
            data: data.to_vec(),
            ..WriteRequest::default()
        }
    }

    fn code(result: Result<(Option<Writing>, WriteResponse), Status>) -> Code {
        result.err().unwrap().code()
    }

    #[test]
    fn a_blob_is_written_in_pieces_and_put_in_its_place() {
        let (folder, writing) = writing();
        let (writing, _) = writing.take(&request(Action::Stat, 0, b"")).unwrap();
        let first = request(Action::Write, 0, b"he");
        let (writing, response) = writing.unwrap().take(&first).unwrap();
        assert_eq!(response.offset, 2);
        let mut last = request(Action::Commit, 2, b"llo");
        last.expected = Digest::of(b"hello").as_str().to_owned();
        last.total = 5;
        let (writing, response) = writing.unwrap().take(&last).unwrap();
        assert!(writing.is_none());
        assert_eq!(response.digest, last.expected);
        let layout = Layout::open(folder.path()).unwrap();
        layout.verify(&Digest::of(b"hello")).unwrap();
        // What is there is not written again.
        let again = Writing {
            layout,
            ingest: None,
            total: 0,
            expected: None,
        };
        assert_eq!(code(again.take(&last)), Code::AlreadyExists);
    }

    #[test]
    fn a_blob_that_is_not_what_was_said_is_not_kept() {
        for (expected, total, data) in [
            (Digest::of(b"other").as_str(), 0, &b"hello"[..]),
            ("", 6, b"hello"),
            ("", 4, b"hello"),
            ("sha256:../../etc", 0, b"hello"),
        ] {
            let (folder, writing) = writing();
            let mut request = request(Action::Commit, 0, data);
            request.expected = expected.to_owned();
            request.total = total;
            assert!(writing.take(&request).is_err(), "{expected} {total}");
            assert!(!folder.path().join("blobs").exists());
        }
    }

    #[test]
    fn pieces_come_in_their_order_and_may_begin_again() {
        let (_folder, first) = writing();
        assert_eq!(
            code(first.take(&request(Action::Write, 3, b"lo"))),
            Code::OutOfRange
        );
        let (_folder, first) = writing();
        let (second, _) = first.take(&request(Action::Write, 0, b"wrong")).unwrap();
        let again = request(Action::Commit, 0, b"right");
        let (_, response) = second.unwrap().take(&again).unwrap();
        assert_eq!(response.digest, Digest::of(b"right").as_str());
    }

    #[test]
    fn only_what_is_offered_can_be_asked_for_and_only_some_of_it_written() {
        let (folder, writing) = writing();
        let mut stores = Stores::default();
        let name = stores.offer("oci", folder.path(), writing.layout.clone(), false);
        assert!(!name.contains('/'));
        let content = Content::new(stores.clone());
        let metadata = |store: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert(STORE, store.parse().unwrap());
            metadata
        };
        assert!(content.store(&MetadataMap::new()).is_err());
        assert!(content.store(&metadata("local:/etc")).is_err());
        let (_, store) = content.store(&metadata(&format!("oci:{name}"))).unwrap();
        assert!(!store.is_writable);
        stores.offer("local", folder.path(), writing.layout.clone(), true);
        stores.offer("local", folder.path(), writing.layout, false);
        let (_, store) = Content::new(stores)
            .store(&metadata(&format!("local:{name}")))
            .unwrap();
        assert!(store.is_writable);
    }
}
