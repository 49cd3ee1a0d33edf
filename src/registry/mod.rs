//! Registries, as they are spoken to over the OCI distribution API.
//!
//! Knows HTTP as a client, logins, retries and the quirks of registries. Must not know what a
//! publish is, nor the environment: [`RegistryOptions`] brings what it is told. Whatever comes from
//! a registry is taken for hostile: bounded, verified, and cleaned before it is shown.
//!
//! Start reading at [`Registries`]. A request, a `call`, goes from there through `host` (one more try with
//! a new token), `contact` (the first word), `token` and `pass` (logins) to `wire` (one exchange,
//! redirects, limits); `retry` is the only place that tries again; `answer` and `network` say what
//! a failure means. Blobs come out of a `source` and go in by an `upload`.
//!
//! Invariants: a login goes to its own registry and the token server that this registry names, and
//! nowhere else; no blob is held in memory; nothing waits without a limit; everything ends when
//! [`Cx::cancel`](crate::cx::Cx) is cancelled.

mod answer;
mod blobs;
mod call;
mod challenge;
mod clients;
mod contact;
mod copy;
pub mod credentials;
mod document;
mod flight;
mod host;
mod link;
mod list;
mod manifests;
mod network;
mod options;
mod outgoing;
mod pass;
mod referrers;
mod retry;
mod scope;
mod shown;
mod source;
mod token;
mod upload;
mod verify;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reqwest::Method;

use self::answer::Answer;
use self::blobs::Whereabouts;
use self::call::{Call, Place};
pub use self::challenge::Challenge;
use self::clients::Clients;
pub use self::credentials::DockerCredentials;
use self::host::{Common, Host};
pub use self::link::next_link;
pub use self::options::{CredentialSources, HostSettings, RegistryOptions, Timeouts};
pub use self::retry::Patience;
use self::scope::Scopes;
use crate::cx::Cx;
use crate::execute::ports::{
    Copied, Credentials, LayerFile, Registry, RegistryError, RegistryFault, WriteTarget,
};
use crate::oci::{Descriptor, Digest, RawManifest, Reference, Repository, Tag};

/// All registries, each met when it is first asked for.
#[derive(Debug)]
pub struct Registries {
    common: Arc<Common>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    whereabouts: Whereabouts,
}

impl Registries {
    /// Registries with the logins of docker's configuration. Nothing is read or asked yet.
    pub fn new(options: RegistryOptions) -> Self {
        let credentials = DockerCredentials::new(options.credentials.clone());
        Self::with_credentials(options, Arc::new(credentials))
    }

    /// Registries with logins from elsewhere; `options.credentials` is not used.
    pub fn with_credentials(options: RegistryOptions, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            common: Arc::new(Common {
                clients: Clients::new(&options),
                options,
                credentials,
            }),
            hosts: Mutex::default(),
            whereabouts: Whereabouts::default(),
        }
    }

    /// Whether the registry at `host` answers at all; a login is not needed for that.
    pub async fn ping(&self, cx: &Cx, host: &str) -> Result<(), RegistryError> {
        let host = self.host_named(host);
        let doing = format!("ask {} whether it is a registry", host.name);
        let work = async {
            let mut tries = host.tries(cx, doing.clone());
            loop {
                match host.base().await {
                    Ok(_) => return Ok(()),
                    Err(fault) => tries.after(fault).await?,
                }
            }
        };
        until_cancelled(cx, &host, &doing, work).await
    }

    /// Whether the registry at `host` takes the login that is stored for it.
    pub async fn check_login(&self, cx: &Cx, host: &str) -> Result<(), RegistryError> {
        let host = self.host_named(host);
        let doing = format!("log in to {}", host.name);
        let call = Call::new(Method::GET, "", Scopes::default());
        let work = host.persist(cx, &doing, &call, &[200]);
        until_cancelled(cx, &host, &doing, work).await.map(|_| ())
    }

    /// The names of all repositories at `host`. Many registries do not tell.
    pub async fn repositories(&self, cx: &Cx, host: &str) -> Result<Vec<String>, RegistryError> {
        let host = self.host_named(host);
        until_cancelled(cx, &host, "list repositories", host.catalog(cx)).await
    }

    fn host(&self, repository: &Repository) -> Arc<Host> {
        self.met(repository.domain(), repository.api_host())
    }

    fn host_named(&self, name: &str) -> Arc<Host> {
        match name {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
                self.met("docker.io", "registry-1.docker.io")
            }
            other => self.met(other, other),
        }
    }

    fn met(&self, name: &str, api: &str) -> Arc<Host> {
        let make = || Arc::new(Host::new(name, api, Arc::clone(&self.common)));
        let Ok(mut hosts) = self.hosts.lock() else {
            return make();
        };
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(make))
    }
}

/// Does `work` unless the run is cancelled first: dropping it drops its connections.
async fn until_cancelled<T>(
    cx: &Cx,
    host: &Host,
    doing: &str,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    // One allocation keeps the futures of all callers small.
    match cx.cancel.run_until_cancelled(Box::pin(work)).await {
        Some(result) => result,
        None => Err(host.tries(cx, doing).give_up(RegistryFault::Cancelled)),
    }
}

#[async_trait]
impl Registry for Registries {
    async fn check_write(&self, cx: &Cx, repository: &Repository) -> Result<(), RegistryError> {
        let host = self.host(repository);
        let doing = format!("check that {repository} may be written");
        let work = host.check_write(cx, repository, &doing);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn resolve(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let host = self.host(reference.repository());
        let doing = format!("resolve {reference}");
        until_cancelled(cx, &host, &doing, host.head_manifest(cx, reference)).await
    }

    async fn manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let host = self.host(reference.repository());
        let doing = format!("read manifest {reference}");
        until_cancelled(cx, &host, &doing, host.get_manifest(cx, reference)).await
    }

    async fn blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let host = self.host(repository);
        let doing = format!("read {repository}@{}", descriptor.digest);
        let work = self.read_blob(cx, repository, descriptor, limit);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn put_manifest(
        &self,
        cx: &Cx,
        repository: &Repository,
        target: WriteTarget<'_>,
        manifest: &RawManifest,
    ) -> Result<(), RegistryError> {
        let host = self.host(repository);
        let (reference, doing) = match target {
            WriteTarget::Digest => {
                let reference = repository.with_digest(manifest.digest().clone());
                let doing = format!("write manifest {reference}");
                (reference, doing)
            }
            WriteTarget::Tag(tag) => {
                let reference = repository.with_tag(tag.clone());
                let doing = format!("move tag {reference}");
                (reference, doing)
            }
        };
        let work = async {
            let is_noted = host.put_manifest(cx, &reference, manifest).await?;
            if is_noted {
                return Ok(());
            }
            host.note_subject(cx, repository, manifest).await
        };
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn put_blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let host = self.host(repository);
        let doing = format!("upload a blob to {repository}");
        let work = self.write_blob(cx, repository, bytes);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn has_layer(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let host = self.host(repository);
        let doing = format!("look for layer {repository}@{digest}");
        let work = self.has_or_mounts(cx, repository, digest);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn put_layer(
        &self,
        cx: &Cx,
        repository: &Repository,
        layer: &Arc<LayerFile>,
    ) -> Result<(), RegistryError> {
        let host = self.host(repository);
        let doing = format!("upload a layer to {repository}");
        let work = self.write_layer(cx, repository, layer);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn copy_layer(
        &self,
        cx: &Cx,
        from: &Repository,
        (digest, size): (&Digest, u64),
        to: &Repository,
    ) -> Result<(), RegistryError> {
        let host = self.host(to);
        let doing = format!("copy layer {from}@{digest} to {to}");
        let work = self.bring_layer(cx, from, (digest, size), to);
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn copy(
        &self,
        cx: &Cx,
        from: &Repository,
        digest: &Digest,
        to: &Repository,
    ) -> Result<Copied, RegistryError> {
        let host = self.host(to);
        let doing = format!("copy {from}@{digest} to {to}");
        let work = Box::pin(self.copy_image(cx, from, digest, to));
        until_cancelled(cx, &host, &doing, work).await
    }

    async fn delete(&self, cx: &Cx, reference: &Reference) -> Result<bool, RegistryError> {
        let host = self.host(reference.repository());
        let doing = format!("delete {reference}");
        let work = host.delete_manifest(cx, reference);
        let deleted = until_cancelled(cx, &host, &doing, work).await?;
        self.whereabouts.forget(&host.name);
        Ok(deleted)
    }

    async fn tags(&self, cx: &Cx, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let host = self.host(repository);
        let doing = format!("list tags of {repository}");
        until_cancelled(cx, &host, &doing, host.tags(cx, repository)).await
    }

    async fn referrers(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let host = self.host(repository);
        let doing = format!("list referrers of {repository}@{digest}");
        let work = host.referrers_of(cx, repository, digest);
        until_cancelled(cx, &host, &doing, work).await
    }
}

impl Host {
    /// Starts an upload and cancels it. That a registry knows no way to cancel one does not
    /// matter: what was begun and left ends by itself.
    async fn check_write(
        &self,
        cx: &Cx,
        repository: &Repository,
        doing: &str,
    ) -> Result<(), RegistryError> {
        let path = repository.path();
        let begin = Call::new(
            Method::POST,
            format!("{path}/blobs/uploads/"),
            Scopes::push(path),
        );
        let answer = self
            .persist(cx, doing, &begin, &[200, 201, 202, 204])
            .await?;
        self.cancel_upload(&answer, path).await;
        Ok(())
    }

    /// Ends an upload into the repository at `path` that was begun and is not gone on with.
    async fn cancel_upload(&self, begun: &Answer, path: &str) {
        if let Ok(Some(location)) = upload::next_location(begun) {
            let end = Call::to(Method::DELETE, Place::Url(location), Scopes::push(path));
            let _ = self.ask(&end, &[200, 202, 204]).await;
        }
    }
}
