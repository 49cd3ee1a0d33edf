//! Doors to the bed's Engine that the bed does not have: TCP, TLS, a buildkitd's socket; and hands
//! that cut them or hold them shut while a build goes through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::bed::Bed;

/// What is behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The Engine's API.
    Engine,
    /// The BuildKit inside the Engine, as a buildkitd of its own would answer.
    BuildKit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Every connection is held, and nothing passes any more.
    Frozen,
    /// Every connection is closed.
    Cut,
}

/// A door, open for as long as this is held.
pub struct Door {
    /// How it is named: `tcp://127.0.0.1:1234`, `unix:///…`.
    pub address: String,
    state: watch::Sender<State>,
    opened: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
    _folder: Option<tempfile::TempDir>,
}

impl Door {
    /// A TCP port in the clear.
    pub fn tcp(behind: Behind) -> Self {
        Self::listen(behind, None)
    }

    /// A TCP port with TLS, which wants a client certificate of the test CA.
    pub fn tls(behind: Behind) -> Self {
        let protocol: &[u8] = match behind {
            Behind::Engine => b"http/1.1",
            Behind::BuildKit => b"h2",
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(tls_file("ca.pem")).unwrap())
            .unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_file(tls_file("server.pem")).unwrap()],
                PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap(),
            )
            .unwrap();
        // As servers of gRPC do: who does not ask for HTTP/2 is turned away.
        config.alpn_protocols = vec![protocol.to_owned()];
        Self::listen(behind, Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// A unix socket.
    pub fn socket(behind: Behind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let runtime = runtime();
        let guard = runtime.enter();
        let listener = UnixListener::bind(&path).unwrap();
        drop(guard);
        let (state, hear) = watch::channel(State::Open);
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(stream, behind, hear.clone()));
            }
        });
        Self {
            address: format!("unix://{}", path.display()),
            state,
            opened,
            _runtime: runtime,
            _folder: Some(folder),
        }
    }

    fn listen(behind: Behind, tls: Option<TlsAcceptor>) -> Self {
        let runtime = runtime();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, hear) = watch::channel(State::Open);
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (tls, hear) = (tls.clone(), hear.clone());
                tokio::spawn(async move {
                    match tls {
                        None => pass(stream, behind, hear).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                pass(stream, behind, hear).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address: format!("tcp://127.0.0.1:{port}"),
            state,
            opened,
            _runtime: runtime,
            _folder: None,
        }
    }

    /// How many connections came through.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// Closes every connection that there is.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Holds every connection without a word, as a network does that lost its other half.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }
}

/// A file of the test CA.
pub fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// The socket of the bed's Engine.
fn engine() -> PathBuf {
    let host = Bed::var("DOCKER_HOST");
    host.strip_prefix("unix://").unwrap().into()
}

async fn pass(
    mut near: impl AsyncRead + AsyncWrite + Unpin,
    behind: Behind,
    mut state: watch::Receiver<State>,
) {
    let Ok(mut far) = UnixStream::connect(engine()).await else {
        return;
    };
    if behind == Behind::BuildKit {
        let ask =
            "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        far.write_all(ask.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(far.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
    }
    let mut later = state.clone();
    let over = async {
        let _ = state.wait_for(|state| *state != State::Open).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        () = over => {
            let _ = later.wait_for(|state| *state == State::Cut).await;
        }
    }
}
