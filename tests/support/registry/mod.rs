//! A registry in a thread of its own: in memory, scriptable, and quick.
//!
//! Knows the distribution API as the specification and two real registries have it, token servers,
//! and every way in which an exchange can go wrong that HTTP leaves open. Must not know castoff's
//! client. Start reading at [`TestRegistry`]; [`Script`] says what goes wrong and keeps the log.

mod access;
mod api;
mod line;
mod pushing;
mod script;
mod serve;
mod settings;
mod store;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::access::Tokens;
use self::line::Line;
pub use self::pushing::Pushing;
pub use self::script::{Canned, Fault, Reach, Script, Seen, When};
pub use self::settings::{Access, Links, Settings, TokenServer};
use self::store::Store;
use super::images::{Image, Tree};

/// A registry on 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct TestRegistry {
    inner: Arc<Inner>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    host: String,
    origin: String,
    settings: Mutex<Settings>,
    script: Arc<Script>,
    store: Mutex<Store>,
    tokens: Mutex<Tokens>,
}

/// What a registry held at one time.
#[derive(Clone, Debug)]
pub struct Saved(Store);

/// How a registry speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// With the certificate in tests/data/tls.
    On,
    /// The same, and clients must show one of the same CA.
    Mutual,
    /// With the certificate, and HTTP/2 for who wants it, as the large registries do.
    Http2,
}

impl TestRegistry {
    /// One that can do everything, open to everyone.
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    /// One with these settings and a script of its own.
    pub fn with(settings: Settings) -> Self {
        Self::scripted(settings, Script::new())
    }

    /// One that shares a script with others, so that their requests are counted together.
    pub fn scripted(settings: Settings, script: Arc<Script>) -> Self {
        Self::launch(settings, script, Tls::Off)
    }

    /// One that speaks TLS.
    pub fn secure(settings: Settings, tls: Tls) -> Self {
        Self::launch(settings, Script::new(), tls)
    }

    fn launch(settings: Settings, script: Arc<Script>, tls: Tls) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let scheme = if tls == Tls::Off { "http" } else { "https" };
        let inner = Arc::new(Inner {
            host: address.to_string(),
            origin: format!("{scheme}://{address}"),
            settings: Mutex::new(settings),
            script,
            store: Mutex::default(),
            tokens: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let thread = std::thread::spawn({
            let (inner, stop) = (Arc::clone(&inner), stop.clone());
            move || run(&inner, listener, &stop, acceptor(tls))
        });
        Self {
            inner,
            stop,
            thread: Some(thread),
        }
    }

    /// Host and port, as they stand in references.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// What goes wrong here, and the log.
    pub fn script(&self) -> &Script {
        &self.inner.script
    }

    /// Changes how it behaves from now on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.inner.settings.lock().unwrap());
    }

    /// Makes all tokens void.
    pub fn void_tokens(&self) {
        self.inner.tokens.lock().unwrap().void();
    }

    /// A way in for a builder of this process.
    pub fn pushing(&self) -> Pushing {
        Pushing::to(Arc::clone(&self.inner))
    }

    /// All that it holds now.
    pub fn saved(&self) -> Saved {
        Saved(self.inner.store.lock().unwrap().clone())
    }

    /// Makes it hold what it held then.
    pub fn restore(&self, saved: &Saved) {
        self.inner.store.lock().unwrap().clone_from(&saved.0);
    }

    /// Puts an image there, and a tag or digest to it.
    pub fn put(&self, repository: &str, selector: &str, image: &Image) {
        let mut store = self.inner.store.lock().unwrap();
        for blob in &image.blobs {
            store.put_blob(repository, blob.clone());
        }
        let manifest = &image.manifest;
        let bytes = manifest.bytes().to_vec();
        store.put_manifest(repository, selector, manifest.media_type(), bytes);
    }

    /// Puts an index with all its images there.
    pub fn put_tree(&self, repository: &str, selector: &str, tree: &Tree) {
        for image in &tree.images {
            self.put(repository, image.manifest.digest().as_str(), image);
        }
        let index = Image {
            manifest: tree.index.clone(),
            blobs: Vec::new(),
        };
        self.put(repository, selector, &index);
    }

    /// Puts a manifest of one repository, with its blobs, into another one under the same selector.
    pub fn lend(&self, from: &str, selector: &str, to: &str) {
        let (kind, bytes) = self.manifest(from, selector).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let blobs = layers.chain(manifest.get("config"));
        let blobs: Vec<Vec<u8>> = blobs
            .map(|blob| self.blob(from, blob["digest"].as_str().unwrap()).unwrap())
            .collect();
        let mut store = self.inner.store.lock().unwrap();
        for blob in blobs {
            store.put_blob(to, blob);
        }
        store.put_manifest(to, selector, &kind, bytes);
    }

    /// Media type and bytes of a manifest.
    pub fn manifest(&self, repository: &str, selector: &str) -> Option<(String, Vec<u8>)> {
        let store = self.inner.store.lock().unwrap();
        store
            .find(repository, selector)
            .map(|(_, held)| held.clone())
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let store = self.inner.store.lock().unwrap();
        store.blob(repository, digest).cloned()
    }

    /// Whether a repository has everything that a manifest refers to, at any depth.
    pub fn is_whole(&self, repository: &str, selector: &str) -> bool {
        let Some((_, bytes)) = self.manifest(repository, selector) else {
            return false;
        };
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let missing = self
            .inner
            .store
            .lock()
            .unwrap()
            .missing(repository, &manifest);
        let children = manifest["manifests"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        missing.is_none()
            && children
                .iter()
                .all(|child| self.is_whole(repository, child["digest"].as_str().unwrap()))
    }

    /// Where every tag points: `repository:tag` → digest.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let store = self.inner.store.lock().unwrap();
        let repositories = store.repositories.iter();
        repositories
            .flat_map(|(name, stored)| {
                let tags = stored.tags.iter();
                tags.map(move |(tag, digest)| (format!("{name}:{tag}"), digest.clone()))
            })
            .collect()
    }

    /// How many uploads were begun and neither finished nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.inner.store.lock().unwrap().uploads.len()
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    inner: &Arc<Inner>,
    listener: TcpListener,
    stop: &CancellationToken,
    acceptor: Option<TlsAcceptor>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let serving = async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (inner, acceptor) = (Arc::clone(inner), acceptor.clone());
            tokio::spawn(async move {
                let doom = Arc::new(AtomicBool::new(false));
                let line = Line::new(stream, Arc::clone(&doom));
                let service = service_fn(move |request| {
                    serve::serve(Arc::clone(&inner), Arc::clone(&doom), request)
                });
                let http = hyper::server::conn::http1::Builder::new();
                let Some(acceptor) = acceptor else {
                    let _ = http.serve_connection(TokioIo::new(line), service).await;
                    return;
                };
                let Ok(line) = acceptor.accept(line).await else {
                    return;
                };
                if line.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(line), service).await;
                } else {
                    let _ = http.serve_connection(TokioIo::new(line), service).await;
                }
            });
        }
    };
    runtime.block_on(stop.run_until_cancelled(serving));
}

/// The folder of certificates for tests.
pub fn certificates() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls")
}

fn acceptor(tls: Tls) -> Option<TlsAcceptor> {
    if tls == Tls::Off {
        return None;
    }
    let folder = certificates();
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = if tls == Tls::Mutual {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap();
        roots.add(ca).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let mut config = config.with_single_cert(chain, key).unwrap();
    if tls == Tls::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Some(TlsAcceptor::from(Arc::new(config)))
}
