//! `castoff prune`: what of this project may go.

use serde::Serialize;

use super::candidates::Caches;
use super::read::{Read, read, warn};
use super::{Given, adapters, pretty, session};
use crate::cli::{Format, PruneArguments, PrunePlace};
use crate::config::LocalPrune;
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Event;
use crate::execute::ports::{BuildCache, BuilderError, Engine};
use crate::exit::Exit;
use crate::facts;
use crate::plan::{self, Purpose, Warning, retention};
use crate::report::pruned_table;

/// Something that was removed, or would be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pruned {
    kind: String,
    id: String,
    bytes: u64,
    because: String,
    applied: bool,
}

/// What came of cleaning up.
pub(super) struct Cleared {
    /// What was removed, or would be.
    pub(super) pruned: Vec<Pruned>,
    /// What was not looked at.
    pub(super) missed: Vec<Warning>,
}

pub(super) fn run(given: &Given<'_>, arguments: &PruneArguments) -> Result<Exit, Error> {
    let PrunePlace::Local = arguments.place;
    let read = read(given, Purpose::Load, &[])?;
    let Some(policy) = read.settings.prune_local.clone() else {
        return Err(Error::Usage {
            message: "publish.toml does not say what may be cleaned up here".to_owned(),
            hint: Some(
                "add for example `[prune.local]` with `images = { unused_for = \"720h\", keep_last = 3 }`"
                    .to_owned(),
            ),
        });
    };
    warn(given, &read.warnings);
    let caches = adapters::caches(given, &read)?;
    let engine = adapters::engine(given)?;
    let project = read.project.name.as_str();
    let quiet = crate::cli::Global {
        progress: crate::cli::ProgressKind::Quiet,
        ..given.global.clone()
    };
    let quiet = Given {
        global: &quiet,
        environment: given.environment.clone(),
        printer: given.printer.clone(),
    };
    let (result, exit) = session::run(&quiet, "prune", project, |cx| {
        let (policy, engine, caches, read) = (&policy, &engine, &caches, &read);
        async move {
            let apply = arguments.apply;
            let result = local(&cx, policy, read, engine, caches, apply).await;
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else {
                Exit::Done
            };
            (result, exit)
        }
    })?;
    let Cleared { pruned, missed } = result?;
    warn(given, &missed);
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&pruned)),
        Format::Text => {
            let rows: Vec<_> = pruned
                .iter()
                .map(|one| {
                    (
                        one.kind.as_str(),
                        one.id.as_str(),
                        one.bytes,
                        one.because.as_str(),
                    )
                })
                .collect();
            given.printer.text(&pruned_table(&rows, arguments.apply));
        }
    }
    Ok(exit)
}

/// Removes what the policy says, or only says so.
pub(super) async fn local(
    cx: &Cx,
    policy: &LocalPrune,
    read: &Read,
    engine: &dyn Engine,
    caches: &Caches,
    apply: bool,
) -> Result<Cleared, Error> {
    let project = &read.project;
    let names = plan::repositories(project, &read.settings);
    let contents = engine
        .contents(&project.name)
        .await?
        .own(&project.name, &names);
    let now = facts::timestamp();
    let mut pruned = Vec::new();
    let mut missed = Vec::new();
    let mut tell = |one: Pruned| {
        cx.events.tell(Event::Pruned {
            kind: one.kind.clone(),
            id: one.id.clone(),
            bytes: one.bytes,
            because: one.because.clone(),
            applied: one.applied,
        });
        pruned.push(one);
    };
    for removal in retention::removals(policy, &contents, now) {
        if cx.cancel.is_cancelled() {
            return Ok(Cleared { pruned, missed });
        }
        // In use by now, or gone already: nothing was removed, and nothing is wrong.
        if apply && !engine.remove(&removal.thing).await? {
            continue;
        }
        tell(Pruned {
            kind: removal.thing.kind().to_owned(),
            id: removal.thing.label(),
            bytes: removal.thing.bytes(),
            because: removal.because,
            applied: apply,
        });
    }
    if policy.build_cache.is_some() {
        let nodes = nodes(caches).await?;
        for (number, node) in nodes.iter().enumerate() {
            let records = node.records().await?;
            let Some(removal) = retention::cache_removal(policy, &records, now) else {
                continue;
            };
            let bytes = if apply {
                node.prune(removal.keep, removal.unused_for).await?
            } else {
                removal.frees
            };
            let mut id = format!("{} records", removal.records);
            if nodes.len() > 1 {
                id = format!("{id} in node {} of {}", number + 1, nodes.len());
            }
            tell(Pruned {
                kind: "build cache".to_owned(),
                id,
                bytes,
                because: removal.because(),
                applied: apply,
            });
        }
        if let (true, Some(node)) = (nodes.len() < caches.nodes, nodes.first()) {
            missed.push(Warning {
                subject: node.name().to_owned(),
                message: format!(
                    "the build cache of {} of its {} nodes was not looked at: nothing tells them from the others, or they do not answer",
                    caches.nodes - nodes.len(),
                    caches.nodes
                ),
                hint: Some(format!(
                    "`docker buildx prune --builder {}` reaches all of them",
                    node.name()
                )),
            });
        }
    }
    Ok(Cleared { pruned, missed })
}

/// One way to each node: those that lead to one BuildKit are one. The first way has to lead somewhere.
async fn nodes(caches: &Caches) -> Result<Vec<&dyn BuildCache>, BuilderError> {
    let mut nodes: Vec<(&dyn BuildCache, Option<String>)> = Vec::new();
    for way in &caches.ways {
        match way.identity().await {
            Ok(identity) => {
                if nodes.iter().all(|(_, known)| *known != identity) {
                    nodes.push((&**way, identity));
                }
            }
            Err(error) if nodes.is_empty() => return Err(error),
            // No node has this platform.
            Err(_) => {}
        }
        if nodes.len() == caches.nodes {
            break;
        }
    }
    Ok(nodes.into_iter().map(|(node, _)| node).collect())
}
