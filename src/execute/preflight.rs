use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::ports::{Builder, RegistryFault, Survey};
use super::{Failure, World, immutable};
use crate::cx::Cx;
use crate::event::{Event, Finding};
use crate::oci::{Platform, Repository};
use crate::plan::{Action, Plan, Target};

/// How many repositories are asked at the same time.
const AT_ONCE: usize = 16;

/// Looks at everything that a publish needs before anything is built. Gives all of what is wrong
/// together.
pub async fn check(cx: &Cx, plan: &Plan, world: &World) -> Vec<Finding> {
    let begun = Instant::now();
    let (builders, registries) = tokio::join!(builders(plan, world), registries(cx, plan, world));
    let mut findings = builders;
    findings.extend(registries);
    findings.extend(immutable::findings(plan));
    cx.events.tell(Event::PreflightFinished {
        findings: findings.clone(),
        seconds: begun.elapsed().as_secs_f64(),
    });
    findings
}

/// Whether a publish can go ahead.
pub(super) async fn pass(cx: &Cx, plan: &Plan, world: &World) -> Result<(), Failure> {
    let findings = check(cx, plan, world).await;
    if cx.cancel.is_cancelled() {
        return Err(Failure::Interrupted { step: "preflight" });
    }
    if findings.iter().any(|finding| finding.fatal) {
        return Err(Failure::NotReady(findings));
    }
    Ok(())
}

/// Whether every builder answers, and can do what it is asked for.
async fn builders(plan: &Plan, world: &World) -> Vec<Finding> {
    let mut asked: Vec<(&Arc<dyn Builder>, Vec<&Target>)> = Vec::new();
    for target in plan.targets.iter().filter(|target| is_built(target)) {
        let builder = world.builders.of(&target.service);
        match asked.iter_mut().find(|(one, _)| Arc::ptr_eq(one, builder)) {
            Some((_, targets)) => targets.push(target),
            None => asked.push((builder, vec![target])),
        }
    }
    let surveys = asked.into_iter().map(|(builder, targets)| async move {
        match builder.survey().await {
            Ok(survey) => capabilities(&survey, &targets),
            Err(error) => vec![Finding {
                fatal: true,
                subject: "builder".to_owned(),
                message: error.to_string(),
                hint: error.hint(),
            }],
        }
    });
    let findings: Vec<Vec<Finding>> = stream::iter(surveys).buffered(AT_ONCE).collect().await;
    let mut findings = findings.concat();
    findings.extend(parted(plan, world));
    findings.extend(secrets(plan, world));
    findings
}

/// Secrets that are to come from variables that are not set.
fn secrets(plan: &Plan, world: &World) -> Vec<Finding> {
    let built = plan.targets.iter().filter(|target| is_built(target));
    let unset = built.flat_map(|target| {
        let builder = world.builders.of(&target.service);
        let names = builder.unset_secrets(&target.build);
        names.into_iter().map(|name| (&target.service, name))
    });
    unset
        .map(|(service, name)| Finding {
            fatal: true,
            subject: service.clone(),
            message: format!("a secret of its build comes from {name}, which is not set"),
            hint: Some(format!("set {name} in the environment")),
        })
        .collect()
}

fn is_built(target: &Target) -> bool {
    target.action == Action::Build
}

/// Services that build on others and have another builder: results stay where they were made.
pub(super) fn parted(plan: &Plan, world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in plan.targets.iter().filter(|target| is_built(target)) {
        let own = world.builders.of(&target.service);
        for other in target.build.builds_on() {
            let builder = world.builders.of(other);
            let is_other = plan
                .targets
                .iter()
                .any(|target| target.service == other && is_built(target))
                && !Arc::ptr_eq(own, builder);
            if is_other {
                findings.push(Finding {
                    fatal: true,
                    subject: target.service.clone(),
                    message: format!(
                        "it builds on `{other}`, but {} builds it and {} builds `{other}`",
                        own.name(),
                        builder.name()
                    ),
                    hint: Some("give both services the same `builder`".to_owned()),
                });
            }
        }
    }
    findings
}

/// What `targets` ask of a builder and it cannot do.
fn capabilities(survey: &Survey, targets: &[&Target]) -> Vec<Finding> {
    let has = |platform: &Platform| {
        survey
            .platforms
            .iter()
            .any(|has| has.normalized() == platform.normalized())
    };
    let mut findings = Vec::new();
    let mut missing = BTreeSet::new();
    for target in targets {
        missing.extend(target.platforms.iter().filter(|platform| !has(platform)));
    }
    if !survey.full_exporter {
        findings.push(Finding {
            fatal: true,
            subject: "builder".to_owned(),
            message: format!(
                "{} keeps images in the classic store, from which nothing can be pushed by its digest alone",
                survey.name
            ),
            hint: Some(
                "switch the Engine to the containerd image store (`\"features\": {\"containerd-snapshotter\": true}` in its daemon.json), or make a builder with `docker buildx create --driver docker-container --name castoff` and name it with `--builder castoff`"
                    .to_owned(),
            ),
        });
    }
    findings.extend(missing.into_iter().map(|platform| Finding {
        fatal: true,
        subject: "builder".to_owned(),
        message: format!("{} cannot build for {platform}", survey.name),
        hint: Some(format!(
            "install emulation with `docker run --privileged --rm tonistiigi/binfmt --install {}`, name a builder that has the platform with `--builder`, or drop the platform",
            platform.architecture()
        )),
    }));
    findings
}

/// Whether every repository that has to be written may be. Only a required one is in the way of a publish.
async fn registries(cx: &Cx, plan: &Plan, world: &World) -> Vec<Finding> {
    let mut repositories: Vec<(&Repository, bool)> = Vec::new();
    let places = plan.targets.iter().flat_map(|target| {
        let places = target.destinations.iter();
        places.filter(|place| target.writes_to(place))
    });
    for place in places {
        match repositories
            .iter_mut()
            .find(|(repository, _)| **repository == place.repository)
        {
            Some((_, required)) => *required |= place.required,
            None => repositories.push((&place.repository, place.required)),
        }
    }
    let checks = repositories
        .into_iter()
        .map(|(repository, required)| async move {
            let result = world.registry.check_write(cx, repository).await;
            (repository, required, result.err())
        });
    let answers: Vec<_> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    let mut findings: Vec<Finding> = Vec::new();
    let mut down = BTreeSet::new();
    for (repository, required, error) in answers {
        let Some(error) = error else { continue };
        if matches!(error.fault, RegistryFault::Cancelled) {
            continue;
        }
        // A registry that does not answer is one finding, and not one for every service.
        let is_host = matches!(
            error.fault,
            RegistryFault::Unreachable { .. } | RegistryFault::Tls { .. }
        );
        if is_host && !down.insert(repository.domain()) {
            continue;
        }
        findings.push(Finding {
            fatal: required,
            subject: if is_host {
                repository.domain().to_owned()
            } else {
                repository.to_string()
            },
            message: error.fault.to_string(),
            hint: error.hint(),
        });
    }
    findings
}
