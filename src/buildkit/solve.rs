use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use bollard_buildkit_proto::moby::buildkit::v1::sourcepolicy::{
    MatchType, Policy, PolicyAction, Rule, Selector, Update,
};
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, Exporter, SolveRequest};
use bollard_buildkit_proto::pb::Definition;

use super::cache::Caches;
use super::dockerfile::INLINE_NAME;
use super::gateway::{self, Linked, NO_CACHE};
use super::outputs::{Loading, exporter, joined};
use super::session::Directory;
use super::session::Stores;
use super::stores as folders;
use crate::execute::ports::{BuildOrder, BuilderError, Handed};
use crate::oci::Digest;
use crate::plan::{
    BuildContext, BuildSpec, Dockerfile, HOST_GATEWAY, NamedContext, Provenance, Ulimit,
};

/// A build in BuildKit's words: the request, and the folders that its session offers.
pub(super) struct Solve {
    pub(super) request: SolveRequest,
    pub(super) directories: HashMap<String, Directory>,
    /// Where the builder finds what it kept of the last transfer of the same folders.
    pub(super) shared_key: String,
}

impl Solve {
    /// Says `order` in the terms of the Dockerfile frontend (BuildKit, frontend/dockerui) and of the
    /// image exporter (exporter/containerimage/exptypes).
    ///
    /// # Errors
    ///
    /// Where another builder made what the order builds on.
    pub(super) fn new(
        order: &BuildOrder,
        caches: &Caches,
        stores: &mut Stores,
        build: &str,
        session: &str,
        loading: Loading,
    ) -> Result<Self, BuilderError> {
        let spec = &order.spec;
        let mut words = Words::default();
        words.context(&spec.context);
        words.dockerfile(&spec.dockerfile);
        words.named_contexts(order, stores)?;
        words.options(spec);
        words.attestations(spec);
        let outputs = order.outputs.iter();
        let exporters: Vec<Exporter> = outputs
            .map(|output| exporter(output, spec, loading))
            .collect();
        // BuildKit before 0.13 knows of one, and by these names (control/control.go,
        // `translateLegacySolveRequest`). Of several it must not think that the first is all.
        let only = match exporters.as_slice() {
            [only] => only.clone(),
            _ => Exporter::default(),
        };
        let request = SolveRequest {
            r#ref: build.to_owned(),
            session: session.to_owned(),
            frontend: "dockerfile.v0".to_owned(),
            cache: Some(words.cache(caches)),
            exporter_deprecated: only.r#type,
            exporter_attrs_deprecated: only.attrs,
            exporters,
            entitlements: spec.entitlements.clone(),
            frontend_inputs: words.inputs,
            frontend_attrs: words.attributes,
            source_policy: pins(spec),
            ..SolveRequest::default()
        };
        Ok(Self {
            request,
            directories: words.directories,
            shared_key: shared_key(spec),
        })
    }
}

impl Solve {
    /// Gives arguments to the build that it does not set itself, in whatever letters: of `no_proxy` and
    /// `NO_PROXY` the frontend takes now the one and now the other (frontend/dockerfile/dockerfile2llb,
    /// `proxyEnvFromBuildArgs`).
    pub(super) fn arguments(&mut self, arguments: &BTreeMap<String, String>) {
        let attributes = &mut self.request.frontend_attrs;
        let own: HashSet<String> = attributes.keys().map(|key| key.to_lowercase()).collect();
        for (name, value) in arguments {
            let key = format!("build-arg:{name}");
            if !own.contains(&key.to_lowercase()) {
                attributes.insert(key, value.clone());
            }
        }
    }

    /// Puts `gateway` where the hosts name the machine that the builder runs on.
    pub(super) fn hosts(&mut self, hosts: &[String], gateway: IpAddr) {
        let hosts = hosts.iter().map(|host| match host.split_once('=') {
            Some((name, HOST_GATEWAY)) => format!("{name}={gateway}"),
            _ => host.clone(),
        });
        let hosts: Vec<String> = hosts.collect();
        let attributes = &mut self.request.frontend_attrs;
        attributes.insert("add-hosts".to_owned(), hosts.join(","));
    }

    /// Has the context taken from another session. What is left to this one is the Dockerfile, which
    /// the builder then keeps apart from those of the others.
    pub(super) fn share_context(&mut self, session: &str) {
        let filename = self.request.frontend_attrs.get("filename");
        let name = filename.map_or(INLINE_NAME, String::as_str);
        self.shared_key = format!("{}:{name}", self.shared_key);
        let attributes = &mut self.request.frontend_attrs;
        attributes.insert("local-sessionid:context".to_owned(), session.to_owned());
    }
}

/// The folders of a build, as one name. The path itself stays on this machine.
fn shared_key(spec: &BuildSpec) -> String {
    let path = match &spec.context {
        BuildContext::Local(path) => path.to_string_lossy().into_owned(),
        BuildContext::Remote(address) => address.clone(),
    };
    format!("castoff:{}", Digest::of(path.as_bytes()).short())
}

/// What a frontend is told, as it comes together.
#[derive(Default)]
struct Words {
    attributes: HashMap<String, String>,
    directories: HashMap<String, Directory>,
    inputs: HashMap<String, Definition>,
}

impl Words {
    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.attributes.insert(key.into(), value.into());
    }

    fn context(&mut self, context: &BuildContext) {
        match context {
            BuildContext::Local(path) => {
                let directory = Directory::Local(path.clone());
                self.directories.insert("context".to_owned(), directory);
            }
            BuildContext::Remote(address) => self.set("context", address),
        }
    }

    fn dockerfile(&mut self, dockerfile: &Dockerfile) {
        let (name, directory) = match dockerfile {
            Dockerfile::InContext(path) => {
                self.set("filename", path);
                return;
            }
            Dockerfile::Local(path) => (
                file_name(path),
                Directory::Local(path.parent().unwrap_or(Path::new("/")).to_owned()),
            ),
            Dockerfile::Inline(text) => (
                INLINE_NAME.to_owned(),
                Directory::Inline {
                    name: INLINE_NAME.to_owned(),
                    text: text.clone(),
                },
            ),
        };
        self.set("filename", name);
        // Where the context is remote the frontend would look for the Dockerfile there.
        self.set("dockerfilekey", "dockerfile");
        self.directories.insert("dockerfile".to_owned(), directory);
    }

    fn named_contexts(
        &mut self,
        order: &BuildOrder,
        stores: &mut Stores,
    ) -> Result<(), BuilderError> {
        for (name, context) in &order.spec.named_contexts {
            let value = match context {
                NamedContext::Local(path) => {
                    // The two names that the frontend has for itself.
                    let local = match name.as_str() {
                        "context" | "dockerfile" => format!("_{name}"),
                        _ => name.clone(),
                    };
                    let directory = Directory::Local(path.clone());
                    self.directories.insert(local.clone(), directory);
                    format!("local:{local}")
                }
                NamedContext::Remote(address) => address.clone(),
                NamedContext::Layout(layout) => folders::context(name, layout, stores)?,
                NamedContext::Service(other) => match order.handed.get(&other.0) {
                    Some(Handed::Image(reference)) => format!("docker-image://{reference}"),
                    Some(Handed::Result(result)) if let Some(linked) = result.get::<Linked>() => {
                        let Self {
                            attributes, inputs, ..
                        } = self;
                        gateway::take_in(name, linked, attributes, inputs);
                        continue;
                    }
                    Some(Handed::Result(_)) | None => {
                        return Err(BuilderError::Unsupported {
                            builder: "the builder".to_owned(),
                            what: format!("take in service `{}`, which another one built", other.0),
                            hint: "build both with the same builder".to_owned(),
                        });
                    }
                },
            };
            self.set(format!("context:{name}"), value);
        }
        if !order.spec.named_contexts.is_empty() {
            self.set("frontend.caps", "moby.buildkit.frontend.contexts+forward");
        }
        Ok(())
    }

    fn options(&mut self, spec: &BuildSpec) {
        for (name, value) in &spec.args {
            self.set(format!("build-arg:{name}"), value);
        }
        for (name, value) in &spec.labels {
            self.set(format!("label:{name}"), value);
        }
        if let Some(target) = &spec.target {
            self.set("target", target);
        }
        if !spec.platforms.is_empty() {
            self.set("platform", joined(&spec.platforms));
        }
        if spec.no_cache {
            self.set(NO_CACHE, "");
        } else if !spec.no_cache_filter.is_empty() {
            // Where all is built past the cache, because of what it builds on, all stays so.
            let stages = || spec.no_cache_filter.join(",");
            let attribute = self.attributes.entry(NO_CACHE.to_owned());
            attribute.or_insert_with(stages);
        }
        if spec.pull {
            self.set("image-resolve-mode", "pull");
        }
        match spec.network.as_deref() {
            None | Some("default" | "") => {}
            Some(mode) => self.set("force-network-mode", mode),
        }
        if !spec.extra_hosts.is_empty() {
            self.set("add-hosts", spec.extra_hosts.join(","));
        }
        if let Some(size) = spec.shm_size {
            self.set("shm-size", size.to_string());
        }
        if !spec.ulimits.is_empty() {
            let ulimit = |limit: &Ulimit| format!("{}={}:{}", limit.name, limit.soft, limit.hard);
            let limits: Vec<String> = spec.ulimits.iter().map(ulimit).collect();
            self.set("ulimit", limits.join(","));
        }
        if let Some(parent) = &spec.cgroup_parent {
            self.set("cgroup-parent", parent);
        }
    }

    fn attestations(&mut self, spec: &BuildSpec) {
        let fields = |first: String, attributes: &BTreeMap<String, String>| {
            let attributes = attributes.iter();
            let attributes = attributes.map(|(key, value)| format!("{key}={value}"));
            let fields: Vec<String> = std::iter::once(first).chain(attributes).collect();
            fields.join(",")
        };
        let mode = match spec.provenance {
            Provenance::Off => None,
            Provenance::Min => Some("mode=min"),
            Provenance::Max => Some("mode=max"),
        };
        if let Some(mode) = mode {
            let said = fields(mode.to_owned(), &spec.provenance_attributes);
            self.set("attest:provenance", said);
        }
        if let Some(generator) = &spec.sbom {
            let said = fields(format!("generator={generator}"), &spec.sbom_attributes);
            self.set("attest:sbom", said);
        }
    }

    /// Imports are said twice: to the solver, and to the frontend.
    fn cache(&mut self, caches: &Caches) -> CacheOptions {
        if let Some(imports) = caches.imports_for_frontend() {
            self.set("cache-imports", imports);
        }
        CacheOptions {
            exports: caches.exports.clone(),
            imports: caches.imports.clone(),
            ..CacheOptions::default()
        }
    }
}

/// Lets the builder take just the images that the plan looked at, whatever their tags point to by now
/// (BuildKit, "Source policies").
///
/// A name is matched as a pattern without wildcards, which names cannot have: where it is to match exactly,
/// BuildKit before 0.31 converts it to itself (sourcepolicy, `selectorCache.Format`).
fn pins(spec: &BuildSpec) -> Option<Policy> {
    let rules = spec.pins.iter().map(|(reference, digest)| {
        let identifier = format!("docker-image://{reference}");
        Rule {
            action: PolicyAction::Convert.into(),
            updates: Some(Update {
                identifier: format!("{identifier}@{digest}"),
                ..Update::default()
            }),
            selector: Some(Selector {
                identifier,
                match_type: MatchType::Wildcard.into(),
                ..Selector::default()
            }),
        }
    });
    let rules: Vec<Rule> = rules.collect();
    (!rules.is_empty()).then_some(Policy { version: 1, rules })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
