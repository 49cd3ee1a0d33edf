//! What a bearer token allows (distribution, "Token Scope Documentation").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many resources of one challenge are read.
const RESOURCES: usize = 16;

/// Resources and what may be done with each: `repository:acme/api` → `pull`, `push`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Reading a repository.
    pub(super) fn pull(path: &str) -> Self {
        Self::repository(path, &["pull"])
    }

    /// Writing to a repository. Reading is part of it: a push asks what is there first.
    pub(super) fn push(path: &str) -> Self {
        Self::repository(path, &["pull", "push"])
    }

    /// Deleting from a repository; distribution wants the action `delete` for it and nothing else.
    pub(super) fn delete(path: &str) -> Self {
        Self::repository(path, &["delete", "pull"])
    }

    /// Listing the repositories of a registry.
    pub(super) fn catalog() -> Self {
        Self(BTreeMap::from([(
            "registry:catalog".to_owned(),
            BTreeSet::from(["*".to_owned()]),
        )]))
    }

    fn repository(path: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self(BTreeMap::from([(format!("repository:{path}"), actions)]))
    }

    /// Reads the `scope` of a challenge: `type:name:actions`, several separated by spaces. What
    /// does not have this form is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_ascii_whitespace().take(RESOURCES) {
            if let Some((resource, actions)) = scope.rsplit_once(':')
                && resource.contains(':')
            {
                let actions = actions.split(',').filter(|action| !action.is_empty());
                scopes
                    .0
                    .entry(resource.to_owned())
                    .or_default()
                    .extend(actions.map(str::to_owned));
            }
        }
        scopes
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (resource, actions) in other.0 {
            self.0.entry(resource).or_default().extend(actions);
        }
        self
    }

    /// These, with the actions that `other` names for the same resources. A challenge is no reason
    /// to ask for another repository: GHCR names an example in some of its own.
    pub(super) fn with_actions_of(mut self, other: &Self) -> Self {
        for (resource, actions) in &mut self.0 {
            let more = other.0.get(resource).into_iter().flatten();
            actions.extend(more.cloned());
        }
        self
    }

    /// Whether they name as many resources as `other`.
    pub(super) fn name_as_many_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
    }

    /// Whether a token for these scopes serves a request that needs `other`.
    pub(super) fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|(resource, actions)| {
            self.0
                .get(resource)
                .is_some_and(|held| held.is_superset(actions))
        })
    }

    /// One text for each resource: `repository:acme/api:pull,push`.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.texts().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(&text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_token_covers_a_narrower_need() {
        let push = Scopes::push("a/b");
        assert!(push.cover(&Scopes::pull("a/b")));
        assert!(!Scopes::pull("a/b").cover(&push));
        assert!(!push.cover(&Scopes::pull("a/c")));
        let mount = Scopes::push("a/b").and(Scopes::pull("a/c"));
        assert!(mount.cover(&Scopes::pull("a/c")) && mount.cover(&push));
        assert_eq!(
            mount.to_string(),
            "repository:a/b:pull,push repository:a/c:pull"
        );
    }

    #[test]
    fn a_challenge_may_name_several_and_a_port_within_a_name() {
        let scopes = Scopes::parse("repository:h:5000/x:pull,push registry:catalog:* nonsense a:b");
        assert_eq!(
            scopes.to_string(),
            "registry:catalog:* repository:h:5000/x:pull,push"
        );
    }

    #[test]
    fn a_challenge_cannot_grow_a_request_without_end() {
        let text: Vec<String> = (0..1000).map(|n| format!("repository:r{n}:pull")).collect();
        let asked = Scopes::parse(&text.join(" "));
        assert!(asked.texts().count() <= RESOURCES);
        let scopes = Scopes::pull("mine").with_actions_of(&asked);
        assert_eq!(scopes, Scopes::pull("mine"));
        let scopes = scopes.with_actions_of(&Scopes::push("mine"));
        assert_eq!(scopes, Scopes::push("mine"));
    }
}
