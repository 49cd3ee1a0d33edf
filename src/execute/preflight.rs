use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::ports::{Builder, RegistryError, RegistryFault, Survey};
use super::{Failure, World, immutable, merge};
use crate::cx::Cx;
use crate::event::{Event, Finding};
use crate::oci::{Platform, Reference};
use crate::plan::{Action, CLASSIC_STORE_REMEDY, Destination, Plan, Target, beyond_classic_store};

/// How many repositories are asked at the same time.
const AT_ONCE: usize = 16;

/// Looks at everything that a publish needs before anything is built. Gives all of what is wrong
/// together.
pub async fn check(cx: &Cx, plan: &Plan, world: &World) -> Vec<Finding> {
    look(cx, plan, world).await.0
}

/// Registries that are not required and that nothing is sent to, by name, and why.
type GivenUp = BTreeMap<String, RegistryError>;

async fn look(cx: &Cx, plan: &Plan, world: &World) -> (Vec<Finding>, GivenUp) {
    let begun = Instant::now();
    let (builders, (registries, given_up), missing) = tokio::join!(
        builders(plan, world),
        registries(cx, plan, world),
        merge::missing(cx, plan, world)
    );
    let mut findings = builders;
    findings.extend(registries);
    findings.extend(missing);
    findings.extend(immutable::in_the_way(plan));
    let blind = unordered(world, &findings);
    findings.extend(blind);
    cx.events.tell(Event::PreflightFinished {
        findings: findings.clone(),
        seconds: begun.elapsed().as_secs_f64(),
    });
    (findings, given_up)
}

/// Tags with an order whose images cannot be read: they may be newer than what would be published. Where a
/// registry or repository is not ready at all, that has been said.
fn unordered(world: &World, findings: &[Finding]) -> Vec<Finding> {
    let is_said = |tag: &Reference| {
        let (host, place) = (tag.repository().domain(), tag.repository().to_string());
        let mut fatal = findings.iter().filter(|finding| finding.fatal);
        fatal.any(|finding| finding.subject == host || finding.subject == place)
    };
    let blind = world.blind.iter();
    blind
        .filter(|(tag, _)| !is_said(tag))
        .map(|(tag, why)| Finding {
            fatal: true,
            subject: tag.to_string(),
            message: format!("what it points to cannot be read, and may be newer than this: {why}"),
            hint: Some(
                "run it again once its registry answers; `--allow-backwards` publishes without looking"
                    .to_owned(),
            ),
        })
        .collect()
}

/// Whether a publish can go ahead. Gives the registries that it goes ahead without.
pub(super) async fn pass(cx: &Cx, plan: &Plan, world: &World) -> Result<GivenUp, Failure> {
    let (findings, given_up) = look(cx, plan, world).await;
    if cx.cancel.is_cancelled() {
        return Err(Failure::Interrupted { step: "preflight" });
    }
    if findings.iter().any(|finding| finding.fatal) {
        return Err(Failure::NotReady(findings));
    }
    merge::prove(cx, plan, world).await?;
    Ok(given_up)
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

/// Whether there is a builder for everything that is written to this machine, asked of the builders.
pub(super) async fn fitting(plan: &Plan, world: &World) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for target in &plan.targets {
        let builder = world.builders.of(&target.service);
        let (message, hint) = match builder.survey().await {
            Ok(survey) => {
                findings.extend(missing(&survey, &[target]));
                continue;
            }
            Err(error) => (error.to_string(), error.hint()),
        };
        // One builder is one finding, and not one for every service.
        if !findings.iter().any(|known| known.message == message) {
            findings.push(Finding {
                fatal: true,
                subject: "builder".to_owned(),
                message,
                hint,
            });
        }
    }
    findings
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
    let mut findings = Vec::new();
    if !survey.full_exporter {
        findings.extend(targets.iter().filter_map(|target| beyond(survey, target)));
    }
    findings.extend(missing(survey, targets));
    findings
}

/// The targets that name the machine a builder runs on, where it does not say which that is.
fn gateways<'a>(survey: &'a Survey, targets: &'a [&Target]) -> impl Iterator<Item = Finding> + 'a {
    let asking = targets
        .iter()
        .filter(|target| target.build.names_host_gateway());
    let unsaid = asking.filter(|_| survey.host_gateway.is_none());
    unsaid.map(|target| Finding {
        fatal: true,
        subject: target.service.clone(),
        message: format!(
            "{} does not say which address `host-gateway` stands for in its `extra_hosts`",
            survey.name
        ),
        hint: Some("only a Docker Engine's own builder does: write the address itself".to_owned()),
    })
}

/// What `targets` ask of a builder, wherever their results go, and it does not have.
fn missing(survey: &Survey, targets: &[&Target]) -> Vec<Finding> {
    let has = |platform: &Platform| {
        survey
            .platforms
            .iter()
            .any(|has| has.normalized() == platform.normalized())
    };
    let asked = targets.iter().flat_map(|target| &target.platforms);
    let missing: BTreeSet<&Platform> = asked.filter(|platform| !has(platform)).collect();
    let missing = missing.into_iter().map(|platform| Finding {
        fatal: true,
        subject: "builder".to_owned(),
        message: format!("{} cannot build for {platform}", survey.name),
        hint: Some(format!(
            "install emulation with `docker run --privileged --rm tonistiigi/binfmt --install {}`; or make a builder that has the platform with `docker buildx create --driver docker-container --name castoff --platform {platform}`, and name it with `--builder castoff`",
            platform.architecture()
        )),
    });
    missing.chain(gateways(survey, targets)).collect()
}

/// What a target asks of an Engine with the classic image store and that cannot do.
fn beyond(survey: &Survey, target: &Target) -> Option<Finding> {
    let beyond = beyond_classic_store(target);
    let beyond: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    (!beyond.is_empty()).then(|| Finding {
        fatal: true,
        subject: target.service.clone(),
        message: format!(
            "{} keeps images in the classic store, which cannot {}",
            survey.name,
            beyond.join(", nor ")
        ),
        hint: Some(CLASSIC_STORE_REMEDY.to_owned()),
    })
}

/// Whether every repository that has to be written may be. Only a required one is in the way of a publish;
/// the registries of the others are given up, and those that are given up already are not asked again.
async fn registries(cx: &Cx, plan: &Plan, world: &World) -> (Vec<Finding>, GivenUp) {
    let mut places: Vec<&Destination> = Vec::new();
    // Where a repository is required once, it is required.
    for is_required in [true, false] {
        for target in &plan.targets {
            let own = target.destinations.iter();
            for place in own.filter(|place| place.required == is_required) {
                let is_known = |known: &&Destination| known.repository == place.repository;
                if target.writes_to(place) && !places.iter().any(is_known) {
                    places.push(place);
                }
            }
        }
    }
    let checks = places.into_iter().map(|place| async move {
        let error = match world.given_up.get(&place.registry) {
            Some(error) => Some(error.clone()),
            None => {
                let checked = world.registry.check_write(cx, &place.repository);
                checked.await.err()
            }
        };
        (place, error)
    });
    let answers: Vec<_> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    let mut findings: Vec<Finding> = Vec::new();
    let mut given_up = world.given_up.clone();
    let mut down = BTreeSet::new();
    for (place, error) in answers {
        let Some(error) = error else { continue };
        if matches!(error.fault, RegistryFault::Cancelled) {
            continue;
        }
        if !place.required {
            let registry = place.registry.clone();
            given_up.entry(registry).or_insert_with(|| error.clone());
        }
        // A registry that does not answer is one finding, and not one for every service.
        let is_host = world.given_up.contains_key(&place.registry)
            || matches!(
                error.fault,
                RegistryFault::Unreachable { .. } | RegistryFault::Tls { .. }
            );
        let domain = place.repository.domain();
        if is_host && !down.insert(domain) {
            continue;
        }
        findings.push(Finding {
            fatal: place.required,
            subject: if is_host {
                domain.to_owned()
            } else {
                place.repository.to_string()
            },
            message: error.fault.to_string(),
            hint: error.hint(),
        });
    }
    (findings, given_up)
}
