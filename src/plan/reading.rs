//! A `build` section in the builder's terms.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexSet;

use super::attestation::Attestation;
use super::error::Error;
use super::layout::{ImageLayout, LAYOUT_SCHEME};
use super::ssh;
use super::{
    BuildContext, BuildSpec, Dockerfile, ImageOptions, NamedContext, Provenance, SecretMount,
    SecretSource, ServiceContext, Ulimit, Warning,
};
use crate::compose::{self, Build, Context, Service};
use crate::config::{ENTITLEMENTS, MediaTypes, ProvenanceMode, SbomChoice, ServiceSettings};
use crate::excerpt::Excerpt;
use crate::oci::{Platform, Reference};

/// The image that makes an SBOM where a compose file only says `sbom: true` (buildx, `attest.go`).
const DEFAULT_SBOM_GENERATOR: &str = "docker.io/docker/buildkit-syft-scanner:stable-1";

/// How many keys of `x-bake` that nobody knows are named, of one service.
const MOST_UNKNOWN: usize = 10;

/// A `build` section while it is put into the builder's terms.
pub(super) struct Reading<'a> {
    pub(super) service: &'a Service,
    pub(super) build: &'a Build,
    /// The project's folder.
    pub(super) directory: &'a Path,
    /// `DOCKER_DEFAULT_PLATFORM`, from the environment or the project's `.env`.
    pub(super) default_platform: Option<&'a str>,
}

impl Reading<'_> {
    fn unsupported(&self, what: impl Into<String>, place: Option<&Excerpt>) -> Error {
        Error::Unsupported {
            service: self.service.name.clone(),
            what: what.into(),
            place: place
                .or(self.service.places.build.as_ref())
                .cloned()
                .map(Box::new),
            hint: None,
        }
    }

    pub(super) fn spec(
        &self,
        settings: &ServiceSettings,
        warnings: &mut Vec<Warning>,
    ) -> Result<BuildSpec, Error> {
        let build = self.build;
        let bake = build.bake.clone().unwrap_or_default();
        if build.isolation.is_some() {
            warnings.push(Warning {
                subject: self.service.name.clone(),
                message: "`isolation` is for Windows and has no effect here".to_owned(),
                hint: None,
            });
        }
        let more = bake.unknown.len().saturating_sub(MOST_UNKNOWN);
        for (key, nearest) in bake.unknown.into_iter().take(MOST_UNKNOWN) {
            warnings.push(Warning {
                subject: self.service.name.clone(),
                message: format!("`x-bake.{key}` has no effect: bake does not know it"),
                hint: nearest.map(|nearest| format!("did you mean `{nearest}`?")),
            });
        }
        if more > 0 {
            warnings.push(Warning {
                subject: self.service.name.clone(),
                message: format!("{more} more keys of `x-bake` have no effect"),
                hint: None,
            });
        }
        self.caches()?;
        if !bake.output.is_empty() {
            warnings.push(Warning {
                subject: self.service.name.clone(),
                message: "`x-bake.output` has no effect: publish.toml says where images go"
                    .to_owned(),
                hint: None,
            });
        }
        let context = self.context()?;
        let (provenance, provenance_attributes) = self.provenance(settings)?;
        let (sbom, sbom_attributes) = self.sbom(settings)?;
        Ok(BuildSpec {
            dockerfile: self.dockerfile(&context),
            context,
            target: build.target.clone(),
            args: build.args.clone().into_iter().collect(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: self.each_once(self.platforms(settings)?, warnings),
            named_contexts: self.named_contexts(),
            secrets: self.secrets()?,
            ssh: ssh::mounts(build),
            extra_hosts: extra_hosts(build),
            network: self.network()?,
            shm_size: Some(build.shm_size).filter(|size| *size > 0),
            ulimits: build
                .ulimits
                .iter()
                .map(|(name, limit)| Ulimit {
                    name: name.clone(),
                    soft: limit.soft,
                    hard: limit.hard,
                })
                .collect(),
            cgroup_parent: settings.cgroup_parent.clone(),
            entitlements: self.entitlements(settings)?,
            image: ImageOptions {
                compression: settings.compression,
                docker_media_types: settings.media_types == MediaTypes::Docker,
                rewrite_timestamp: settings.reproducible,
            },
            no_cache: settings.no_cache || bake.no_cache.unwrap_or(build.no_cache),
            no_cache_filter: joined(&build.no_cache_filter, &bake.no_cache_filter),
            pull: settings.pull || bake.pull.unwrap_or(build.pull),
            strict: settings.strict,
            provenance,
            provenance_attributes,
            sbom,
            sbom_attributes,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            pins: BTreeMap::new(),
            cache_timeout: settings.cache.timeout,
        })
    }

    /// What the build asks for beyond a sandbox, in its own words or by what it does. A compose file
    /// may ask; whether it gets it is for publish.toml or the command line to say.
    fn entitlements(&self, settings: &ServiceSettings) -> Result<Vec<String>, Error> {
        let build = self.build;
        let mut asked: Vec<String> = build.entitlements.clone();
        let implied = [
            (build.privileged, "security.insecure"),
            (build.network.as_deref() == Some("host"), "network.host"),
        ];
        for (is_implied, right) in implied {
            if is_implied && !asked.iter().any(|known| known == right) {
                asked.push(right.to_owned());
            }
        }
        for right in &asked {
            let kind = right.split('=').next().unwrap_or_default();
            // No builder knows it, and no flag could allow it.
            if !ENTITLEMENTS.contains(&kind) {
                return Err(Error::Unsupported {
                    service: self.service.name.clone(),
                    what: format!("its build asks for `{right}`, which is no entitlement"),
                    place: self.service.places.build.clone().map(Box::new),
                    hint: Some(format!("there are {}", ENTITLEMENTS.join(", "))),
                });
            }
            if !settings
                .allow
                .iter()
                .any(|allowed| allowed == right || allowed == kind)
            {
                return Err(Error::NotAllowed {
                    service: self.service.name.clone(),
                    right: right.clone(),
                    place: self.service.places.build.clone().map(Box::new),
                });
            }
        }
        Ok(asked)
    }

    fn context(&self) -> Result<BuildContext, Error> {
        match &self.build.context {
            Context::Local(path) => Ok(BuildContext::Local(path.clone())),
            Context::Scheme(address) if address.starts_with(LAYOUT_SCHEME) => Err(self
                .unsupported(
                    "an image layout cannot be the main context; name it in `additional_contexts`",
                    self.service.places.context.as_ref(),
                )),
            Context::Remote(address) | Context::Scheme(address) => {
                Ok(BuildContext::Remote(address.clone()))
            }
            Context::Service(_) => Err(self.unsupported(
                "a service cannot be the context of another; name it in `additional_contexts`",
                self.service.places.context.as_ref(),
            )),
        }
    }

    fn dockerfile(&self, context: &BuildContext) -> Dockerfile {
        match (&self.build.dockerfile_inline, context) {
            (Some(text), _) => Dockerfile::Inline(text.clone()),
            (None, BuildContext::Local(path)) => {
                Dockerfile::Local(path.join(&self.build.dockerfile))
            }
            (None, BuildContext::Remote(_)) => Dockerfile::InContext(self.build.dockerfile.clone()),
        }
    }

    /// The platforms of publish.toml, else those of the build, else the one that the service runs on.
    fn platforms(&self, settings: &ServiceSettings) -> Result<Vec<Platform>, Error> {
        if !settings.platforms.is_empty() {
            return Ok(settings.platforms.clone());
        }
        let baked = self.build.bake.iter().flat_map(|bake| &bake.platforms);
        let baked: Vec<String> = baked.cloned().collect();
        let mut texts = joined(&self.build.platforms, &baked);
        if texts.is_empty() {
            texts.extend(self.service.platform.clone());
        }
        if self.service.platform.is_none() {
            self.default_platform(&mut texts)?;
        }
        texts
            .into_iter()
            .map(|text| {
                text.parse().map_err(|source| Error::Platform {
                    service: self.service.name.clone(),
                    place: self.service.places.platforms.clone().map(Box::new),
                    source,
                })
            })
            .collect()
    }

    /// The platform of `DOCKER_DEFAULT_PLATFORM`, where the compose file names none; one that it does
    /// not name among others is an error (docker/compose, `applyPlatforms` in cmd/compose/options.go).
    fn default_platform(&self, texts: &mut Vec<String>) -> Result<(), Error> {
        let Some(default) = self.default_platform.filter(|default| !default.is_empty()) else {
            return Ok(());
        };
        if texts.is_empty() {
            texts.push(default.to_owned());
        } else if !texts.iter().any(|text| text == default) {
            let what = format!(
                "its platforms are {}, and DOCKER_DEFAULT_PLATFORM asks for {default}",
                texts.join(", ")
            );
            return Err(Error::Unsupported {
                hint: Some("unset DOCKER_DEFAULT_PLATFORM, or add it to `platforms`".to_owned()),
                service: self.service.name.clone(),
                what,
                place: self.service.places.platforms.clone().map(Box::new),
            });
        }
        Ok(())
    }

    /// An image has no platform twice, whatever names it goes by (buildx, "Duplicate platform result
    /// requested").
    fn each_once(&self, platforms: Vec<Platform>, warnings: &mut Vec<Warning>) -> Vec<Platform> {
        let mut known: Vec<Platform> = Vec::new();
        for platform in platforms {
            let normal = platform.normalized();
            if known.iter().any(|known| known.normalized() == normal) {
                warnings.push(Warning {
                    subject: self.service.name.clone(),
                    message: format!("the platform {platform} is named twice, and built once"),
                    hint: None,
                });
            } else {
                known.push(platform);
            }
        }
        known
    }

    fn named_contexts(&self) -> BTreeMap<String, NamedContext> {
        let mut contexts = BTreeMap::new();
        let baked = self.build.bake.iter().flat_map(|bake| &bake.contexts);
        for (name, context) in self.build.additional_contexts.iter().chain(baked) {
            if contexts.contains_key(name) {
                continue;
            }
            let context = match context {
                Context::Local(path) => NamedContext::Local(path.clone()),
                Context::Remote(address) | Context::Scheme(address) => self.elsewhere(address),
                Context::Service(other) => NamedContext::Service(ServiceContext(other.clone())),
            };
            contexts.insert(name.clone(), context);
        }
        contexts
    }

    fn elsewhere(&self, address: &str) -> NamedContext {
        match ImageLayout::parse(address, self.directory) {
            Some(layout) => NamedContext::Layout(layout),
            None => NamedContext::Remote(address.to_owned()),
        }
    }

    fn secrets(&self) -> Result<Vec<SecretMount>, Error> {
        let baked = self.build.bake.iter().flat_map(|bake| &bake.secrets);
        let baked = baked.map(|text| {
            baked_secret(text).ok_or_else(|| {
                let what =
                    format!("`{text}` is no secret: expected id=NAME,src=FILE or id=NAME,env=NAME");
                self.unsupported(what, None)
            })
        });
        self.build
            .secrets
            .iter()
            .map(|secret| {
                let source = match &secret.source {
                    compose::SecretSource::File(path) => SecretSource::File(path.clone()),
                    compose::SecretSource::Environment { variable, .. } => {
                        SecretSource::Environment(variable.clone())
                    }
                    compose::SecretSource::External => {
                        return Err(self.unsupported(
                            format!(
                                "secret `{}` is external, so no build can read it",
                                secret.name
                            ),
                            None,
                        ));
                    }
                };
                Ok(SecretMount {
                    id: secret.id.clone(),
                    source,
                })
            })
            .chain(baked)
            .collect()
    }

    /// BuildKit knows three networks; one of the project's own does not exist while it builds.
    fn network(&self) -> Result<Option<String>, Error> {
        match self.build.network.as_deref() {
            None | Some("default" | "") => Ok(None),
            Some(mode @ ("none" | "host")) => Ok(Some(mode.to_owned())),
            Some(other) => Err(Error::Unsupported {
                service: self.service.name.clone(),
                what: format!("network `{other}` cannot be used by a build"),
                place: self.service.places.build.clone().map(Box::new),
                hint: Some("use `default`, `none` or `host`".to_owned()),
            }),
        }
    }

    /// Refuses caches that say too little to be read or written (buildx, util/buildflags/cache.go, and
    /// BuildKit, client/solve.go), and kinds that BuildKit does not have.
    fn caches(&self) -> Result<(), Error> {
        let build = self.build;
        let bake = build.bake.as_ref();
        let from = build.cache_from.iter();
        let from = from.chain(bake.into_iter().flat_map(|bake| &bake.cache_from));
        let to = build.cache_to.iter();
        let to = to.chain(bake.into_iter().flat_map(|bake| &bake.cache_to));
        let from = from.map(|entry| ("cache_from", "src", entry));
        for (key, path, entry) in from.chain(to.map(|entry| ("cache_to", "dest", entry))) {
            let needed: &[&str] = match entry.kind.as_str() {
                "registry" => &["ref"],
                "local" => &[path],
                // What these need may come from the environment of whoever reads it.
                "inline" | "gha" | "s3" | "azblob" => &[],
                other => {
                    return Err(self.unsupported(
                        format!(
                            "`{key}` names a cache of the kind `{other}`, and there are registry, local, inline, gha, s3 and azblob"
                        ),
                        None,
                    ));
                }
            };
            let lacks = |name: &&&str| entry.attributes.get(**name).is_none_or(String::is_empty);
            if let Some(lacking) = needed.iter().find(lacks) {
                return Err(self.unsupported(
                    format!("`{key}` has a `{}` cache without `{lacking}`", entry.kind),
                    None,
                ));
            }
        }
        Ok(())
    }

    /// How much the provenance says, and what else is asked of it.
    fn provenance(&self, settings: &ServiceSettings) -> Result<Attested<Provenance>, Error> {
        if let Some(mode) = settings.provenance {
            let mode = match mode {
                ProvenanceMode::Off => Provenance::Off,
                ProvenanceMode::Min => Provenance::Min,
                ProvenanceMode::Max => Provenance::Max,
            };
            return Ok((mode, BTreeMap::new()));
        }
        let Some(text) = self.build.provenance.as_deref() else {
            return Ok((Provenance::Off, BTreeMap::new()));
        };
        let wrong = |what| self.unsupported(format!("provenance `{text}` {what}"), None);
        let Some(mut wanted) = Attestation::read("provenance", text).map_err(wrong)? else {
            return Ok((Provenance::Off, BTreeMap::new()));
        };
        let mode = wanted.take_mode().map_err(wrong)?;
        Ok((mode, wanted.attributes))
    }

    /// Who makes the SBOM, and what it is told.
    fn sbom(&self, settings: &ServiceSettings) -> Result<Attested<Option<Reference>>, Error> {
        match &settings.sbom {
            None => {}
            Some(SbomChoice::Off) => return Ok((None, BTreeMap::new())),
            Some(SbomChoice::By(generator)) => {
                return Ok((Some(generator.clone()), BTreeMap::new()));
            }
        }
        let Some(text) = self.build.sbom.as_deref() else {
            return Ok((None, BTreeMap::new()));
        };
        let wrong = |what| self.unsupported(format!("sbom `{text}` {what}"), None);
        let Some(mut wanted) = Attestation::read("sbom", text).map_err(wrong)? else {
            return Ok((None, BTreeMap::new()));
        };
        let generator = wanted.attributes.remove("generator");
        let generator = generator.as_deref().unwrap_or(DEFAULT_SBOM_GENERATOR);
        let generator = generator.parse().map_err(|source| Error::Reference {
            service: self.service.name.clone(),
            place: self.service.places.build.clone().map(Box::new),
            source,
        })?;
        Ok((Some(generator), wanted.attributes))
    }
}

/// Something of an attestation, with its other attributes.
type Attested<T> = (T, BTreeMap<String, String>);

/// A secret of `x-bake` (buildx, util/buildflags/secrets.go): `id=…`, then `src=…` or `env=…`. With the
/// id alone it is the variable of that name.
fn baked_secret(text: &str) -> Option<SecretMount> {
    let fields: BTreeMap<&str, &str> = text
        .split(',')
        .map(|field| field.trim().split_once('='))
        .collect::<Option<_>>()?;
    let known = ["id", "type", "src", "source", "env"];
    if fields.keys().any(|key| !known.contains(key)) {
        return None;
    }
    let id = *fields.get("id")?;
    let source = fields.get("src").or(fields.get("source"));
    let source = match (fields.get("env"), source, fields.get("type")) {
        (Some(name), _, _) | (None, Some(name), Some(&"env")) => {
            SecretSource::Environment((*name).to_owned())
        }
        (None, Some(path), _) => SecretSource::File(path.into()),
        (None, None, _) => SecretSource::Environment(id.to_owned()),
    };
    Some(SecretMount {
        id: id.to_owned(),
        source,
    })
}

/// What `x-bake` adds to a list of the build's own, each once (buildx, `composeExtTarget` in
/// bake/compose.go).
fn joined(own: &[String], baked: &[String]) -> Vec<String> {
    let all: IndexSet<&String> = own.iter().chain(baked).collect();
    all.into_iter().cloned().collect()
}

/// `name=address`, as the frontend reads them.
fn extra_hosts(build: &Build) -> Vec<String> {
    build
        .extra_hosts
        .iter()
        .flat_map(|(name, addresses)| {
            addresses
                .iter()
                .map(move |address| format!("{name}={address}"))
        })
        .collect()
}
