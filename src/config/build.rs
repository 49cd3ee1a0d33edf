//! `[build]` and what of it stands under `[services.NAME]`.

use serde::Serialize;

use super::Error;
use super::builder::{BuilderChoice, BuilderTls};
use super::file::{
    BuildTable, BuilderTlsTable, CompressionKind, CompressionValue, SbomChoice, SbomValue,
};
use super::settings::{Reading, ServiceSettings};
use crate::oci::Reference;

/// The image that makes an SBOM where none is named: Docker's own (buildx, `attest.go`).
const DEFAULT_SBOM_GENERATOR: &str = "docker.io/docker/buildkit-syft-scanner:stable-1";

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// The kind.
    pub kind: CompressionKind,
    /// The level, where it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Whether layers that exist are compressed anew.
    pub force: bool,
}

/// What a build can be allowed beyond a sandbox (BuildKit, util/entitlements).
pub const ENTITLEMENTS: [&str; 3] = ["network.host", "security.insecure", "device"];

fn compression_of(value: CompressionValue) -> Result<Compression, String> {
    let table = match value {
        CompressionValue::With(table) => table,
        CompressionValue::Kind(kind) => {
            return Ok(Compression {
                kind,
                level: None,
                force: false,
            });
        }
    };
    let most = match table.kind {
        CompressionKind::Gzip | CompressionKind::Estargz => 9,
        CompressionKind::Zstd => 22,
        CompressionKind::Uncompressed => 0,
    };
    match table.level {
        Some(level) if level > most => Err(format!("the level is {level}, and at most {most}")),
        level => Ok(Compression {
            kind: table.kind,
            level,
            force: table.force.unwrap_or(false),
        }),
    }
}

impl Reading<'_> {
    /// Takes what the table says over what holds already.
    pub(super) fn build(
        &self,
        settings: &mut ServiceSettings,
        table: BuildTable,
        at: &[&str],
    ) -> Result<(), Error> {
        let under = |key: &'static str| [at, &[key]].concat();
        if let Some(platforms) = table.platforms {
            settings.platforms = platforms
                .iter()
                .enumerate()
                .map(|(index, platform)| {
                    platform
                        .parse()
                        .map_err(|error: crate::oci::PlatformError| {
                            let index = index.to_string();
                            self.wrong(&[at, &["platforms", &index]].concat(), error.to_string())
                        })
                })
                .collect::<Result<_, _>>()?;
        }
        if let Some(builder) = table.builder {
            settings.builder = BuilderChoice::read(&builder).ok_or_else(|| {
                let message = format!(
                    "`{builder}` is no builder: expected auto, engine, the name of a buildx builder, unix:///path/of/buildkitd.sock or tcp://host:port"
                );
                self.wrong(&under("builder"), message)
            })?;
        }
        if let Some(tls) = table.builder_tls {
            settings.builder_tls = Some(self.builder_tls(tls, &under("builder_tls"))?);
        }
        if let Some(provenance) = table.provenance {
            settings.provenance = Some(provenance);
        }
        match table.sbom {
            None => {}
            Some(SbomValue::Wanted(false)) => settings.sbom = Some(SbomChoice::Off),
            Some(SbomValue::Wanted(true)) => {
                settings.sbom = DEFAULT_SBOM_GENERATOR.parse().ok().map(SbomChoice::By);
            }
            Some(SbomValue::By(table)) => {
                let generator = table.generator.parse::<Reference>();
                let generator =
                    generator.map_err(|error| self.wrong(&under("sbom"), error.to_string()))?;
                settings.sbom = Some(SbomChoice::By(generator));
            }
        }
        settings.pull = table.pull.unwrap_or(settings.pull);
        settings.no_cache = table.no_cache.unwrap_or(settings.no_cache);
        settings.cgroup_parent = table.cgroup_parent.or(settings.cgroup_parent.take());
        settings.created = table.created.unwrap_or(settings.created);
        settings.reuse = table.reuse.unwrap_or(settings.reuse);
        settings.strict = table.strict.unwrap_or(settings.strict);
        settings.reproducible = table.reproducible.unwrap_or(settings.reproducible);
        settings.media_types = table.media_types.unwrap_or(settings.media_types);
        if let Some(compression) = table.compression {
            let compression = compression_of(compression);
            let compression =
                compression.map_err(|message| self.wrong(&under("compression"), message))?;
            settings.compression = Some(compression);
        }
        if let Some(allow) = table.allow {
            for (index, right) in allow.iter().enumerate() {
                // `device=NAME` asks for one device (BuildKit, util/entitlements).
                let kind = right.split('=').next().unwrap_or_default();
                if !ENTITLEMENTS.contains(&kind) {
                    let index = index.to_string();
                    let message = format!(
                        "`{right}` is no entitlement: expected {}",
                        ENTITLEMENTS.join(", ")
                    );
                    return Err(self.wrong(&[at, &["allow", &index]].concat(), message));
                }
            }
            settings.allow = allow;
        }
        Ok(())
    }

    fn builder_tls(&self, table: BuilderTlsTable, at: &[&str]) -> Result<BuilderTls, Error> {
        let client = match (table.cert, table.key) {
            (Some(cert), Some(key)) => Some((self.folder.join(cert), self.folder.join(key))),
            (None, None) => None,
            _ => return Err(self.wrong(at, "`cert` and `key` belong together: set both")),
        };
        Ok(BuilderTls {
            ca: table.ca.map(|path| self.folder.join(path)),
            client,
            server_name: table.server_name,
        })
    }
}
