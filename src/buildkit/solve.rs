use std::collections::{BTreeMap, HashMap};
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
use super::session::Directory;
use super::session::Stores;
use super::stores as folders;
use crate::execute::ports::{BuildOrder, BuilderError, Handed, Output};
use crate::oci::Digest;
use crate::plan::{
    AnnotationLevel, BuildContext, BuildSpec, CompressionKind, Dockerfile, ExportKind,
    HOST_GATEWAY, INPUTS_LABEL, ImageOptions, NamedContext, Provenance, Ulimit,
};

/// How an image comes into an Engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// It is made in the Engine's containerd store.
    Store,
    /// It is made in the Engine's classic store, which has an exporter of its own (moby,
    /// builder-next/exporter).
    ClassicStore,
    /// It is sent through the session, as another builder makes it.
    Session,
}

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
    /// Gives arguments to the build that it does not set itself.
    pub(super) fn arguments(&mut self, arguments: &BTreeMap<String, String>) {
        let attributes = &mut self.request.frontend_attrs;
        for (name, value) in arguments {
            let key = format!("build-arg:{name}");
            attributes.entry(key).or_insert_with(|| value.clone());
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
                            builder: "this builder".to_owned(),
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

/// How an image is written, in the exporter's words.
fn written(image: &ImageOptions) -> Vec<(&'static str, String)> {
    let mut attributes = vec![("oci-mediatypes", (!image.docker_media_types).to_string())];
    if let Some(compression) = image.compression {
        let kind = match compression.kind {
            CompressionKind::Gzip => "gzip",
            CompressionKind::Zstd => "zstd",
            CompressionKind::Estargz => "estargz",
            CompressionKind::Uncompressed => "uncompressed",
        };
        attributes.push(("compression", kind.to_owned()));
        if let Some(level) = compression.level {
            attributes.push(("compression-level", level.to_string()));
        }
        if compression.force {
            attributes.push(("force-compression", "true".to_owned()));
        }
    }
    if image.rewrite_timestamp {
        attributes.push(("rewrite-timestamp", "true".to_owned()));
    }
    attributes
}

/// An exporter's attributes. Annotations are its business, and not the frontend's
/// (exporter/containerimage/exptypes, `AnnotationKey`).
fn exporter(output: &Output, spec: &BuildSpec, loading: Loading) -> Exporter {
    let mut kind = "image";
    let is_pushed = matches!(output, Output::Push { .. });
    let attributes = match output {
        // Nothing is named, kept or unpacked in the Engine: the cheapest way to a registry.
        Output::Push {
            repositories,
            insecure,
        } => {
            let mut attributes = vec![
                ("name", joined(repositories)),
                ("push", "true".to_owned()),
                ("push-by-digest", "true".to_owned()),
                ("store", "false".to_owned()),
            ];
            attributes.extend(written(&spec.image));
            if *insecure {
                attributes.push(("registry.insecure", "true".to_owned()));
            }
            attributes
        }
        Output::Export(export) => {
            kind = match export.kind {
                ExportKind::OciArchive | ExportKind::OciFolder => "oci",
                ExportKind::Docker => "docker",
                ExportKind::Tar => "tar",
                ExportKind::Local => "local",
            };
            let mut attributes = Vec::new();
            if export.kind.is_image() {
                attributes.push(("name", joined(&export.names)));
                // The one kind has media types of its own, and the other those of the OCI.
                let is_own = |(key, _): &(&str, String)| *key != "oci-mediatypes";
                attributes.extend(written(&spec.image).into_iter().filter(is_own));
            }
            if export.kind == ExportKind::OciFolder {
                attributes.push(("tar", "false".to_owned()));
            }
            attributes
        }
        Output::Load { references } => match loading {
            Loading::Store => vec![
                ("name", joined(references)),
                ("unpack", "true".to_owned()),
                ("oci-mediatypes", "true".to_owned()),
            ],
            Loading::ClassicStore => {
                kind = "moby";
                // It takes no empty name for none.
                let names = (!references.is_empty()).then(|| ("name", joined(references)));
                names.into_iter().collect()
            }
            // An archive. That of docker has one image in it and no more; what Engines load of the
            // other kind are those with the containerd store.
            Loading::Session => {
                let is_plain = spec.platforms.len() < 2 && !spec.is_attested();
                kind = if is_plain { "docker" } else { "oci" };
                vec![("name", joined(references))]
            }
        },
    };
    // Files alone have nothing to write them on.
    let is_image = !matches!(output, Output::Export(export) if !export.kind.is_image());
    let annotations = spec.annotations.iter().filter(|_| is_image);
    let annotations = annotations.flat_map(|(level, values)| {
        let level = match level {
            AnnotationLevel::Manifest => "annotation-manifest",
            AnnotationLevel::Index => "annotation-index",
            AnnotationLevel::ManifestDescriptor => "annotation-manifest-descriptor",
            AnnotationLevel::IndexDescriptor => "annotation-index-descriptor",
        };
        let values = values.iter();
        values.map(move |(key, value)| (format!("{level}.{key}"), value.clone()))
    });
    // What is said in a label is given on to images that are built `FROM` this one; an annotation is not.
    let said = spec.labels.get(INPUTS_LABEL);
    let said = said.filter(|inputs| is_pushed && !inputs.is_empty());
    let said = said.map(|inputs| {
        (
            format!("annotation-manifest.{INPUTS_LABEL}"),
            inputs.clone(),
        )
    });
    let attributes = attributes.into_iter();
    Exporter {
        r#type: kind.to_owned(),
        attrs: attributes
            .map(|(key, value)| (key.to_owned(), value))
            .chain(annotations)
            .chain(said)
            .collect(),
    }
}

fn joined<T: ToString>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
