use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use reqwest::Method;

use super::Registries;
use super::call::Call;
use super::host::Host;
use super::retry::Tries;
use super::scope::Scopes;
use super::source::Source;
use super::upload::{Arrival, Upload};
use crate::cx::Cx;
use crate::execute::ports::{LayerFile, RegistryError, RegistryFault};
use crate::oci::{Descriptor, Digest, Repository, media_type};

/// What is known of blobs in registries, so that no blob goes to one twice at the same time and a
/// blob that one repository has is mounted into the next.
#[derive(Debug, Default)]
pub(super) struct Whereabouts(Mutex<HashMap<(String, Digest), Arc<Spot>>>);

/// One blob in one registry.
#[derive(Debug, Default)]
pub(super) struct Spot {
    /// Held while the blob is on its way.
    turn: tokio::sync::Mutex<()>,
    /// The repositories that have it.
    repositories: Mutex<BTreeSet<String>>,
}

impl Whereabouts {
    fn spot(&self, host: &str, digest: &Digest) -> Arc<Spot> {
        let Ok(mut spots) = self.0.lock() else {
            return Arc::default();
        };
        Arc::clone(spots.entry((host.to_owned(), digest.clone())).or_default())
    }

    /// Forgets a registry, after something was deleted there.
    pub(super) fn forget(&self, host: &str) {
        if let Ok(mut spots) = self.0.lock() {
            spots.retain(|(held, _), _| held != host);
        }
    }
}

impl Spot {
    fn has(&self, path: &str) -> bool {
        self.repositories
            .lock()
            .is_ok_and(|repositories| repositories.contains(path))
    }

    fn add(&self, path: &str) {
        if let Ok(mut repositories) = self.repositories.lock() {
            repositories.insert(path.to_owned());
        }
    }

    fn any(&self) -> Option<String> {
        self.repositories.lock().ok()?.first().cloned()
    }
}

impl Host {
    /// Whether a repository has a blob.
    pub(super) async fn has_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryFault> {
        let path = repository.path();
        let call = Call::new(
            Method::HEAD,
            format!("{path}/blobs/{digest}"),
            Scopes::push(path),
        );
        // A refusal of HEAD has no body that would explain it. The upload that follows meets the same
        // one with its explanation, or none, where only looking is refused (GHCR).
        let answer = self.ask(&call, &[200, 403, 404, 405]).await?;
        Ok(answer.status.as_u16() == 200)
    }

    /// The same, with patience.
    async fn find_blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let doing = format!("look for blob {repository}@{digest}");
        let mut tries: Tries = self.tries(cx, doing);
        loop {
            match self.has_blob(repository, digest).await {
                Ok(has) => return Ok(has),
                Err(fault) => tries.after(fault).await?,
            }
        }
    }
}

impl Registries {
    /// A small blob whole, verified.
    pub(super) async fn read_blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let host = self.host(repository);
        if descriptor.size > limit {
            let size = descriptor.size;
            return Err(RegistryError {
                doing: format!("read {repository}@{}", descriptor.digest),
                host: host.name.clone(),
                fault: RegistryFault::Protocol {
                    message: format!("it has {size} bytes, more than the {limit} expected here"),
                },
            });
        }
        let source = Source::remote(cx, host, repository, descriptor);
        let mut pieces = source.open(0);
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Writes a small blob, unless it is there.
    pub(super) async fn write_blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let descriptor = blob(Digest::of(bytes), bytes.len() as u64);
        let source = Source::Memory(Bytes::copy_from_slice(bytes));
        self.bring(cx, &source, None, &descriptor, repository)
            .await?;
        Ok(descriptor.digest)
    }

    /// Whether a repository has a blob, or has it now as it was mounted.
    pub(super) async fn has_or_mounts(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let host = self.host(repository);
        let spot = self.whereabouts.spot(&host.name, digest);
        let _turn = spot.turn.lock().await;
        if spot.has(repository.path()) || host.find_blob(cx, repository, digest).await? {
            spot.add(repository.path());
            return Ok(true);
        }
        let Some(from) = spot.any() else {
            return Ok(false);
        };
        let path = repository.path();
        let mount = Call::new(
            Method::POST,
            format!("{path}/blobs/uploads/?mount={digest}&from={from}"),
            Scopes::push(path).and(Scopes::pull(&from)),
        );
        // A registry that mounts nothing begins an upload instead, or refuses. Either is a "no".
        match host.ask(&mount, &[200, 201, 202, 204]).await {
            Ok(answer) if answer.status.as_u16() == 201 => {
                spot.add(path);
                Ok(true)
            }
            Ok(answer) => {
                host.cancel_upload(&answer, path).await;
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }

    /// Writes a layer, unless it is there or can be mounted.
    pub(super) async fn write_layer(
        &self,
        cx: &Cx,
        repository: &Repository,
        layer: &Arc<LayerFile>,
    ) -> Result<(), RegistryError> {
        let descriptor = blob(layer.digest.clone(), layer.size);
        let source = Source::File(Arc::clone(layer));
        self.bring(cx, &source, None, &descriptor, repository)
            .await?;
        Ok(())
    }

    /// Brings a layer from one repository into another.
    pub(super) async fn bring_layer(
        &self,
        cx: &Cx,
        from: &Repository,
        (digest, size): (&Digest, u64),
        to: &Repository,
    ) -> Result<(), RegistryError> {
        let descriptor = blob(digest.clone(), size);
        let source = Source::remote(cx, self.host(from), from, &descriptor);
        self.bring(cx, &source, Some(from), &descriptor, to).await?;
        Ok(())
    }

    /// Brings one blob into a repository: not at all where it is there, by a mount where another
    /// repository of that registry has it, else out of `source`. `from` is where it lies.
    pub(super) async fn bring(
        &self,
        cx: &Cx,
        source: &Source,
        from: Option<&Repository>,
        descriptor: &Descriptor,
        to: &Repository,
    ) -> Result<Arrival, RegistryError> {
        let host = self.host(to);
        let digest = &descriptor.digest;
        let spot = self.whereabouts.spot(&host.name, digest);
        if spot.has(to.path()) {
            return Ok(Arrival::Present);
        }
        // The turn is taken before the place among the transfers: the other way round, those who
        // wait for one blob would keep all others from moving.
        let _turn = spot.turn.lock().await;
        if spot.has(to.path()) || host.find_blob(cx, to, digest).await? {
            spot.add(to.path());
            return Ok(Arrival::Present);
        }
        let _place = host.transfers.acquire().await.ok();
        let mount = match from {
            Some(from) if from.domain() == to.domain() => Some(from.path().to_owned()),
            _ => spot.any(),
        };
        let upload = Upload {
            cx,
            host: &host,
            repository: to,
            digest,
            size: descriptor.size,
            source,
            mount: mount.filter(|path| path != to.path()),
            is_renewed: AtomicBool::new(false),
        };
        let arrival = upload.run().await?;
        spot.add(to.path());
        Ok(arrival)
    }
}

/// A blob by what counts on its way.
fn blob(digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type::OCI_EMPTY.to_owned(),
        digest,
        size,
        platform: None,
        annotations: BTreeMap::new(),
        artifact_type: None,
    }
}
