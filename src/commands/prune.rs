//! `castoff prune`: what of this project may go.

use serde::Serialize;

use super::read::{Read, read, warn};
use super::{Given, adapters, pretty, session};
use crate::cli::{Format, PruneArguments, PrunePlace};
use crate::config::LocalPrune;
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Event;
use crate::execute::ports::{Builder, Engine};
use crate::exit::Exit;
use crate::facts;
use crate::plan::{self, Purpose, retention};
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

pub(super) fn run(given: &Given<'_>, arguments: &PruneArguments) -> Result<Exit, Error> {
    let PrunePlace::Local = arguments.place;
    let read = read(given, Purpose::Load)?;
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
    let plan = read.plan(&[])?;
    let world = adapters::without_ledger(given, &read, &plan)?;
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
        let (policy, engine, world, read) = (&policy, &engine, &world, &read);
        async move {
            let apply = arguments.apply;
            let result = local(&cx, policy, read, engine, &*world.builders.general, apply).await;
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else {
                Exit::Done
            };
            (result, exit)
        }
    })?;
    let pruned = result?;
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
            given.printer.result(&pruned_table(&rows, arguments.apply));
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
    builder: &dyn Builder,
    apply: bool,
) -> Result<Vec<Pruned>, Error> {
    let project = &read.project;
    let names = plan::repositories(project, &read.settings);
    let contents = engine
        .contents(&project.name)
        .await?
        .own(&project.name, &names);
    let now = facts::timestamp();
    let mut pruned = Vec::new();
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
            return Ok(pruned);
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
        let records = builder.cache().await?;
        if let Some(removal) = retention::cache_removal(policy, &records, now) {
            let bytes = if apply {
                builder
                    .prune_cache(removal.keep, removal.unused_for)
                    .await?
            } else {
                removal.frees
            };
            tell(Pruned {
                kind: "build cache".to_owned(),
                id: format!("{} records", removal.records),
                bytes,
                because: removal.because(),
                applied: apply,
            });
        }
    }
    Ok(pruned)
}
