//! Checks that the parts of a project fit together: compose-go's `loader/validate.go`, on the
//! enabled services of a decoded document.

use std::collections::{HashMap, HashSet};

use super::error::{Fault, Problem, nearest};
use super::node::{Entry, Map, Node, Place, Value};

/// The services of a document, split by profiles.
pub(super) struct Services<'a> {
    /// The document.
    pub document: &'a Map,
    /// The enabled ones.
    pub enabled: &'a Map,
    /// The others.
    pub disabled: &'a Map,
}

impl Services<'_> {
    /// Checks all enabled services. `scale` has been copied to `deploy.replicas` before.
    pub(super) fn check(&self) -> Result<(), Box<Fault>> {
        for (name, entry) in self.enabled.iter() {
            let Some(service) = entry.node.as_map() else {
                continue;
            };
            let one = One {
                all: self,
                name,
                service,
                place: entry.key,
            };
            one.check()?;
        }
        self.sources()?;
        self.cycles()
    }

    /// Whether secrets say where they come from.
    fn sources(&self) -> Result<(), Box<Fault>> {
        for (name, entry) in section(self.document, "secrets") {
            let Some(secret) = entry.node.as_map() else {
                continue;
            };
            let external = secret.get("external").is_some_and(Node::is_true);
            if !external && !secret.has("file") && !secret.has("environment") {
                let message = format!("secret `{name}` needs `file` or `environment`");
                return Err(Fault::rule(entry.key, message));
            }
        }
        Ok(())
    }

    /// Whether services wait for one another in a circle.
    fn cycles(&self) -> Result<(), Box<Fault>> {
        let mut done: HashSet<&str> = HashSet::new();
        let mut names: Vec<&str> = self.enabled.keys().map(|key| &**key).collect();
        names.sort_unstable();
        for name in names {
            // A way through the graph: the services on it, each with those it still has to visit.
            let mut way: Vec<(&str, Vec<&str>)> = vec![(name, self.waits_for(name))];
            let mut on_way: HashSet<&str> = HashSet::from([name]);
            while let Some((here, left)) = way.last_mut() {
                let Some(next) = left.pop() else {
                    done.insert(here);
                    on_way.remove(*here);
                    way.pop();
                    continue;
                };
                if on_way.contains(next) {
                    let from = way.iter().position(|(name, _)| *name == next).unwrap_or(0);
                    let mut chain: Vec<String> = way
                        .iter()
                        .skip(from)
                        .map(|(name, _)| (*name).to_owned())
                        .collect();
                    chain.push(next.to_owned());
                    let place = self.enabled.entry(next).map(|entry| entry.key);
                    let what = "`depends_on`";
                    return Err(Fault::new(
                        place.unwrap_or_default(),
                        Problem::Circle { what, chain },
                    ));
                }
                if !done.contains(next) {
                    on_way.insert(next);
                    way.push((next, self.waits_for(next)));
                }
            }
        }
        Ok(())
    }

    /// The enabled services that a service waits for, the first one last.
    fn waits_for(&self, name: &str) -> Vec<&str> {
        let service = self.enabled.get(name).and_then(Node::as_map);
        let mut names: Vec<&str> = service
            .into_iter()
            .flat_map(|service| section(service, "depends_on"))
            .map(|(name, _)| name)
            .filter(|name| self.enabled.has(name))
            .collect();
        names.sort_unstable_by(|one, two| two.cmp(one));
        names
    }
}

/// The entries of a mapping below a key.
pub(super) fn section<'a>(
    map: &'a Map,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a super::node::Entry)> {
    map.get(key)
        .and_then(Node::as_map)
        .into_iter()
        .flat_map(Map::iter)
        .map(|(key, entry)| (&**key, entry))
}

fn list<'a>(map: &'a Map, key: &str) -> impl Iterator<Item = &'a Node> {
    map.get(key)
        .and_then(Node::as_list)
        .unwrap_or_default()
        .iter()
}

struct One<'a> {
    all: &'a Services<'a>,
    name: &'a str,
    service: &'a Map,
    place: Place,
}

impl One<'_> {
    fn check(&self) -> Result<(), Box<Fault>> {
        let service = self.service;
        if !service.has("build") && !service.has("image") && !service.has("provider") {
            let message = format!("service `{}` has neither `image` nor `build`", self.name);
            let hint = Some("give it one of the two; with several files, name all of them with -f");
            return Err(Fault::new(self.place, Problem::Rule { message, hint }));
        }
        if let Some(build) = service.get("build").and_then(Node::as_map) {
            self.build(build)?;
        }
        if let (Some(mode), true) = (service.entry("network_mode"), service.has("networks")) {
            return self.wrong(
                mode.key,
                "sets both `network_mode` and `networks`, which exclude each other",
            );
        }
        for (network, entry) in section(service, "networks") {
            self.defined("networks", "uses the network", network, entry.key)?;
        }
        let health = service.get("healthcheck").and_then(Node::as_map);
        if let Some(first) = health.and_then(|health| list(health, "test").next())
            && !matches!(first.as_text(), Some("CMD" | "CMD-SHELL" | "NONE"))
        {
            return self.wrong(
                first.place,
                "has a health check that does not begin with CMD, CMD-SHELL or NONE",
            );
        }
        self.dependencies()?;
        self.references()?;
        self.numbers()?;
        self.watches()?;
        self.mounts()
    }

    fn wrong(&self, place: Place, what: &str) -> Result<(), Box<Fault>> {
        Err(Fault::rule(
            place,
            format!("service `{}` {what}", self.name),
        ))
    }

    fn defined(
        &self,
        section_name: &str,
        refers: &'static str,
        name: &str,
        place: Place,
    ) -> Result<(), Box<Fault>> {
        let known = self.all.document.get(section_name).and_then(Node::as_map);
        if known.is_some_and(|known| known.has(name)) {
            return Ok(());
        }
        let names = known.into_iter().flat_map(Map::keys).map(|key| &**key);
        Err(self.undefined(refers, name, place, nearest(name, names)))
    }

    fn undefined(
        &self,
        refers: &'static str,
        name: &str,
        place: Place,
        nearest: Option<String>,
    ) -> Box<Fault> {
        let disabled = self.all.disabled.get(name).and_then(Node::as_map);
        let profiles = match refers {
            "depends on" => disabled
                .into_iter()
                .flat_map(|service| list(service, "profiles"))
                .filter_map(|profile| profile.as_text().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        Fault::new(
            place,
            Problem::Undefined {
                service: self.name.to_owned(),
                refers,
                name: name.to_owned(),
                nearest: nearest.filter(|_| profiles.is_empty()),
                profiles,
            },
        )
    }

    fn build(&self, build: &Map) -> Result<(), Box<Fault>> {
        if let (Some(inline), true) = (build.entry("dockerfile_inline"), build.has("dockerfile")) {
            return self.wrong(
                inline.key,
                "sets both `dockerfile` and `dockerfile_inline`, which exclude each other",
            );
        }
        for (context, entry) in section(build, "additional_contexts") {
            let Some(target) = entry
                .node
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
            else {
                continue;
            };
            let Some(other) = self.all.enabled.get(target).and_then(Node::as_map) else {
                let names = self.all.enabled.keys().map(|key| &**key);
                let nearest = nearest(target, names);
                return Err(self.undefined("builds on", target, entry.place(), nearest));
            };
            if !other.has("build") {
                let what =
                    format!("has the context `{context}` from `{target}`, which is not built");
                return self.wrong(entry.place(), &what);
            }
        }
        let platform = self.service.get("platform").and_then(Node::as_text);
        if let Some(platform) = platform
            && build.has("platforms")
            && !list(build, "platforms").any(|one| one.as_text() == Some(platform))
        {
            let place = build
                .entry("platforms")
                .map_or(self.place, |entry| entry.key);
            let what = format!("runs on `{platform}`, which `build.platforms` has not");
            return self.wrong(place, &what);
        }
        for secret in list(build, "secrets") {
            self.reference(secret, "secrets", "uses the build secret")?;
        }
        Ok(())
    }

    fn reference(
        &self,
        node: &Node,
        section: &str,
        refers: &'static str,
    ) -> Result<(), Box<Fault>> {
        let source = node.as_map().and_then(|map| map.get("source"));
        let name = source.and_then(Node::as_text).unwrap_or_default();
        self.defined(
            section,
            refers,
            name,
            source.map_or(node.place, |source| source.place),
        )
    }

    fn dependencies(&self) -> Result<(), Box<Fault>> {
        for (name, entry) in section(self.service, "depends_on") {
            if self.all.enabled.has(name) {
                continue;
            }
            let required = entry
                .node
                .as_map()
                .and_then(|dependency| dependency.get("required"))
                .is_some_and(Node::is_true);
            if self.all.disabled.has(name) && !required {
                continue;
            }
            let names = self.all.enabled.keys().map(|key| &**key);
            return Err(self.undefined("depends on", name, entry.key, nearest(name, names)));
        }
        let mode = self.service.get("network_mode");
        let shared = mode.and_then(|mode| mode.as_text()?.strip_prefix("service:"));
        if let (Some(mode), Some(shared)) = (mode, shared)
            && !self.all.enabled.has(shared)
        {
            let names = self.all.enabled.keys().map(|key| &**key);
            return Err(self.undefined(
                "shares the network of",
                shared,
                mode.place,
                nearest(shared, names),
            ));
        }
        Ok(())
    }

    fn references(&self) -> Result<(), Box<Fault>> {
        for mount in list(self.service, "volumes") {
            let Some(map) = mount.as_map() else { continue };
            let source = map.get("source");
            if map.get("type").and_then(Node::as_text) == Some("volume")
                && let Some(source) = source
            {
                let name = source.as_text().unwrap_or_default();
                self.defined("volumes", "uses the volume", name, source.place)?;
            }
        }
        for config in list(self.service, "configs") {
            self.reference(config, "configs", "uses the config")?;
        }
        for (model, entry) in section(self.service, "models") {
            self.defined("models", "uses the model", model, entry.key)?;
        }
        for secret in list(self.service, "secrets") {
            self.reference(secret, "secrets", "uses the secret")?;
        }
        Ok(())
    }

    /// Numbers that are set in two places, and numbers of containers.
    fn numbers(&self) -> Result<(), Box<Fault>> {
        let service = self.service;
        let deploy = service.get("deploy").and_then(Node::as_map);
        let scale = int(service.get("scale"));
        let replicas = deploy.and_then(|deploy| int(deploy.get("replicas")));
        let scale_place = service.entry("scale").map_or(self.place, |entry| entry.key);
        if let (Some(scale), Some(replicas)) = (scale, replicas)
            && scale != replicas
        {
            return self.wrong(
                scale_place,
                "sets `scale` and `deploy.replicas` to different values",
            );
        }
        if scale.or(replicas).is_some_and(|count| count < 0) {
            // What is larger than the largest number has become a negative one.
            let replicas = || deploy.and_then(|deploy| deploy.entry("replicas"));
            let entry = service.entry("scale").or_else(replicas);
            let place = entry.map_or(self.place, Entry::place);
            let rule = format!(
                "cannot have fewer than 0 containers, or more than {}",
                i64::MAX
            );
            return self.wrong(place, &rule);
        }
        let limits = deploy.and_then(|deploy| deploy.get("resources")?.as_map());
        for (key, side, other) in [
            ("cpus", "limits", "cpus"),
            ("mem_limit", "limits", "memory"),
            ("mem_reservation", "reservations", "memory"),
            ("pids_limit", "limits", "pids"),
        ] {
            let side_map = limits.and_then(|limits| limits.get(side)?.as_map());
            if let (Some(own), Some(side_map)) = (service.entry(key), side_map)
                && !side_map
                    .get(other)
                    .is_some_and(|other| other.same(&own.node))
            {
                let what = format!(
                    "sets `{key}` and `deploy.resources.{side}.{other}` to different values"
                );
                return self.wrong(own.key, &what);
            }
        }
        if scale.or(replicas).unwrap_or(1) > 1
            && let Some(name) = service.entry("container_name")
        {
            return self.wrong(
                name.key,
                "has a `container_name`, and so can have only one container",
            );
        }
        Ok(())
    }

    fn watches(&self) -> Result<(), Box<Fault>> {
        let develop = self.service.get("develop").and_then(Node::as_map);
        for watch in develop
            .into_iter()
            .flat_map(|develop| list(develop, "watch"))
        {
            let Some(map) = watch.as_map() else { continue };
            let action = map.get("action").and_then(Node::as_text);
            if !map.has("target") && !matches!(action, Some("rebuild" | "restart")) {
                return self.wrong(
                    watch.place,
                    "has a watch without `target`, which its action needs",
                );
            }
        }
        Ok(())
    }

    /// Whether two things are mounted at the same place.
    fn mounts(&self) -> Result<(), Box<Fault>> {
        let mut seen: HashMap<&str, Place> = HashMap::new();
        let tmpfs = list(self.service, "tmpfs").map(|node| {
            let text = node.as_text().unwrap_or_default();
            (text.split(':').next().unwrap_or_default(), node.place)
        });
        let volumes = list(self.service, "volumes").map(|node| {
            let target = node.as_map().and_then(|mount| mount.get("target"));
            (
                target.and_then(Node::as_text).unwrap_or_default(),
                node.place,
            )
        });
        for (target, place) in tmpfs.chain(volumes) {
            if let Some(before) = seen.insert(target, place) {
                let message = format!("service `{}` mounts two things at `{target}`", self.name);
                let hint = None;
                return Err(Fault::between(
                    place,
                    before,
                    Problem::Rule { message, hint },
                ));
            }
        }
        Ok(())
    }
}

fn int(node: Option<&Node>) -> Option<i64> {
    match node?.value {
        Value::Int(whole) => Some(whole),
        _ => None,
    }
}

/// Checks that no two containers have the same name.
pub(super) fn container_names(services: &Map) -> Result<(), Box<Fault>> {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for (_, entry) in services.iter() {
        let name = entry
            .node
            .as_map()
            .and_then(|service| service.get("container_name"));
        if let Some(name) = name
            && let Some(text) = name.as_text()
            && let Some(before) = seen.insert(text, name.place)
        {
            let message = format!("two services have the container name `{text}`");
            let hint = None;
            return Err(Fault::between(
                name.place,
                before,
                Problem::Rule { message, hint },
            ));
        }
    }
    Ok(())
}
