//! `build` of the decoded document as the rest of castoff sees it.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::super::budget::Budget;
use super::super::consistency::section;
use super::super::decode::EXTENSIONS;
use super::super::defaults::SECRET_VALUE;
use super::super::error::{Fault, Problem, nearest};
use super::super::loader::Environment;
use super::super::model::{
    Bake, Build, BuildSecret, CacheEntry, Context, SecretSource, SshKey, Ulimit,
};
use super::super::node::{Map, Node, Place, Value};
use super::super::paths;
use super::super::short::gitref::is_remote_context;
use super::services::{Assembly, extensions, flag, list_of_text, text, text_map, texts};

/// The key of the extension that `docker buildx bake` reads.
const BAKE: &str = "x-bake";

/// The keys that bake knows.
const BAKE_KEYS: [&str; 11] = [
    "tags",
    "cache-from",
    "cache-to",
    "secret",
    "ssh",
    "platforms",
    "output",
    "no-cache-filter",
    "pull",
    "no-cache",
    "contexts",
];

/// What no builder can build.
pub(super) type Faults = Vec<Box<Fault>>;

impl Assembly<'_> {
    /// One build. What no builder can build is added to `faults`.
    pub(super) fn build(&self, build: &Map, faults: &mut Faults) -> Build {
        let mut others = extensions(build);
        others.remove(BAKE);
        let bake = build
            .get(EXTENSIONS)
            .and_then(|extensions| extensions.as_map()?.entry(BAKE));
        let arguments = section(build, "args");
        let contexts = section(build, "additional_contexts");
        Build {
            context: context(&text(build, "context").unwrap_or_default()),
            dockerfile: text(build, "dockerfile").unwrap_or_else(|| "Dockerfile".to_owned()),
            dockerfile_inline: text(build, "dockerfile_inline"),
            args: arguments
                .filter_map(|(name, entry)| {
                    Some((name.to_owned(), entry.node.as_text()?.to_owned()))
                })
                .collect(),
            ssh: section(build, "ssh").map(ssh_key).collect(),
            cache_from: cache_entries(build, "cache_from", faults),
            cache_to: cache_entries(build, "cache_to", faults),
            additional_contexts: contexts
                .filter_map(|(name, entry)| Some((name.to_owned(), context(entry.node.as_text()?))))
                .collect(),
            extra_hosts: section(build, "extra_hosts")
                .map(|(host, entry)| (host.to_owned(), list_of_text(&entry.node)))
                .collect(),
            isolation: text(build, "isolation"),
            privileged: flag(build, "privileged"),
            labels: text_map(build, "labels"),
            no_cache: flag(build, "no_cache"),
            no_cache_filter: Vec::new(),
            pull: flag(build, "pull"),
            network: text(build, "network"),
            shm_size: text(build, "shm_size")
                .and_then(|size| size.parse().ok())
                .unwrap_or_default(),
            target: text(build, "target"),
            secrets: self.secrets(build),
            tags: texts(build, "tags"),
            ulimits: section(build, "ulimits")
                .map(|(name, entry)| (name.to_owned(), ulimit(&entry.node)))
                .collect(),
            platforms: texts(build, "platforms"),
            entitlements: texts(build, "entitlements"),
            provenance: text(build, "provenance"),
            sbom: text(build, "sbom"),
            bake: bake.map(|bake| self.bake(&bake.node, bake.key, faults)),
            extensions: others,
        }
    }

    fn secrets(&self, build: &Map) -> Vec<BuildSecret> {
        let items = build.get("secrets").and_then(Node::as_list);
        let references = items.unwrap_or_default().iter().filter_map(Node::as_map);
        references
            .map(|reference| {
                let name = text(reference, "source").unwrap_or_default();
                BuildSecret {
                    id: text(reference, "target").unwrap_or_else(|| name.clone()),
                    source: self.secret(&name),
                    name,
                    uid: text(reference, "uid"),
                    gid: text(reference, "gid"),
                    mode: text(reference, "mode")
                        .and_then(|mode| u32::from_str_radix(&mode, 8).ok()),
                }
            })
            .collect()
    }

    fn secret(&self, name: &str) -> SecretSource {
        let secret = self.secrets.and_then(|secrets| secrets.get(name)?.as_map());
        let Some(secret) = secret else {
            return SecretSource::External;
        };
        if let Some(file) = text(secret, "file") {
            return SecretSource::File(PathBuf::from(file));
        }
        match text(secret, "environment") {
            Some(variable) => {
                let kept = secret.get(EXTENSIONS).and_then(Node::as_map);
                let value = kept
                    .and_then(|kept| text(kept, SECRET_VALUE))
                    .or_else(|| self.environment.get(&variable).cloned());
                SecretSource::Environment { variable, value }
            }
            None => SecretSource::External,
        }
    }
}

/// Counts the values of secrets that come from variables: each build that names one has its own.
pub(super) fn count_secrets(
    services: &Map,
    secrets: Option<&Map>,
    environment: &Environment,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let length = |name: &str| {
        let secret = secrets?.get(name)?.as_map()?;
        let variable = secret.get("environment")?.as_text()?;
        environment.get(variable).map(String::len)
    };
    for (_, entry) in services.iter() {
        let build = entry.node.as_map().and_then(|service| service.get("build"));
        let named = build.and_then(|build| build.as_map()?.get("secrets")?.as_list());
        for reference in named.unwrap_or_default() {
            let source = reference.as_map().and_then(|map| map.get("source"));
            let value = source.and_then(Node::as_text).and_then(length);
            budget.text(value.unwrap_or_default(), reference.place)?;
        }
    }
    Ok(())
}

/// Where a build's files come from. Local paths are absolute by now.
fn context(written: &str) -> Context {
    if let Some(service) = written.strip_prefix("service:") {
        Context::Service(service.to_owned())
    } else if is_remote_context(written) {
        Context::Remote(written.to_owned())
    } else if written.contains("://") {
        Context::Scheme(written.to_owned())
    } else {
        Context::Local(PathBuf::from(written))
    }
}

fn ssh_key((id, entry): (&str, &super::super::node::Entry)) -> SshKey {
    let path = entry.node.as_text().filter(|path| !path.is_empty());
    SshKey {
        id: id.to_owned(),
        path: path.map(PathBuf::from),
    }
}

fn ulimit(node: &Node) -> Ulimit {
    let int = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    };
    match node.as_map() {
        Some(map) => Ulimit {
            soft: int(map.get("soft")),
            hard: int(map.get("hard")),
        },
        None => Ulimit {
            soft: int(Some(node)),
            hard: int(Some(node)),
        },
    }
}

fn cache_entries(map: &Map, key: &str, faults: &mut Faults) -> Vec<CacheEntry> {
    match map.entry(key) {
        Some(entry) => cache_list(&entry.node, entry.place(), faults),
        None => Vec::new(),
    }
}

fn cache_list(node: &Node, place: Place, faults: &mut Faults) -> Vec<CacheEntry> {
    let mut entries = Vec::new();
    for written in list_of_text(node) {
        match cache_entry(&written) {
            _ if written.is_empty() => {}
            Some(entry) => entries.push(entry),
            None => faults.push(malformed(place)),
        }
    }
    entries
}

fn malformed(place: Place) -> Box<Fault> {
    let message = "a cache is a reference, or type=KIND,KEY=VALUE,…".to_owned();
    let hint = Some("for example type=registry,ref=ghcr.io/acme/api:cache");
    Fault::new(place, Problem::Rule { message, hint })
}

/// `type=gha,scope=x`, or a plain reference. Fields are CSV, and may be quoted.
fn cache_entry(written: &str) -> Option<CacheEntry> {
    let fields = csv(written)?;
    let mut attributes = IndexMap::new();
    if let [reference] = fields.as_slice()
        && !reference.contains('=')
    {
        attributes.insert("ref".to_owned(), reference.clone());
    } else {
        for field in &fields {
            let (key, value) = field.split_once('=')?;
            attributes.insert(key.trim().to_lowercase(), value.to_owned());
        }
    }
    let kind = attributes.shift_remove("type");
    Some(CacheEntry {
        written: written.to_owned(),
        kind: kind.unwrap_or_else(|| "registry".to_owned()),
        attributes,
    })
}

/// The fields of one line of CSV.
fn csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    (!quoted).then_some(fields)
}

impl Assembly<'_> {
    /// Reads `x-bake`. Bake's own rules: a key that it does not know has no effect, and lists may be one
    /// text.
    fn bake(&self, node: &Node, key: Place, faults: &mut Faults) -> Bake {
        let mut bake = Bake::default();
        let map = match &node.value {
            Value::Null => return bake,
            Value::Map(map) => map,
            _ => {
                faults.push(Fault::rule(key, "`x-bake` must be a mapping"));
                return bake;
            }
        };
        for (name, entry) in map.iter() {
            let node = &entry.node;
            let place = entry.place();
            match &**name {
                "tags" => bake.tags = list_of_text(node),
                "cache-from" => bake.cache_from = cache_list(node, place, faults),
                "cache-to" => bake.cache_to = cache_list(node, place, faults),
                "secret" => bake.secrets = list_of_text(node),
                "ssh" => bake.ssh = list_of_text(node),
                "platforms" => bake.platforms = list_of_text(node),
                "output" => bake.output = list_of_text(node),
                "no-cache-filter" => bake.no_cache_filter = list_of_text(node),
                "pull" => bake.pull = boolean(node, place, faults),
                "no-cache" => bake.no_cache = boolean(node, place, faults),
                "contexts" => bake.contexts = self.baked_contexts(node),
                _ => {
                    let nearest = nearest(name, BAKE_KEYS.into_iter());
                    bake.unknown.push((name.to_string(), nearest));
                }
            }
        }
        bake
    }

    /// Bake's named contexts. Folders count from the project's, as nothing made them absolute before;
    /// `target:` is bake's word for what compose calls `service:`.
    fn baked_contexts(&self, node: &Node) -> IndexMap<String, Context> {
        let map = node.as_map();
        let entries = map.into_iter().flat_map(Map::iter);
        entries
            .filter_map(|(name, entry)| {
                let written = entry.node.as_text()?;
                let context = match (written.strip_prefix("target:"), context(written)) {
                    (Some(other), _) => Context::Service(other.to_owned()),
                    (None, Context::Local(_)) if paths::is_absolute(written) => {
                        Context::Local(paths::clean(written).into())
                    }
                    (None, Context::Local(_)) => {
                        Context::Local(paths::join(self.folder, written).into())
                    }
                    (None, elsewhere) => elsewhere,
                };
                Some((name.to_string(), context))
            })
            .collect()
    }
}

fn boolean(node: &Node, place: Place, faults: &mut Faults) -> Option<bool> {
    match (&node.value, node.as_text()) {
        (Value::Bool(flag), _) => Some(*flag),
        (_, Some("true")) => Some(true),
        (_, Some("false")) => Some(false),
        _ => {
            let message = "the value must be `true` or `false`";
            faults.push(Fault::rule(place, message));
            None
        }
    }
}
