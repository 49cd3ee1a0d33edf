//! A builder of several nodes: each platform is built where it is at home, and what the nodes pushed
//! is put together here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;

use super::merge::{Piece, merge};
use super::ports::{
    Awaited, BuildOrder, Builder, BuilderError, BuilderResult, Built, HandOn, Handed, Output,
    Registry, RegistryError, Survey, WriteTarget, hand_on,
};
use crate::cx::Cx;
use crate::oci::{Descriptor, Platform, RawManifest, Repository};
use crate::plan::{BuildSpec, cache_of_node};

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
    /// The node, by the number of the first way that leads to it.
    node: usize,
    builder: Arc<dyn Builder>,
    platforms: Vec<Platform>,
}

/// The node that builds where no platform is asked for, whichever it be.
const ANYWHERE: usize = usize::MAX;

/// A result that several nodes have parts of, by their numbers. Each of them can take its own in.
struct Scattered(BTreeMap<usize, Handed>);

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

    /// Who builds which of `platforms`, in their order; one of the nodes where there are none.
    async fn shares(&self, platforms: &[Platform]) -> Result<Vec<Share>, BuilderError> {
        let same = self.same.get_or_try_init(|| self.compare()).await?;
        let mut shares: Vec<Share> = Vec::new();
        for platform in platforms {
            let at = self
                .nodes
                .iter()
                .position(|node| node.platform.normalized() == platform.normalized())
                .ok_or_else(|| self.cannot(&format!("build for {platform}")))?;
            let first = same.get(at).copied().unwrap_or(at);
            let known = shares.iter_mut().find(|share| share.node == first);
            match (known, self.nodes.get(first)) {
                (Some(share), _) => share.platforms.push(platform.clone()),
                (None, Some(node)) => shares.push(Share {
                    node: first,
                    builder: Arc::clone(&node.builder),
                    platforms: vec![platform.clone()],
                }),
                (None, None) => {}
            }
        }
        if shares.is_empty() {
            shares.push(Share {
                node: self.anywhere(same).await?,
                builder: Arc::clone(&self.any),
                platforms: Vec::new(),
            });
        }
        Ok(shares)
    }

    /// Which node builds where no platform is asked for, as far as that can be known.
    async fn anywhere(&self, same: &[usize]) -> Result<usize, BuilderError> {
        // Every way was asked before anything was built, and remembers what it was told.
        let identity = self.any.survey().await?.identity;
        for (node, first) in self.nodes.iter().zip(same) {
            if identity.is_some() && node.builder.survey().await?.identity == identity {
                return Ok(*first);
            }
        }
        Ok(ANYWHERE)
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

    /// What a node is asked for: its platforms, and what it made itself of the services that they build
    /// on. Nothing is written on an index, as there is none yet.
    fn part(&self, order: &BuildOrder, share: &Share) -> Result<BuildOrder, BuilderError> {
        let mut part = order.clone();
        part.spec.platforms.clone_from(&share.platforms);
        for (service, handed) in &mut part.handed {
            let Handed::Result(result) = &*handed else {
                continue;
            };
            let own = result
                .get::<Scattered>()
                .and_then(|scattered| scattered.0.get(&share.node));
            *handed = own.cloned().ok_or_else(|| BuilderError::Unsupported {
                builder: self.name.clone(),
                what: format!(
                    "hand service `{service}` to the node that builds `{}`: another one has built it",
                    order.service
                ),
                hint: format!("give `{service}` the platforms of the services that build on it"),
            })?;
        }
        Ok(part)
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
        let is_alone = shares.len() == 1;
        let (mut work, mut results) = (Vec::new(), Vec::new());
        for (number, share) in shares.into_iter().enumerate() {
            let mut part = self.part(order, &share)?;
            if !is_alone {
                divide(&mut part.spec, &order.spec.platforms);
            }
            part.hand_on = order.hand_on.as_ref().map(|_| {
                let (hand_on, awaited) = hand_on();
                results.push((share.node, awaited));
                hand_on
            });
            let others = &others;
            work.push(async move {
                let built = share.builder.build(others, &part).await;
                (number, share.platforms, built)
            });
        }
        let gathering = async {
            if let Some(hand_on) = &order.hand_on {
                gather(hand_on, results).await;
            }
        };
        let building = async {
            let mut done: FuturesUnordered<_> = work.into_iter().collect();
            let (mut parts, mut failure) = (Vec::new(), None);
            while let Some((number, platforms, built)) = done.next().await {
                match built {
                    Ok(built) => parts.push((number, platforms, built)),
                    Err(error) => {
                        failure.get_or_insert(error);
                        others.cancel.cancel();
                    }
                }
            }
            failure.map_or(Ok(parts), Err)
        };
        let (parts, ()) = tokio::join!(building, gathering);
        let mut parts = parts?;
        parts.sort_by_key(|(number, ..)| *number);
        let parts = parts.into_iter();
        Ok(parts
            .map(|(_, platforms, built)| (platforms, built))
            .collect())
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
            Output::Load { .. } | Output::Export(_) => &[],
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
                    let pieces: Vec<Piece<'_>> = parts
                        .iter()
                        .filter_map(|(platforms, built)| {
                            let digest = built.digest.as_ref()?;
                            Some(Piece { platforms, digest })
                        })
                        .collect();
                    let registry = &*self.registry;
                    let merged = merge(cx, registry, repository, &order.spec, &pieces).await;
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

/// Leaves the result that `results` are the parts of, once all of them are there.
async fn gather(hand_on: &HandOn, results: Vec<(usize, Awaited)>) {
    let mut scattered = BTreeMap::new();
    for (node, awaited) in results {
        // Where one of them has failed there is nothing to leave.
        let Some(handed) = awaited.wait().await else {
            return;
        };
        scattered.insert(node, handed);
    }
    let result = BuilderResult::new(Scattered(scattered));
    hand_on.leave(Handed::Result(result));
}

/// Makes of a build one node's part of it, where `platforms` are those of all nodes: it writes nothing on
/// the index, and caches of its own. It reads those of its own platforms first, then of the others, as the
/// nodes may have been others the last time, and then what one node alone has written.
fn divide(spec: &mut BuildSpec, platforms: &[Platform]) {
    *spec = spec.part(&spec.platforms);
    if let Some(first) = spec.platforms.first() {
        for cache in &mut spec.cache_to {
            if let Some(own) = cache_of_node(cache, first) {
                *cache = own;
            }
        }
    }
    let others = platforms.iter();
    let others = others.filter(|platform| !spec.platforms.contains(platform));
    let readers: Vec<&Platform> = spec.platforms.iter().chain(others).collect();
    let mut from = Vec::new();
    for cache in &spec.cache_from {
        let of_nodes = readers.iter();
        from.extend(of_nodes.filter_map(|platform| cache_of_node(cache, platform)));
        from.push(cache.clone());
    }
    spec.cache_from = from;
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
        // Its own platform is that of the node which builds where none is named.
        let ways = std::iter::once(&self.any).chain(ways);
        let surveys = join_all(ways.map(|way| way.survey())).await;
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
                    whole.native.extend(survey.native);
                    whole.full_exporter &= survey.full_exporter;
                }
            }
        }
        // What a node is said to be for is its own platform.
        let declared = self.nodes.iter().filter(|node| node.declared.is_some());
        let declared = declared.map(|node| node.platform.clone());
        whole
            .map(|mut whole| {
                whole.native.extend(declared);
                whole.native.sort();
                whole.native.dedup();
                Survey {
                    name: self.name.clone(),
                    identity: None,
                    ..whole
                }
            })
            .ok_or_else(|| self.cannot("be asked: it has no nodes"))
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        let shares = self.shares(&order.spec.platforms).await?;
        let is_alone = shares.len() == 1;
        let is_loaded = |output: &Output| matches!(output, Output::Load { .. });
        if !is_alone && order.outputs.iter().any(is_loaded) {
            return Err(self.cannot("load an image of several platforms that several nodes build"));
        }
        let is_written = |output: &Output| matches!(output, Output::Export(_));
        if !is_alone && order.outputs.iter().any(is_written) {
            return Err(self.cannot("write one result of what several nodes build"));
        }
        let mut parts = self.build_shares(cx, order, shares).await?;
        if is_alone && let Some((_, built)) = parts.pop() {
            return Ok(built);
        }
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
}
