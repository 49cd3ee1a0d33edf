use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Error, Protocol};

/// How TLS is spoken to a server. The files are read when a connection is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The CA certificates (PEM) that the server's is checked against; the system's where there is
    /// none.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, where it is not that of the address.
    pub server_name: Option<String>,
    /// Whether the server's certificate is checked at all.
    pub verify: bool,
}

impl Tls {
    pub(super) async fn agree(
        &self,
        stream: TcpStream,
        host: &str,
        protocol: Protocol,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| Error::Tls(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(self.config(protocol)?));
        let agreed = connector.connect(name, stream).await;
        agreed.map_err(|error| Error::Tls(error.to_string()))
    }

    fn config(&self, protocol: Protocol) -> Result<ClientConfig, Error> {
        let wrong = |error: rustls::Error| Error::Tls(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let builder = if self.verify {
            builder.with_root_certificates(self.roots()?)
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("client certificate", certificate)?;
                let read = PrivateKeyDer::from_pem_file(key);
                let read = read.map_err(|error| file("client key", key, &error))?;
                builder.with_client_auth_cert(chain, read).map_err(wrong)?
            }
        };
        let protocol: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        config.alpn_protocols = vec![protocol.to_owned()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates("CA certificates", path)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| Error::File {
                        what: "CA certificates",
                        path: path.clone(),
                        message: error.to_string(),
                    })?;
                }
            }
            // What of the system's cannot be read is missing then, and the handshake says so.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| file(what, path, &error))?;
    if read.is_empty() {
        return Err(Error::File {
            what,
            path: path.to_owned(),
            message: "there is no certificate in it".to_owned(),
        });
    }
    Ok(read)
}

fn file(what: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    use rustls::pki_types::pem::Error as Pem;
    Error::File {
        what,
        path: path.to_owned(),
        message: match error {
            Pem::Io(error) => error.to_string(),
            Pem::NoItemsFound => "it holds none in PEM form".to_owned(),
            other => other.to_string(),
        },
    }
}

/// Trusts whoever answers, as `DOCKER_TLS` without `DOCKER_TLS_VERIFY` and a context's
/// `SkipTLSVerify` ask for. Signatures are checked nevertheless.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
