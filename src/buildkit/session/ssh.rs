//! SSH agents for `RUN --mount=type=ssh` and for git contexts (BuildKit, session/sshforward).
//!
//! A build may list keys and have things signed, and nothing else: requests that would change the
//! agent are refused here, as buildx does it. Key files are held by an `ssh-agent` of the build's own.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::plan::SshMount;

/// The metadata that names the agent a build asks for (session/sshforward, `KeySSHID`).
const ID_KEY: &str = "buildkit.ssh.id";
/// The agent that a build asks for when it names none.
const DEFAULT_ID: &str = "default";
/// The longest message of an agent, in bytes (OpenSSH, ssh-agent.c, `AGENT_MAX_LEN`).
const MAX_MESSAGE: usize = 256 * 1024;
/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST` (draft-ietf-sshm-ssh-agent, 6.1).
const ALLOWED: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE`, as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// The largest file that is taken for a key, in bytes.
const LARGEST_KEY: u64 = 64 * 1024;
/// How long an agent of our own may take to open its socket.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How often its socket is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The agents of one build, by the ids under which it asks for them.
#[derive(Debug, Default)]
pub(in crate::buildkit) struct Agents {
    sockets: HashMap<String, PathBuf>,
    /// Held until the build is over.
    own: Vec<OwnAgent>,
}

/// An agent that was started for this build. It ends with it.
#[derive(Debug)]
struct OwnAgent {
    _process: Child,
    _folder: TempDir,
}

impl Agents {
    /// Finds the agents that are wanted, and starts one for each set of key files. `socket` is that
    /// of the user's own agent, where there is one.
    pub(in crate::buildkit) async fn start(
        wanted: &[SshMount],
        socket: Option<PathBuf>,
    ) -> Result<Self, String> {
        let mut agents = Self::default();
        for mount in wanted {
            let found = match mount.paths.as_slice() {
                [] => socket.clone().ok_or_else(|| {
                    format!(
                        "ssh `{}`: there is no agent: SSH_AUTH_SOCK is not set",
                        mount.id
                    )
                })?,
                [path] if is_socket(path) => path.clone(),
                keys => {
                    let (own, socket) = OwnAgent::with_keys(keys)
                        .await
                        .map_err(|message| format!("ssh `{}`: {message}", mount.id))?;
                    agents.own.push(own);
                    socket
                }
            };
            agents.sockets.insert(mount.id.clone(), found);
        }
        Ok(agents)
    }

    /// Whether a build may ask for none.
    pub(in crate::buildkit) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    fn socket(&self, id: &str) -> Result<&Path, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let found = self.sockets.get(id).map(PathBuf::as_path);
        // The words by which BuildKit's solver knows that an optional mount is not there.
        found.ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

/// A connection to an agent.
#[cfg(unix)]
type Connection = tokio::net::UnixStream;
#[cfg(not(unix))]
type Connection = tokio::io::DuplexStream;

#[cfg(unix)]
async fn connect(socket: &Path) -> std::io::Result<Connection> {
    Connection::connect(socket).await
}

#[cfg(not(unix))]
async fn connect(_: &Path) -> std::io::Result<Connection> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(not(unix))]
fn is_socket(_: &Path) -> bool {
    false
}

impl OwnAgent {
    /// Starts `ssh-agent` and gives it the keys. A key with a passphrase is refused: nobody is asked
    /// for it.
    async fn with_keys(keys: &[PathBuf]) -> Result<(Self, PathBuf), String> {
        let mut read = Vec::with_capacity(keys.len());
        for path in keys {
            let key = private_key(path).map_err(|error| format!("{}: {error}", path.display()))?;
            read.push((path, key));
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let socket = folder.path().join("agent");
        let mut process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("ssh-agent, which holds the keys, cannot be run: {error}"))?;
        let opened = async {
            while !is_socket(&socket) {
                if let Ok(Some(status)) = process.try_wait() {
                    return Err(format!("ssh-agent ended at once ({status})"));
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_LIMIT, opened)
            .await
            .map_err(|_| "ssh-agent does not begin".to_owned())??;
        for (path, key) in &read {
            let added = add(&socket, key).await;
            added.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let own = Self {
            _process: process,
            _folder: folder,
        };
        Ok((own, socket))
    }
}

/// The bytes of a key's file. One whose file others may read is taken all the same, as buildx does; a
/// pipe is not, as nobody says for how long it would be waited for.
fn private_key(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LARGEST_KEY + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_KEY {
        return Err(std::io::Error::other("it is too large for a key"));
    }
    Ok(bytes)
}

/// Gives a key to the agent at `socket`.
async fn add(socket: &Path, key: &[u8]) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("ssh-add cannot be run: {error}");
    let mut process = Command::new("ssh-add")
        .args(["-q", "-"])
        .env("SSH_AUTH_SOCK", socket)
        // A question for a passphrase is answered by nobody, and at once.
        .env("SSH_ASKPASS", "false")
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    if let Some(mut input) = process.stdin.take() {
        // What it does not read it says why.
        let _ = input.write_all(key).await;
    }
    let added = tokio::time::timeout(START_LIMIT, process.wait_with_output()).await;
    let added = added.map_err(|_| "ssh-add does not end".to_owned())?;
    let added = added.map_err(cannot)?;
    if added.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&added.stderr);
    let reason = said.lines().find_map(|line| {
        let line = line.strip_prefix("Error loading key \"(stdin)\":")?;
        (!line.trim().is_empty()).then(|| line.trim().to_owned())
    });
    let usual = "it has a passphrase, or is no private key";
    Err(reason.map_or_else(|| usual.to_owned(), |reason| format!("{usual} ({reason})")))
}

#[tonic::async_trait]
impl Ssh for Agents {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.socket(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID_KEY);
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let agent = connect(self.socket(id)?)
            .await
            .map_err(|error| Status::failed_precondition(format!("ssh agent: {error}")))?;
        let (sender, receiver) = mpsc::channel(1);
        // Ends with the stream: the builder closes it, or the session ends.
        tokio::spawn(async move {
            if let Err(status) = forward(request.into_inner(), agent, &sender).await {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Hands requests to the agent and its answers back, one after the other.
async fn forward(
    mut stream: Streaming<BytesMessage>,
    mut agent: Connection,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> Result<(), Status> {
    let mut come = BytesMut::new();
    loop {
        let answer = match next_message(&mut come)? {
            Some(request) => {
                let allowed = request.get(4).is_some_and(|kind| ALLOWED.contains(kind));
                if allowed {
                    ask(&mut agent, &request).await?
                } else {
                    FAILURE.to_vec()
                }
            }
            None => match stream.next().await {
                Some(message) => {
                    come.extend_from_slice(&message?.data);
                    continue;
                }
                None => return Ok(()),
            },
        };
        if answers
            .send(Ok(BytesMessage { data: answer }))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

/// The next whole message of what has come: its length, then as many bytes.
fn next_message(come: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(length) = come.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_MESSAGE {
        return Err(too_long());
    }
    if come.len() < 4 + length {
        return Ok(None);
    }
    Ok(Some(come.split_to(4 + length).freeze()))
}

fn too_long() -> Status {
    Status::invalid_argument(format!(
        "a message for an ssh agent has more than {MAX_MESSAGE} bytes"
    ))
}

/// One question to the agent.
async fn ask(agent: &mut Connection, request: &[u8]) -> Result<Vec<u8>, Status> {
    let lost = |error: std::io::Error| Status::failed_precondition(format!("ssh agent: {error}"));
    agent.write_all(request).await.map_err(lost)?;
    let mut length = [0; 4];
    agent.read_exact(&mut length).await.map_err(lost)?;
    let bytes = length.as_slice().get_u32() as usize;
    if bytes > MAX_MESSAGE {
        return Err(too_long());
    }
    let mut answer = Vec::with_capacity(4 + bytes);
    answer.put_slice(&length);
    answer.resize(4 + bytes, 0);
    let body = answer.get_mut(4..).unwrap_or_default();
    agent.read_exact(body).await.map_err(lost)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_a_file_of_a_keys_size_and_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| private_key(path).unwrap_err().to_string();
        assert_eq!(said(folder.path()), "it is no file");
        assert_eq!(said(Path::new("/dev/zero")), "it is no file");
        let key = folder.path().join("key");
        std::fs::write(&key, "a key").unwrap();
        assert_eq!(private_key(&key).unwrap(), b"a key");
        std::fs::write(&key, vec![b'x'; 70_000]).unwrap();
        assert_eq!(said(&key), "it is too large for a key");
    }

    #[test]
    fn messages_are_taken_whole_however_they_come() {
        let mut come = BytesMut::new();
        for byte in [0, 0, 0, 1, 11, 0, 0, 0] {
            assert!(come.len() >= 4 || next_message(&mut come).unwrap().is_none());
            come.put_u8(byte);
        }
        let message = next_message(&mut come).unwrap().unwrap();
        assert_eq!(message.as_ref(), [0, 0, 0, 1, 11]);
        assert!(next_message(&mut come).unwrap().is_none());
        assert_eq!(come.len(), 3);
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_before_it_is_kept() {
        let mut come = BytesMut::from([0xff, 0xff, 0xff, 0xff].as_slice());
        assert!(next_message(&mut come).is_err());
    }
}
