//! A builder of several nodes: each platform is built where it is at home, and what the nodes pushed
//! is put together here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;

use super::ports::{
    BuildOrder, Builder, BuilderError, Built, Handed, Output, Registry, RegistryError, Survey,
    WriteTarget,
};
use crate::cx::Cx;
use crate::oci::{Descriptor, Index, Parsed, Platform, RawManifest, Repository, media_type};
use crate::plan::retention::CacheRecord;
use crate::plan::{AnnotationLevel, BuildSpec};

/// What an index consists of when it is made here (OCI image-spec, image-index).
const SCHEMA_VERSION: u32 = 2;

/// A builder of several nodes.
pub struct Farm {
    name: String,
    registry: Arc<dyn Registry>,
    /// What builds where no platform is asked for.
    any: Arc<dyn Builder>,
    nodes: Vec<Node>,
    /// For each of the nodes, which of them are one: the number of the first of those.
    same: OnceCell<Vec<usize>>,
}

/// The way to the node that builds a platform best.
pub struct Node {
    /// The platform.
    pub platform: Platform,
    /// The node's number, where whoever made the builder said that this platform is its own.
    pub declared: Option<usize>,
    /// The way.
    pub builder: Arc<dyn Builder>,
}

/// What one node does of an order.
struct Share {
    builder: Arc<dyn Builder>,
    platforms: Vec<Platform>,
}

impl Farm {
    /// A builder called `name`. `any` leads to one of its nodes, whichever it be.
    pub fn new(
        name: &str,
        registry: Arc<dyn Registry>,
        any: Arc<dyn Builder>,
        nodes: Vec<Node>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            registry,
            any,
            nodes,
            same: OnceCell::new(),
        }
    }

    /// Who builds which of `platforms`, in their order.
    async fn shares(&self, platforms: &[Platform]) -> Result<Vec<Share>, BuilderError> {
        let same = self.same.get_or_try_init(|| self.compare()).await?;
        let mut shares: Vec<(usize, Share)> = Vec::new();
        for platform in platforms {
            let at = self
                .nodes
                .iter()
                .position(|node| node.platform.normalized() == platform.normalized())
                .ok_or_else(|| self.cannot(&format!("build for {platform}")))?;
            let first = same.get(at).copied().unwrap_or(at);
            let known = shares.iter_mut().find(|(other, _)| *other == first);
            match (known, self.nodes.get(first)) {
                (Some((_, share)), _) => share.platforms.push(platform.clone()),
                (None, Some(node)) => shares.push((
                    first,
                    Share {
                        builder: Arc::clone(&node.builder),
                        platforms: vec![platform.clone()],
                    },
                )),
                (None, None) => {}
            }
        }
        Ok(shares.into_iter().map(|(_, share)| share).collect())
    }

    /// Finds ways that lead to one node: they were declared so, or the same BuildKit answers.
    async fn compare(&self) -> Result<Vec<usize>, BuilderError> {
        let surveys = self.nodes.iter().map(|node| async {
            match node.declared {
                Some(number) => Ok((Some(number), None)),
                None => Ok((None, node.builder.survey().await?.identity)),
            }
        });
        let found: Vec<Result<_, BuilderError>> = join_all(surveys).await;
        let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let first = |(at, one): (usize, &(Option<usize>, Option<String>))| match one {
            // Nothing is known of it, so it is its own.
            (None, None) => at,
            one => found.iter().position(|other| other == one).unwrap_or(at),
        };
        Ok(found.iter().enumerate().map(first).collect())
    }

    fn cannot(&self, what: &str) -> BuilderError {
        BuilderError::Unsupported {
            builder: self.name.clone(),
            what: what.to_owned(),
            hint: "name a builder that does it in one place: `--builder engine`, or another one of `docker buildx ls`".to_owned(),
        }
    }

    /// Has every node build its share. The first failure stops the others.
    async fn build_shares(
        &self,
        cx: &Cx,
        order: &BuildOrder,
        shares: Vec<Share>,
    ) -> Result<Vec<(Vec<Platform>, Built)>, BuilderError> {
        let others = Cx {
            events: cx.events.clone(),
            cancel: cx.cancel.child_token(),
        };
        let work = shares.into_iter().enumerate().map(|(number, share)| {
            let order = BuildOrder {
                spec: part(&order.spec, &share.platforms),
                ..order.clone()
            };
            let others = &others;
            async move {
                let built = share.builder.build(others, &order).await;
                (number, share.platforms, built)
            }
        });
        let mut done: FuturesUnordered<_> = work.collect();
        let mut parts = Vec::new();
        let mut failure = None;
        while let Some((number, platforms, built)) = done.next().await {
            match built {
                Ok(built) => parts.push((number, platforms, built)),
                Err(error) => {
                    failure.get_or_insert(error);
                    others.cancel.cancel();
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        parts.sort_by_key(|(number, ..)| *number);
        let parts = parts.into_iter();
        Ok(parts
            .map(|(_, platforms, built)| (platforms, built))
            .collect())
    }

    /// Puts together what the nodes pushed to `repository`: the images in the order of the platforms
    /// that were asked for, then the attestations.
    async fn merge(
        &self,
        cx: &Cx,
        repository: &Repository,
        spec: &BuildSpec,
        parts: &[(Vec<Platform>, Built)],
    ) -> Result<RawManifest, RegistryError> {
        let mut entries: Vec<Descriptor> = Vec::new();
        for (platforms, built) in parts {
            let Some(digest) = &built.digest else {
                continue;
            };
            let reference = repository.with_digest(digest.clone());
            let found = self.registry.manifest(cx, &reference).await?;
            let raw = found.ok_or_else(|| RegistryError::missing(&reference))?;
            let parsed = raw.parse();
            match parsed.map_err(|error| RegistryError::nonsense(&reference, error.to_string()))? {
                Parsed::Index(index) => entries.extend(index.manifests),
                // One platform without attestations needs no index.
                Parsed::Manifest(_) => entries.push(Descriptor {
                    platform: platforms.first().cloned(),
                    ..raw.descriptor()
                }),
            }
        }
        let extra = spec.annotations.get(&AnnotationLevel::ManifestDescriptor);
        for entry in entries.iter_mut().filter(|entry| !entry.is_attestation()) {
            entry.annotations.extend(extra.cloned().unwrap_or_default());
        }
        entries.sort_by_key(|entry| {
            let platform = entry.platform.as_ref().map(Platform::normalized);
            let mut asked = spec.platforms.iter();
            let at = asked.position(|asked| Some(asked.normalized()) == platform);
            (entry.is_attestation(), at.unwrap_or(usize::MAX))
        });
        let media_type = if spec.image.docker_media_types {
            media_type::DOCKER_LIST
        } else {
            media_type::OCI_INDEX
        };
        let index = Index {
            schema_version: SCHEMA_VERSION,
            media_type: Some(media_type.to_owned()),
            manifests: entries,
            annotations: spec
                .annotations
                .get(&AnnotationLevel::Index)
                .cloned()
                .unwrap_or_default(),
            subject: None,
        };
        // Its fields are texts and numbers: there is nothing in it that JSON cannot say.
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        Ok(RawManifest::new(media_type, bytes))
    }

    /// Brings the merged index to every repository; the images are there already.
    async fn push(
        &self,
        cx: &Cx,
        order: &BuildOrder,
        parts: &[(Vec<Platform>, Built)],
    ) -> Result<Option<Descriptor>, BuilderError> {
        let repositories = order.outputs.iter().flat_map(|output| match output {
            Output::Push { repositories, .. } => repositories.as_slice(),
            Output::Load { .. } => &[],
        });
        let failed = |repository: &Repository| {
            let repository = Some(repository.clone());
            move |error: RegistryError| BuilderError::Push {
                repository,
                message: error.fault.to_string(),
            }
        };
        let mut index: Option<RawManifest> = None;
        for repository in repositories {
            let index = match &index {
                Some(index) => index,
                None => {
                    let merged = self.merge(cx, repository, &order.spec, parts).await;
                    index.insert(merged.map_err(failed(repository))?)
                }
            };
            let target = WriteTarget::Digest;
            let put = self.registry.put_manifest(cx, repository, target, index);
            put.await.map_err(failed(repository))?;
        }
        Ok(index.map(|index| index.descriptor()))
    }
}

/// What a node is asked for: some of the platforms, and nothing that is written on the index.
fn part(spec: &BuildSpec, platforms: &[Platform]) -> BuildSpec {
    let mut part = BuildSpec {
        platforms: platforms.to_vec(),
        ..spec.clone()
    };
    part.annotations
        .retain(|level, _| *level == AnnotationLevel::Manifest);
    part
}

#[async_trait]
impl Builder for Farm {
    fn unset_secrets(&self, spec: &BuildSpec) -> Vec<String> {
        self.any.unset_secrets(spec)
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// What all nodes together can do.
    async fn survey(&self) -> Result<Survey, BuilderError> {
        let ways = self.nodes.iter().map(|node| &node.builder);
        let surveys = join_all(ways.chain([&self.any]).map(|way| way.survey())).await;
        let mut whole: Option<Survey> = None;
        for survey in surveys {
            let survey = survey?;
            match &mut whole {
                None => whole = Some(survey),
                Some(whole) => {
                    let known: BTreeSet<String> =
                        whole.platforms.iter().map(ToString::to_string).collect();
                    let more = survey.platforms.into_iter();
                    whole
                        .platforms
                        .extend(more.filter(|platform| !known.contains(&platform.to_string())));
                    whole.full_exporter &= survey.full_exporter;
                }
            }
        }
        whole
            .map(|whole| Survey {
                name: self.name.clone(),
                identity: None,
                ..whole
            })
            .ok_or_else(|| self.cannot("be asked: it has no nodes"))
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        let shares = self.shares(&order.spec.platforms).await?;
        let same = self.same.get_or_try_init(|| self.compare()).await?;
        let is_one = same.iter().all(|first| *first == 0);
        let is_linked = order.hand_on.is_some()
            || order
                .handed
                .values()
                .any(|one| matches!(one, Handed::Result(_)));
        if is_linked && !is_one {
            return Err(self.cannot("hand results on from one of its nodes to another"));
        }
        let mut shares = shares.into_iter();
        let (first, second) = (shares.next(), shares.next());
        let (first, second) = match (first, second) {
            (None, _) => return self.any.build(cx, order).await,
            (Some(share), None) => return share.builder.build(cx, order).await,
            (Some(first), Some(second)) => (first, second),
        };
        if order
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Load { .. }))
        {
            return Err(self.cannot("load an image of several platforms that several nodes build"));
        }
        let all = [first, second].into_iter().chain(shares).collect();
        let parts = self.build_shares(cx, order, all).await?;
        let descriptor = self.push(cx, order, &parts).await?;
        let sum = |of: &dyn Fn(&Built) -> u64| parts.iter().map(|(_, built)| of(built)).sum();
        Ok(Built {
            digest: descriptor.as_ref().map(|found| found.digest.clone()),
            descriptor,
            steps: parts.iter().map(|(_, built)| built.steps).sum(),
            cached: parts.iter().map(|(_, built)| built.cached).sum(),
            files_sent: sum(&|built| built.files_sent),
            bytes_sent: sum(&|built| built.bytes_sent),
            answer: parts
                .into_iter()
                .flat_map(|(_, built)| built.answer)
                .collect(),
        })
    }

    async fn cache(&self) -> Result<Vec<CacheRecord>, BuilderError> {
        self.any.cache().await
    }

    async fn prune_cache(&self, keep: u64, unused_for: Duration) -> Result<u64, BuilderError> {
        self.any.prune_cache(keep, unused_for).await
    }
}
