//! Which builder builds what, where the user leaves that to castoff: the cheapest that can.
//!
//! [`next`] decides with what is known so far, and says whom to ask before it can decide. It asks for
//! as little as it can: where the first builder does, nobody else is asked, and one that would have to
//! be started first is asked last.

use std::collections::{BTreeMap, BTreeSet};

use super::{BeyondClassicStore, Target, beyond_classic_store};
use crate::oci::Platform;

/// What a service asks of a builder; or several, where results are handed on within the builder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub services: Vec<String>,
    /// The platforms; none for the builder's own.
    pub platforms: Vec<Platform>,
    /// What an Engine with the classic image store cannot do of it.
    pub beyond_classic_store: BTreeSet<BeyondClassicStore>,
    /// The kinds of caches that are written.
    pub caches: BTreeSet<String>,
    /// Where results go.
    pub goal: Goal,
    /// What the builder's own platform is taken to be where the first builder cannot be asked.
    pub own: Option<Platform>,
}

/// Where results go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// Images are published.
    #[default]
    Publish,
    /// Archives or layouts of images are written to this machine.
    Archive,
    /// Files alone are.
    Files,
}

/// A builder that could be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its name for people.
    pub name: String,
    /// Whether it is an Engine's own: what it builds need not be loaded.
    pub is_engine: bool,
    /// Whether it runs: one that does not is started when it is asked.
    pub is_running: bool,
    /// What is known of it.
    pub known: Knowledge,
}

/// What is known of a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It was not asked; whoever made it said that it is for these platforms.
    Declared(Vec<Platform>),
    /// It was asked.
    Asked(Abilities),
    /// It does not answer, for this reason.
    Silent(String),
}

/// What a builder can do, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The platforms it builds for, its own first.
    pub platforms: Vec<Platform>,
    /// Those of them that it builds for without emulation.
    pub native: Vec<Platform>,
    /// Whether it can do what is beyond the classic image store.
    pub is_full: bool,
}

/// What to do next about an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take the contender of this number.
    Take {
        /// Its number.
        number: usize,
        /// Why not the first one; none where it is that.
        because: Option<String>,
    },
    /// Ask these contenders, all at once.
    Ask(Vec<usize>),
    /// Look which builders there are besides the first.
    Look,
    /// None of them can do it: why, for each.
    Nothing(Vec<String>),
}

/// Caches that BuildKit has only where it stands alone, and not inside an Engine (moby,
/// builder/builder-next/controller.go).
const NOT_IN_ENGINES: [&str; 2] = ["azblob", "s3"];

/// Something that is asked for and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lack {
    Platforms(Vec<Platform>),
    /// What has no platforms is built for that of the first builder, whoever builds it.
    Own(Platform),
    /// It has the classic image store.
    Classic(BeyondClassicStore),
    Archive,
    /// No reason to build nothing: a cache that is not written fails no build.
    Caches(Vec<String>),
}

impl Lack {
    fn is_mild(&self) -> bool {
        matches!(
            self,
            Self::Caches(_) | Self::Classic(BeyondClassicStore::Cache(_))
        )
    }

    /// What it cannot do.
    fn words(&self) -> String {
        match self {
            Self::Platforms(platforms) => format!("build for {}", joined(platforms)),
            Self::Own(platform) => format!("build for {platform} as its own platform"),
            Self::Classic(beyond) => beyond.to_string(),
            Self::Archive => "write an archive of an image".to_owned(),
            Self::Caches(kinds) => format!("write a `{}` cache", kinds.join("` or `")),
        }
    }
}

fn joined(platforms: &[Platform]) -> String {
    let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn has(platforms: &[Platform], wanted: &Platform) -> bool {
    let wanted = wanted.normalized();
    platforms.iter().any(|one| one.normalized() == wanted)
}

/// What `targets` ask: those that build on each other together, and those that ask the same together.
pub fn asks(targets: &[&Target]) -> Vec<Ask> {
    let mut asks: Vec<(Ask, Vec<String>)> = Vec::new();
    for family in families(targets) {
        let mut ask = Ask::of(&family);
        let services = std::mem::take(&mut ask.services);
        match asks.iter_mut().find(|(other, _)| *other == ask) {
            Some((_, others)) => others.extend(services),
            None => asks.push((ask, services)),
        }
    }
    let asks = asks.into_iter();
    asks.map(|(ask, services)| Ask { services, ..ask })
        .collect()
}

/// Targets by what hangs together through `service:` contexts.
fn families<'a>(targets: &[&'a Target]) -> Vec<Vec<&'a Target>> {
    let by_name = targets.iter().enumerate();
    let by_name: BTreeMap<&str, usize> = by_name
        .map(|(index, target)| (target.service.as_str(), index))
        .collect();
    let mut kin: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
    for (index, target) in targets.iter().enumerate() {
        for other in target.build.builds_on() {
            let Some(&other) = by_name.get(other) else {
                continue;
            };
            for (one, other) in [(index, other), (other, index)] {
                if let Some(kin) = kin.get_mut(one) {
                    kin.push(other);
                }
            }
        }
    }
    let mut families = Vec::new();
    let mut seen = BTreeSet::new();
    for first in 0..targets.len() {
        let mut family = BTreeSet::new();
        let mut open = vec![first];
        while let Some(index) = open.pop() {
            if seen.insert(index) {
                family.insert(index);
                open.extend(kin.get(index).into_iter().flatten());
            }
        }
        let family = family.into_iter();
        let family: Vec<&Target> = family.filter_map(|it| targets.get(it).copied()).collect();
        if !family.is_empty() {
            families.push(family);
        }
    }
    families
}

impl Ask {
    fn of(targets: &[&Target]) -> Self {
        let mut ask = Self::default();
        for target in targets {
            ask.services.push(target.service.clone());
            ask.beyond_classic_store
                .extend(beyond_classic_store(target));
            let kinds = target.cache_to.iter().map(|cache| cache.kind.clone());
            ask.caches.extend(kinds);
            for platform in &target.platforms {
                if !has(&ask.platforms, platform) {
                    ask.platforms.push(platform.clone());
                }
            }
        }
        ask.services.sort();
        ask
    }

    /// What `contender` cannot do of it. `own` is the platform that builds without platforms are for,
    /// where that is not simply the builder's own.
    fn lacks(
        &self,
        contender: &Contender,
        abilities: &Abilities,
        own: Option<&Platform>,
    ) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let missing = self.platforms.iter();
        let missing = missing.filter(|platform| !has(&abilities.platforms, platform));
        let missing: Vec<Platform> = missing.cloned().collect();
        if !missing.is_empty() {
            lacks.push(Lack::Platforms(missing));
        }
        if let (true, Some(own)) = (self.platforms.is_empty(), own) {
            let first = abilities.platforms.first().map(Platform::normalized);
            if first != Some(own.normalized()) {
                lacks.push(Lack::Own(own.clone()));
            }
        }
        if !abilities.is_full {
            let beyond = self.beyond_classic_store.iter();
            let beyond = beyond.filter(|it| self.goal != Goal::Files || !it.is_of_images());
            lacks.extend(beyond.cloned().map(Lack::Classic));
            if self.goal == Goal::Archive {
                lacks.push(Lack::Archive);
            }
        }
        // Of one with the classic store they are told already.
        let has_others = contender.is_engine && abilities.is_full;
        let missing = |kind: &&String| has_others && NOT_IN_ENGINES.contains(&kind.as_str());
        let caches = self.caches.iter().filter(missing);
        let caches: Vec<String> = caches.cloned().collect();
        if !caches.is_empty() {
            lacks.push(Lack::Caches(caches));
        }
        lacks
    }

    fn is_native(&self, abilities: &Abilities) -> bool {
        let mut platforms = self.platforms.iter();
        platforms.all(|platform| has(&abilities.native, platform))
    }
}

/// A contender that was asked.
struct Fit<'a> {
    number: usize,
    contender: &'a Contender,
    lacks: Vec<Lack>,
    is_native: bool,
}

impl Fit<'_> {
    /// Whether nothing is missing but, perhaps, a cache.
    fn is_able(&self) -> bool {
        self.lacks.iter().all(Lack::is_mild)
    }

    /// What makes one dearer than another, the gravest first.
    fn cost(&self) -> (bool, bool, bool, bool, usize) {
        (
            !self.lacks.is_empty(),
            !self.is_native,
            !self.contender.is_running,
            !self.contender.is_engine,
            self.number,
        )
    }
}

/// What to do about `ask`. The first of the `contenders` is what docker itself would build with: it is
/// taken where it can do everything. Else it is, in this order: one that has the platforms natively,
/// one that runs already, an Engine, one by its name. `are_all` says that there are no others.
pub fn next(ask: &Ask, contenders: &[Contender], are_all: bool) -> Next {
    let Some(first) = contenders.first() else {
        return Next::Nothing(Vec::new());
    };
    let own = match &first.known {
        Knowledge::Declared(_) => return Next::Ask(vec![0]),
        Knowledge::Asked(abilities) if ask.lacks(first, abilities, None).is_empty() => {
            return Next::Take {
                number: 0,
                because: None,
            };
        }
        Knowledge::Asked(abilities) => abilities.platforms.first(),
        Knowledge::Silent(_) => ask.own.as_ref(),
    };
    if !are_all {
        return Next::Look;
    }
    let unasked = |is_wanted: &dyn Fn(&Contender, &[Platform]) -> bool| -> Vec<usize> {
        let numbered = contenders.iter().enumerate();
        let wanted = numbered.filter(|(_, contender)| match &contender.known {
            Knowledge::Declared(platforms) => is_wanted(contender, platforms),
            Knowledge::Asked(_) | Knowledge::Silent(_) => false,
        });
        wanted.map(|(number, _)| number).collect()
    };
    let running = unasked(&|contender, _| contender.is_running);
    if !running.is_empty() {
        return Next::Ask(running);
    }
    let mut fits: Vec<Fit<'_>> = fits(ask, contenders, own);
    fits.sort_by_key(Fit::cost);
    let best = fits.iter().find(|fit| fit.is_able());
    let take = |fit: &Fit<'_>| Next::Take {
        number: fit.number,
        because: Some(because(ask, first, own, fit)),
    };
    // Starting a builder takes seconds; emulation takes many times as long as the build itself.
    let declares = |platforms: &[Platform]| {
        let mut asked = ask.platforms.iter();
        !ask.platforms.is_empty() && asked.all(|platform| has(platforms, platform))
    };
    let promising = unasked(&|_, platforms| declares(platforms));
    let asleep = unasked(&|_, _| true);
    let is_whole = best.is_some_and(|fit| fit.lacks.is_empty());
    let is_best = is_whole && best.is_some_and(|fit| fit.is_native);
    match (best, promising.first(), asleep.first()) {
        (Some(fit), ..) if is_best => take(fit),
        (_, Some(promising), _) => Next::Ask(vec![*promising]),
        (Some(fit), ..) if is_whole => take(fit),
        (_, _, Some(asleep)) => Next::Ask(vec![*asleep]),
        (Some(fit), ..) => {
            // Only a cache is missing, everywhere.
            let first = fits.iter().find(|fit| fit.number == 0 && fit.is_able());
            take(first.unwrap_or(fit))
        }
        (None, ..) => Next::Nothing(
            contenders
                .iter()
                .map(|contender| reason(ask, contender, own.filter(|_| contender != first)))
                .collect(),
        ),
    }
}

/// Everyone that was asked.
fn fits<'a>(ask: &Ask, contenders: &'a [Contender], own: Option<&Platform>) -> Vec<Fit<'a>> {
    let asked = contenders.iter().enumerate();
    let asked = asked.filter_map(|(number, contender)| match &contender.known {
        Knowledge::Asked(abilities) => Some(Fit {
            number,
            contender,
            lacks: ask.lacks(contender, abilities, own.filter(|_| number > 0)),
            is_native: ask.is_native(abilities),
        }),
        Knowledge::Declared(_) | Knowledge::Silent(_) => None,
    });
    asked.collect()
}

/// What a contender cannot do.
fn reason(ask: &Ask, contender: &Contender, own: Option<&Platform>) -> String {
    let name = &contender.name;
    match &contender.known {
        Knowledge::Declared(_) => format!("{name} was not asked"),
        Knowledge::Silent(why) => format!("{name} does not answer: {why}"),
        Knowledge::Asked(abilities) => {
            let lacks = ask.lacks(contender, abilities, own);
            let words: Vec<String> = lacks.iter().map(Lack::words).collect();
            format!("{name} cannot {}", words.join(", or "))
        }
    }
}

/// Why it is not simply the first.
fn because(ask: &Ask, first: &Contender, own: Option<&Platform>, taken: &Fit<'_>) -> String {
    if taken.number == 0 {
        return format!("{}, and no other builder can", reason(ask, first, own));
    }
    let why = match &first.known {
        Knowledge::Silent(_) => format!("{} does not answer", first.name),
        Knowledge::Declared(_) | Knowledge::Asked(_) => reason(ask, first, None),
    };
    let how = match (ask.platforms.is_empty(), taken.is_native) {
        (true, _) => "",
        (false, true) => " natively",
        (false, false) => " by emulation",
    };
    format!("{why}; {} does{how}", taken.contender.name)
}

/// The command that makes a builder which can do what `ask` asks, in a sentence.
pub fn remedy(ask: &Ask, contenders: &[Contender]) -> String {
    let Some(first) = contenders.first() else {
        return String::new();
    };
    let create = "docker buildx create --name castoff --driver docker-container";
    let lacks = match &first.known {
        Knowledge::Asked(abilities) => ask.lacks(first, abilities, None),
        Knowledge::Declared(_) | Knowledge::Silent(_) => Vec::new(),
    };
    let missing = lacks.iter().find_map(|lack| match lack {
        Lack::Platforms(platforms) => Some(platforms),
        _ => None,
    });
    let Some(missing) = missing else {
        return format!("`{create} --bootstrap` makes one that can, and castoff finds it");
    };
    let mut architectures: Vec<&str> = missing.iter().map(Platform::architecture).collect();
    architectures.dedup();
    let platforms = joined(missing).replace(' ', "");
    format!(
        "emulate it: `docker run --privileged --rm tonistiigi/binfmt --install {}`; or make a builder that has it, and castoff finds it: `{create} --platform {platforms} --bootstrap`, with `ssh://USER@MACHINE` behind it for one on another machine",
        architectures.join(",")
    )
}

#[cfg(test)]
mod tests;
