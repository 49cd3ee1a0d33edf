use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::inputs::{Entry, Filter, Tree, TreeError};

/// How much of a file one packet carries (fsutil, `bufPool`).
const CHUNK: usize = 32 * 1024;
/// How many packets may wait for the wire.
const WAITING: usize = 64;
/// How many files are read at the same time.
const READERS: usize = 4;
/// Permissions of a Dockerfile that is written in a compose file.
const INLINE_MODE: u32 = 0o644;

/// A folder that the builder may read, under the name by which the frontend asks for it.
#[derive(Clone, Debug)]
pub(in crate::buildkit) enum Directory {
    /// A folder on this machine.
    Local(PathBuf),
    /// A folder with one file in it, which is on no disk.
    Inline {
        /// The file's name.
        name: String,
        /// Its content.
        text: String,
    },
}

/// What was sent, counted.
#[derive(Debug, Default)]
pub(in crate::buildkit) struct Sent {
    /// Files whose content was asked for.
    pub(in crate::buildkit) files: AtomicU64,
    /// Bytes of content.
    pub(in crate::buildkit) bytes: AtomicU64,
}

/// Sends folders in fsutil's protocol: every entry's stat, then the content that is asked for.
pub(super) struct Files {
    directories: HashMap<String, Directory>,
    sent: Arc<Sent>,
}

impl Sent {
    /// Adds what was sent in another session.
    pub(in crate::buildkit) fn add(&self, other: &Self) {
        for (ours, theirs) in [(&self.files, &other.files), (&self.bytes, &other.bytes)] {
            ours.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

impl Files {
    pub(super) fn new(directories: HashMap<String, Directory>, sent: Arc<Sent>) -> Self {
        Self { directories, sent }
    }
}

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Packets;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Packets>, Status> {
        let wish = Wish::read(request.metadata())?;
        let Some(directory) = self.directories.get(&wish.directory) else {
            let name = wish.directory;
            return Err(Status::not_found(format!(
                "no access allowed to dir {name:?}"
            )));
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let transfer = Arc::new(Transfer {
            directory: directory.clone(),
            wish,
            names: Mutex::default(),
            sender,
            sent: Arc::clone(&self.sent),
        });
        let work = drive(transfer, request.into_inner());
        // The work runs as part of the stream, so it ends when the call does, whoever ends it.
        let packets = merge_work(work, ReceiverStream::new(receiver));
        Ok(Response::new(Box::pin(packets)))
    }

    type TarStreamStream = Packets;

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        Err(Status::unimplemented("only DiffCopy is served"))
    }
}

/// What the builder wants of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    directory: String,
    include: Vec<String>,
    exclude: Vec<String>,
    follow: Vec<String>,
}

impl Wish {
    /// Reads the call's metadata (BuildKit, session/filesync, `decodeOpts`).
    fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        let list = |key: &str| -> Result<Vec<String>, Status> {
            let is_encoded = metadata
                .get(format!("{key}-encoded"))
                .is_some_and(|flag| flag == "1" || flag == "true");
            metadata
                .get_all(key)
                .iter()
                .map(|value| {
                    let text = value
                        .to_str()
                        .map_err(|_| Status::invalid_argument(format!("{key} is not ASCII")))?;
                    if is_encoded {
                        unescape(text)
                    } else {
                        Ok(text.to_owned())
                    }
                })
                .collect()
        };
        Ok(Self {
            directory: list("dir-name")?.into_iter().next().unwrap_or_default(),
            include: list("include-patterns")?,
            exclude: list("exclude-patterns")?,
            follow: list("followpaths")?,
        })
    }
}

/// Go's `url.QueryUnescape`.
fn unescape(text: &str) -> Result<String, Status> {
    percent_encoding::percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Status::invalid_argument("a pattern is not UTF-8"))
}

/// One folder on its way.
struct Transfer {
    directory: Directory,
    wish: Wish,
    /// Files that may be asked for, by their number in the sequence of stats; each once.
    names: Mutex<HashMap<u32, String>>,
    sender: mpsc::Sender<Result<Packet, Status>>,
    sent: Arc<Sent>,
}

/// The packets, with the work that makes them: an error of the work ends the stream with it.
pub(super) fn merge_work(
    work: impl Future<Output = Result<(), Status>> + Send,
    packets: ReceiverStream<Result<Packet, Status>>,
) -> impl Stream<Item = Result<Packet, Status>> + Send {
    let work = futures_util::stream::once(work).filter_map(|result| result.err().map(Err));
    packets.merge(work)
}

/// Sends the stats on a thread of their own, and meanwhile the files that are asked for.
async fn drive(transfer: Arc<Transfer>, mut requests: Streaming<Packet>) -> Result<(), Status> {
    let mut threads = tokio::task::JoinSet::new();
    let walk = Arc::clone(&transfer);
    threads.spawn_blocking(move || walk.send_stats());
    loop {
        if threads.len() > READERS {
            finished(threads.join_next().await)?;
            continue;
        }
        tokio::select! {
            request = requests.message() => {
                let Some(packet) = request? else {
                    return Ok(());
                };
                match packet.r#type() {
                    PacketType::PacketReq => {
                        let transfer = Arc::clone(&transfer);
                        threads.spawn_blocking(move || transfer.send_file(packet.id));
                    }
                    PacketType::PacketFin => {
                        while let Some(done) = threads.join_next().await {
                            finished(Some(done))?;
                        }
                        transfer.send(PacketType::PacketFin, 0, Vec::new()).await;
                        return Ok(());
                    }
                    PacketType::PacketErr => {
                        let message = String::from_utf8_lossy(&packet.data).into_owned();
                        return Err(Status::aborted(format!("the builder gave up: {message}")));
                    }
                    PacketType::PacketStat | PacketType::PacketData => {}
                }
            }
            done = threads.join_next(), if !threads.is_empty() => finished(done)?,
        }
    }
}

/// What a thread ended with.
fn finished(
    done: Option<Result<Result<(), Status>, tokio::task::JoinError>>,
) -> Result<(), Status> {
    match done {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(Status::internal(error.to_string())),
        None => Ok(()),
    }
}

impl Transfer {
    async fn send(&self, kind: PacketType, id: u32, data: Vec<u8>) {
        // Nobody is left to listen when the call has ended.
        let _ = self.sender.send(Ok(packet(kind, id, data))).await;
    }

    /// Hands a packet over from a thread; `false` when the call has ended.
    fn hand_over(&self, packet: Packet) -> bool {
        self.sender.blocking_send(Ok(packet)).is_ok()
    }

    fn send_stats(&self) -> Result<(), Status> {
        let end = packet(PacketType::PacketStat, 0, Vec::new());
        let mut next = 0;
        let mut send = |entry: Entry| {
            if entry.has_content()
                && let Ok(mut names) = self.names.lock()
            {
                names.insert(next, entry.path.clone());
            }
            next += 1;
            self.hand_over(Packet {
                r#type: PacketType::PacketStat.into(),
                stat: Some(stat(entry)),
                ..Packet::default()
            })
        };
        let walked = match &self.directory {
            Directory::Local(root) => Tree::open(root).and_then(|tree| {
                let wish = &self.wish;
                let filter = Filter::new(&tree, &wish.include, &wish.exclude, &wish.follow)?;
                tree.walk(&filter, &mut send)
            }),
            Directory::Inline { name, text } => {
                send(Entry::inline(name, text.len(), INLINE_MODE));
                Ok(())
            }
        };
        match walked {
            Ok(()) => {
                self.hand_over(end);
                Ok(())
            }
            Err(TreeError::Stopped) => Ok(()),
            Err(error) => {
                let message = describe(&error);
                let data = message.clone().into_bytes();
                self.hand_over(packet(PacketType::PacketErr, 0, data));
                Err(Status::failed_precondition(message))
            }
        }
    }

    /// Sends a file's content. One that vanished or may not be read comes as an empty one, as from
    /// docker; the builder's own check of the size tells.
    fn send_file(&self, id: u32) -> Result<(), Status> {
        let name = self
            .names
            .lock()
            .ok()
            .and_then(|mut names| names.remove(&id));
        let name = name.ok_or_else(|| Status::invalid_argument(format!("invalid file id {id}")))?;
        self.sent.files.fetch_add(1, Ordering::Relaxed);
        match &self.directory {
            Directory::Local(root) => {
                if let Ok(tree) = Tree::open(root)
                    && let Ok(mut file) = tree.open_file(&name)
                {
                    self.send_content(id, &mut file)?;
                }
            }
            Directory::Inline { text, .. } => self.send_content(id, &mut text.as_bytes())?,
        }
        self.hand_over(packet(PacketType::PacketData, id, Vec::new()));
        Ok(())
    }

    fn send_content(&self, id: u32, content: &mut dyn Read) -> Result<(), Status> {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            content
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .map_err(|error| Status::data_loss(error.to_string()))?;
            let length = chunk.len();
            if length == 0 {
                return Ok(());
            }
            self.sent.bytes.fetch_add(length as u64, Ordering::Relaxed);
            if !self.hand_over(packet(PacketType::PacketData, id, chunk)) || length < CHUNK {
                return Ok(());
            }
        }
    }
}

fn packet(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet {
        r#type: kind.into(),
        stat: None,
        id,
        data,
    }
}

/// An entry on the wire. Whoever owns a file on this machine is nobody in an image: user and group
/// are 0 (buildx, `resetUIDAndGID`).
fn stat(entry: Entry) -> Stat {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Stat {
        path: entry.path,
        mode: entry.mode,
        uid: 0,
        gid: 0,
        size: number(entry.size),
        mod_time: entry.modified,
        linkname: entry.link,
        devmajor: number(entry.device.0),
        devminor: number(entry.device.1),
        xattrs: entry.xattrs.into_iter().collect(),
    }
}

/// An error with its cause, as the builder shows it in the build's failure.
fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => {
            format!("{error}: {source}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_from_plain_and_encoded_metadata() {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", "context".parse().unwrap());
        metadata.append("followpaths", "z%C3%BC+rich".parse().unwrap());
        metadata.append("followpaths", "plain".parse().unwrap());
        metadata.insert("followpaths-encoded", "1".parse().unwrap());
        metadata.append("exclude-patterns", "a+b%20".parse().unwrap());
        let wish = Wish::read(&metadata).unwrap();
        assert_eq!(
            wish,
            Wish {
                directory: "context".to_owned(),
                include: vec![],
                exclude: vec!["a+b%20".to_owned()],
                follow: vec!["zü rich".to_owned(), "plain".to_owned()],
            }
        );
    }
}
