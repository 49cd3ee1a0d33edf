use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::build::Compression;
use super::builder::{BuilderChoice, BuilderTls};
use super::document::{Document, Origin};
use super::file::{
    AnnotationLevel, AnnotationsTable, BuildTable, CacheMode, CacheSource, CacheTable, CacheWrite,
    CreatedFrom, DirtyTree, File, ImmutableValue, MediaTypes, ProvenanceMode, PruneLocalTable,
    RegistryTable, Reuse, SbomChoice, ServiceTable, TagsTable,
};
use crate::excerpt::Excerpt;
use crate::oci::{Platform, TagPattern, TagPatternError, parse_size};

/// What publish.toml, flags and defaults together mean. Nothing is optional that has a default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The compose files that publish.toml names, relative to it; empty for compose's own rules.
    pub compose: Vec<PathBuf>,
    /// The registries in the order of the file.
    pub registries: Vec<RegistrySettings>,
    /// What holds for every service that says nothing else.
    pub general: ServiceSettings,
    /// What holds for one service, by its name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// What is cleaned up in the Engine, where the file says so.
    pub prune_local: Option<LocalPrune>,
    /// Variables that were not set and had no default, each with the key that uses it.
    pub unset: Vec<(String, String)>,
    /// The names under `[services]` with where they stand, to be compared with the compose file.
    pub named_services: Vec<(String, Origin)>,
    /// The file, for the places of values whose mistakes show only later.
    document: Arc<Document>,
}

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its name in publish.toml.
    pub name: String,
    /// The repository of a service, with `{{service}}` in it.
    pub repository: String,
    /// Where `repository` stands, for errors that show only once the service is known.
    pub origin: Origin,
    /// Whether a publish fails when this registry does.
    pub required: bool,
    /// Whether it is spoken to without TLS; `None` where only its address decides.
    pub plain_http: Option<bool>,
    /// A file with CA certificates.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What holds for a service.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of publish.toml that says yes or no"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Whether it is left out.
    pub skip: bool,
    /// The registries it goes to, by name; `None` for all.
    pub registries: Option<Vec<String>>,
    /// The tag rules; `None` where nobody gave any.
    pub rules: Option<Vec<String>>,
    /// The flavor.
    pub flavor: Vec<String>,
    /// What is done about a working tree with changes.
    pub dirty: DirtyTree,
    /// Which tags stay where they are once they exist.
    pub immutable: Immutable,
    /// Labels, as they are written.
    pub labels: BTreeMap<String, String>,
    /// Where annotations are written, if somebody said so: [`ServiceSettings::annotated`].
    pub(super) annotation_levels: Option<Vec<AnnotationLevel>>,
    /// Annotations, as they are written.
    pub annotations: BTreeMap<String, String>,
    /// Where the date of an image comes from.
    pub created: CreatedFrom,
    /// The platforms; empty for those of the compose file.
    pub platforms: Vec<Platform>,
    /// What builds.
    pub builder: BuilderChoice,
    /// How TLS is spoken with a buildkitd at a `tcp://` address; in the clear where there is none.
    pub builder_tls: Option<BuilderTls>,
    /// The provenance attestation.
    pub provenance: Option<ProvenanceMode>,
    /// The SBOM attestation; `None` for what the compose file says.
    pub sbom: Option<SbomChoice>,
    /// Whether base images are looked up anew.
    pub pull: bool,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// The control group above those of `RUN` steps, where it is not left to the builder.
    pub cgroup_parent: Option<String>,
    /// Which published images are taken as they are.
    pub reuse: Reuse,
    /// Whether a remark about the Dockerfile is an error.
    pub strict: bool,
    /// Whether times within the image are those of the commit.
    pub reproducible: bool,
    /// How layers are compressed, where it is not left to the builder.
    pub compression: Option<Compression>,
    /// The media types of the image.
    pub media_types: MediaTypes,
    /// What builds may do beyond a sandbox where they ask for it.
    pub allow: Vec<String>,
    /// Its caches.
    pub cache: CacheSettings,
}

/// Which tags stay where they are once they exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Immutable {
    /// Whether those of whole versions do, but for another image of the same commit.
    pub versions: bool,
    /// Those that match one of these do in any case.
    pub matching: Vec<TagPattern>,
}

impl Default for Immutable {
    fn default() -> Self {
        Self {
            versions: true,
            matching: Vec::new(),
        }
    }
}

/// How many registries there may be: each image goes to each of them.
const MOST_REGISTRIES: usize = 200;

/// How many rules a table may have: each is worked out for each service.
const MOST_RULES: usize = 1_000;

/// How many values all tables under `[services]` may take over from the general ones.
const MOST_TAKEN_OVER: usize = 200_000;

/// How long a build waits for a cache that gives no sign, where nothing is said: as long as a large layer
/// may take that is sent without a word.
const CACHE_TIMEOUT: Duration = Duration::from_mins(5);

/// Which caches a build reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The kinds to read, in this order; the first one is written, too, and that within the image.
    pub sources: Vec<CacheSource>,
    /// What a written cache holds.
    pub mode: CacheMode,
    /// Who writes a cache.
    pub write: CacheWrite,
    /// The reference of a registry cache, with `{{service}}` in it; `None` for a tag beside the image.
    pub reference: Option<String>,
    /// How long a build waits for a cache that gives no sign.
    pub timeout: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            mode: CacheMode::Max,
            write: CacheWrite::Branches(true),
            reference: None,
            timeout: CACHE_TIMEOUT,
        }
    }
}

/// What is cleaned up in the Engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalPrune {
    /// Images older than `.0`, but for the last `.1` of each service.
    pub images: Option<(Duration, usize)>,
    /// Build cache not used for `.1`, but for `.0` bytes.
    pub build_cache: Option<(Option<u64>, Option<Duration>)>,
    /// Containers stopped for this long.
    pub containers: Option<Duration>,
    /// Volumes that no container uses.
    pub volumes: bool,
    /// Whether this runs after a publish.
    pub after_publish: bool,
}

impl Settings {
    /// What holds for `service`.
    pub fn service(&self, service: &str) -> &ServiceSettings {
        self.services.get(service).unwrap_or(&self.general)
    }

    /// Where publish.toml says `key` for `service`: in the service's own table, else for all services. `None`
    /// where it does not.
    pub fn place(&self, service: &str, key: &[&str]) -> Option<Box<Excerpt>> {
        let own = [&["services", service], key].concat();
        let path = [own.as_slice(), key]
            .into_iter()
            .find(|path| self.document.says(path))?;
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        self.document.place(&path)
    }

    /// Gives the file its meaning. `folder` is where its relative paths are meant from.
    pub(super) fn new(file: File, document: &Arc<Document>, folder: &Path) -> Result<Self, Error> {
        let reading = Reading { document, folder };
        let mut general = ServiceSettings::default();
        let tags = file.tags.unwrap_or_default();
        reading.immutable(&mut general, tags.immutable.as_ref(), &["tags"])?;
        reading.take_tags(&mut general, tags, &["tags", "rules"])?;
        reading.build(&mut general, file.build.unwrap_or_default(), &["build"])?;
        general.cache.take(file.cache.unwrap_or_default());
        general.labels = file.labels;
        general.take_annotations(file.annotations.unwrap_or_default());
        reading.not_more(file.registries.len(), MOST_REGISTRIES, &["registries"])?;
        if general.weight().saturating_mul(file.services.len()) > MOST_TAKEN_OVER {
            let message = format!(
                "they take over more than {MOST_TAKEN_OVER} values from the general tables, each service all of them"
            );
            return Err(reading.wrong(&["services"], message));
        }
        let names: Vec<&String> = file.registries.keys().collect();
        let mut services = BTreeMap::new();
        let mut named_services = Vec::new();
        for (name, table) in file.services {
            let path = ["services".to_owned(), name.clone()];
            named_services.push((name.clone(), document.origin(&path)));
            let settings = reading.service(&general, &name, table, &names)?;
            services.insert(name, settings);
        }
        let registries = file
            .registries
            .into_iter()
            .map(|(name, table)| reading.registry(name, table))
            .collect::<Result<_, _>>()?;
        let prune_local = file
            .prune
            .and_then(|prune| prune.local)
            .map(|local| reading.prune(&local))
            .transpose()?;
        Ok(Self {
            compose: file
                .project
                .and_then(|project| project.compose)
                .unwrap_or_default()
                .iter()
                .map(|path| folder.join(path))
                .collect(),
            registries,
            general,
            services,
            prune_local,
            unset: document.unset.clone(),
            named_services,
            document: Arc::clone(document),
        })
    }
}

impl ServiceSettings {
    /// Where annotations are written: where it is said, else on the manifest as soon as there are values
    /// (docker/metadata-action, `DOCKER_METADATA_ANNOTATIONS_LEVELS`).
    pub fn annotated(&self) -> &[AnnotationLevel] {
        match &self.annotation_levels {
            Some(levels) => levels,
            None if self.annotations.is_empty() => &[],
            None => &[AnnotationLevel::Manifest],
        }
    }

    /// How many values are copied with it.
    fn weight(&self) -> usize {
        self.rules.as_ref().map_or(0, Vec::len)
            + self.flavor.len()
            + self.immutable.matching.len()
            + self.labels.len()
            + self.annotation_levels.as_ref().map_or(0, Vec::len)
            + self.annotations.len()
            + self.platforms.len()
            + self.allow.len()
            + self.cache.sources.len()
    }

    fn take_annotations(&mut self, table: AnnotationsTable) {
        if table.levels.is_some() {
            self.annotation_levels = table.levels;
        }
        self.annotations.extend(table.values);
    }
}

impl CacheSettings {
    fn take(&mut self, table: CacheTable) {
        if let Some(sources) = table.sources {
            self.sources = sources;
        }
        self.mode = table.mode.unwrap_or(self.mode);
        self.write = table.write.unwrap_or(self.write);
        if table.reference.is_some() {
            self.reference = table.reference;
        }
        self.timeout = table.timeout.map_or(self.timeout, |limit| limit.0);
    }
}

/// The file while it is given its meaning.
pub(super) struct Reading<'a> {
    pub(super) document: &'a Document,
    pub(super) folder: &'a Path,
}

impl Reading<'_> {
    pub(super) fn wrong(&self, path: &[&str], message: impl Into<String>) -> Error {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        Error::Value {
            place: self.document.place(&path),
            key: path.join("."),
            message: message.into(),
        }
    }

    fn registry(&self, name: String, table: RegistryTable) -> Result<RegistrySettings, Error> {
        let at = |key: &str| vec!["registries".to_owned(), name.clone(), key.to_owned()];
        let client = match (table.client_cert, table.client_key) {
            (Some(certificate), Some(key)) => {
                Some((self.folder.join(certificate), self.folder.join(key)))
            }
            (None, None) => None,
            (Some(_), None) => {
                let message = "a client certificate needs its key: set `client_key`, too";
                return Err(self.wrong(&["registries", &name, "client_cert"], message));
            }
            (None, Some(_)) => {
                let message = "a client key needs its certificate: set `client_cert`, too";
                return Err(self.wrong(&["registries", &name, "client_key"], message));
            }
        };
        if table.repository.trim().is_empty() {
            let message = "the repository is empty";
            return Err(self.wrong(&["registries", &name, "repository"], message));
        }
        Ok(RegistrySettings {
            origin: self.document.value_origin(&at("repository")),
            repository: table.repository,
            required: table.required.unwrap_or(true),
            plain_http: table.plain_http,
            ca: table.ca.map(|path| self.folder.join(path)),
            client,
            name,
        })
    }

    fn service(
        &self,
        general: &ServiceSettings,
        name: &str,
        table: ServiceTable,
        registries: &[&String],
    ) -> Result<ServiceSettings, Error> {
        let mut settings = general.clone();
        settings.skip = table.skip.unwrap_or(false);
        if let Some(chosen) = table.registries {
            if chosen.is_empty() {
                let message =
                    "no registry is named; `skip = true` leaves the service out of every publish";
                return Err(self.wrong(&["services", name, "registries"], message));
            }
            for (index, registry) in chosen.iter().enumerate() {
                if !registries.contains(&registry) {
                    let path = ["services", name, "registries", &index.to_string()];
                    let known: Vec<&str> = registries.iter().map(|name| name.as_str()).collect();
                    let message = format!(
                        "there is no registry `{registry}`; there is {}",
                        known.join(", ")
                    );
                    return Err(self.wrong(&path, message));
                }
            }
            settings.registries = Some(chosen);
        }
        let tags = table.tags.unwrap_or_default();
        let at = ["services", name, "tags"];
        self.immutable(&mut settings, tags.immutable.as_ref(), &at)?;
        let at = ["services", name, "tags", "rules"];
        self.take_tags(&mut settings, tags, &at)?;
        let build = BuildTable {
            platforms: table.platforms,
            builder: table.builder,
            builder_tls: table.builder_tls,
            provenance: table.provenance,
            sbom: table.sbom,
            pull: table.pull,
            no_cache: table.no_cache,
            cgroup_parent: table.cgroup_parent,
            created: table.created,
            reuse: table.reuse,
            strict: table.strict,
            reproducible: table.reproducible,
            compression: table.compression,
            media_types: table.media_types,
            allow: table.allow,
        };
        self.build(&mut settings, build, &["services", name])?;
        settings.cache.take(table.cache.unwrap_or_default());
        settings.labels.extend(table.labels);
        settings.take_annotations(table.annotations.unwrap_or_default());
        Ok(settings)
    }

    /// Refuses more of something than anybody needs.
    fn not_more(&self, count: usize, most: usize, path: &[&str]) -> Result<(), Error> {
        if count > most {
            let message = format!("there are {count}, and at most {most} are read");
            return Err(self.wrong(path, message));
        }
        Ok(())
    }

    /// Takes what a table says about tags, but for `immutable`; its rules stand at `at`.
    fn take_tags(
        &self,
        settings: &mut ServiceSettings,
        table: TagsTable,
        at: &[&str],
    ) -> Result<(), Error> {
        if let Some(rules) = table.rules {
            self.not_more(rules.len(), MOST_RULES, at)?;
            settings.rules = Some(rules);
        }
        if let Some(flavor) = table.flavor {
            settings.flavor = flavor;
        }
        settings.dirty = table.dirty.unwrap_or(settings.dirty);
        Ok(())
    }

    /// Takes `immutable` of the table at `at`.
    fn immutable(
        &self,
        settings: &mut ServiceSettings,
        value: Option<&ImmutableValue>,
        at: &[&str],
    ) -> Result<(), Error> {
        let Some(value) = value else { return Ok(()) };
        let patterns = match value {
            ImmutableValue::Versions(versions) => {
                settings.immutable = Immutable {
                    versions: *versions,
                    matching: Vec::new(),
                };
                return Ok(());
            }
            ImmutableValue::Matching(patterns) => patterns,
        };
        let matching = patterns.iter().enumerate().map(|(index, pattern)| {
            pattern.parse().map_err(|error: TagPatternError| {
                let index = index.to_string();
                let path = [at, &["immutable", &index]].concat();
                self.wrong(&path, error.to_string())
            })
        });
        settings.immutable = Immutable {
            versions: true,
            matching: matching.collect::<Result<_, _>>()?,
        };
        Ok(())
    }

    fn prune(&self, table: &PruneLocalTable) -> Result<LocalPrune, Error> {
        let build_cache = match &table.build_cache {
            None => None,
            Some(cache) => {
                let keep = cache.keep.as_deref().map(|size| {
                    parse_size(size).map_err(|error| {
                        let path = ["prune", "local", "build_cache", "keep"];
                        self.wrong(&path, error.to_string())
                    })
                });
                Some((keep.transpose()?, cache.unused_for.map(|span| span.0)))
            }
        };
        Ok(LocalPrune {
            images: table.images.as_ref().map(|images| {
                let age = images.unused_for.map_or(Duration::ZERO, |span| span.0);
                (age, images.keep_last.unwrap_or(1) as usize)
            }),
            build_cache,
            containers: table
                .containers
                .as_ref()
                .map(|containers| containers.stopped_for.map_or(Duration::ZERO, |span| span.0)),
            volumes: table.volumes.unwrap_or(false),
            after_publish: table.after_publish.unwrap_or(false),
        })
    }
}
