//! A whole image from one repository into another: indexes within indexes, attestations, artifacts;
//! blobs first, then manifests from the leaves to the root, so that a registry never sees a manifest
//! before what it refers to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Registries;
use super::host::Host;
use super::source::Source;
use super::upload::Arrival;
use crate::cx::Cx;
use crate::execute::ports::{Copied, RegistryError, RegistryFault};
use crate::oci::{Descriptor, Digest, Parsed, RawManifest, Repository, media_type};

/// How deep indexes may lie within indexes.
const DEPTH: usize = 6;
/// How many manifests one image may have.
const MANIFESTS: usize = 4096;
/// How many bytes they may have in all, as they are held in memory.
const MANIFEST_BYTES: usize = 64 * 1024 * 1024;
/// How many manifests and blobs are looked at at once; each registry has its own limits besides.
const AT_ONCE: usize = 16;

/// A manifest of the image.
struct Node {
    manifest: RawManifest,
    /// Whether the target has it.
    is_present: bool,
    children: Vec<Digest>,
    blobs: Vec<Descriptor>,
}

/// A copy under way.
struct Copying<'a> {
    registries: &'a Registries,
    cx: &'a Cx,
    from: &'a Repository,
    to: &'a Repository,
    nodes: HashMap<Digest, Node>,
}

impl Registries {
    /// Copies the image `digest` with all that belongs to it.
    pub(super) async fn copy_image(
        &self,
        cx: &Cx,
        from: &Repository,
        digest: &Digest,
        to: &Repository,
    ) -> Result<Copied, RegistryError> {
        let mut copying = Copying {
            registries: self,
            cx,
            from,
            to,
            nodes: HashMap::new(),
        };
        copying.gather(digest).await?;
        let mut copied = copying.blobs().await?;
        copying.manifests(digest, &mut copied).await?;
        Ok(copied)
    }
}

impl Copying<'_> {
    /// Reads all manifests, level by level: from the target where it has them, as then nothing of
    /// them is missing and the source need not even be there, else from the source.
    async fn gather(&mut self, root: &Digest) -> Result<(), RegistryError> {
        let mut level = BTreeMap::from([(root.clone(), None)]);
        let mut bytes = 0;
        for depth in 0.. {
            if level.is_empty() {
                return Ok(());
            }
            if depth > DEPTH {
                return Err(self.error(root, format!("indexes lie more than {DEPTH} deep")));
            }
            let this = &*self;
            let reading = level.into_iter().map(|(digest, size)| async move {
                let node = this.read(&digest, size).await?;
                Ok::<_, RegistryError>((digest, node))
            });
            let read: Vec<(Digest, Node)> = stream::iter(reading)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            level = BTreeMap::new();
            for (digest, node) in read {
                bytes += node.manifest.bytes().len();
                if let Ok(Parsed::Index(index)) = node.manifest.parse() {
                    for entry in index.manifests {
                        if !self.nodes.contains_key(&entry.digest) && is_manifest(&entry) {
                            level.insert(entry.digest, Some(entry.size));
                        }
                    }
                }
                self.nodes.insert(digest, node);
            }
            level.retain(|digest, _| !self.nodes.contains_key(digest));
            if self.nodes.len() + level.len() > MANIFESTS || bytes > MANIFEST_BYTES {
                return Err(self.error(root, "it has too many manifests".to_owned()));
            }
        }
        Ok(())
    }

    async fn read(&self, digest: &Digest, size: Option<u64>) -> Result<Node, RegistryError> {
        let present = self.to.with_digest(digest.clone());
        let mut manifest = self.target().get_manifest(self.cx, &present).await?;
        let is_present = manifest.is_some();
        if manifest.is_none() && self.from != self.to {
            let wanted = self.from.with_digest(digest.clone());
            let host = self.registries.host(self.from);
            manifest = host.get_manifest(self.cx, &wanted).await?;
        }
        let Some(manifest) = manifest else {
            let mut error = self.error(digest, String::new());
            error.fault = RegistryFault::NotFound {
                code: "MANIFEST_UNKNOWN".to_owned(),
                message: format!("{}@{digest}", self.from),
            };
            return Err(error);
        };
        let length = manifest.bytes().len() as u64;
        if size.is_some_and(|size| size != length) {
            return Err(self.error(digest, format!("it has {length} bytes, not as announced")));
        }
        let parsed = manifest.parse();
        let parsed = parsed.map_err(|error| self.error(digest, error.to_string()))?;
        let (children, blobs) = match parsed {
            Parsed::Index(index) => {
                let (children, blobs): (Vec<_>, Vec<_>) =
                    index.manifests.into_iter().partition(is_manifest);
                (children, blobs)
            }
            Parsed::Manifest(image) => {
                let mut blobs = image.layers;
                blobs.push(image.config);
                (Vec::new(), blobs)
            }
        };
        Ok(Node {
            manifest,
            is_present,
            children: children.into_iter().map(|child| child.digest).collect(),
            blobs: blobs.into_iter().filter(is_distributable).collect(),
        })
    }

    /// Brings the blobs of every manifest that the target lacks. A registry that has a manifest
    /// has its blobs.
    async fn blobs(&self) -> Result<Copied, RegistryError> {
        let mut copied = Copied::default();
        let mut missing = BTreeMap::new();
        let mut present = BTreeMap::new();
        for node in self.nodes.values() {
            let place = if node.is_present {
                &mut present
            } else {
                &mut missing
            };
            place.extend(node.blobs.iter().map(|blob| (&blob.digest, blob)));
        }
        present.retain(|digest, _| !missing.contains_key(digest));
        copied.present = present.values().map(|blob| blob.size).sum();
        let bringing = missing.into_values().map(|blob| async move {
            let host = self.registries.host(self.from);
            let source = Source::remote(self.cx, host, self.from, blob);
            let bring = self
                .registries
                .bring(self.cx, &source, Some(self.from), blob, self.to);
            Ok::<_, RegistryError>((bring.await?, blob.size))
        });
        let bringing: Vec<_> = bringing.collect();
        let mut arrivals = stream::iter(bringing).buffer_unordered(AT_ONCE);
        while let Some((arrival, size)) = arrivals.try_next().await? {
            *match arrival {
                Arrival::Sent => &mut copied.sent,
                Arrival::Mounted => &mut copied.mounted,
                Arrival::Present => &mut copied.present,
            } += size;
        }
        Ok(copied)
    }

    /// Writes the manifests that the target lacks, those without children first.
    async fn manifests(&self, root: &Digest, copied: &mut Copied) -> Result<(), RegistryError> {
        let mut heights = HashMap::new();
        self.height(root, &mut heights);
        let mut steps: BTreeMap<usize, BTreeSet<&Digest>> = BTreeMap::new();
        for (digest, height) in heights {
            steps.entry(height).or_default().insert(digest);
        }
        let host = self.target();
        let host = &*host;
        for digests in steps.into_values() {
            let nodes = digests
                .into_iter()
                .filter_map(|digest| Some((digest, self.nodes.get(digest)?)));
            let mut writing = Vec::new();
            for (digest, node) in nodes {
                let size = node.manifest.bytes().len() as u64;
                if node.is_present {
                    copied.present += size;
                    continue;
                }
                copied.sent += size;
                let reference = self.to.with_digest(digest.clone());
                writing.push(async move {
                    host.put_manifest(self.cx, &reference, &node.manifest)
                        .await
                        .map(|_| ())
                });
            }
            stream::iter(writing)
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    /// How many levels lie below a manifest. Each is looked at once; a digest cannot lie below
    /// itself.
    fn height<'a>(&'a self, digest: &'a Digest, heights: &mut HashMap<&'a Digest, usize>) -> usize {
        if let Some(height) = heights.get(digest) {
            return *height;
        }
        let children = self.nodes.get(digest).map(|node| node.children.as_slice());
        let children = children.unwrap_or_default().iter();
        let below = children.map(|child| self.height(child, heights) + 1).max();
        heights.insert(digest, below.unwrap_or(0));
        below.unwrap_or(0)
    }

    fn target(&self) -> std::sync::Arc<Host> {
        self.registries.host(self.to)
    }

    fn error(&self, digest: &Digest, message: String) -> RegistryError {
        RegistryError {
            doing: format!("copy {}@{digest} to {}", self.from, self.to),
            host: self.from.domain().to_owned(),
            fault: RegistryFault::Protocol { message },
        }
    }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    media_type::MANIFESTS.contains(&descriptor.media_type.as_str())
}

/// Layers that must not be given away stay where their URLs point (Windows base layers; OCI image
/// spec, "Non-Distributable Layers").
fn is_distributable(descriptor: &Descriptor) -> bool {
    let kind = &descriptor.media_type;
    !kind.contains(".nondistributable.") && !kind.contains(".foreign.")
}
