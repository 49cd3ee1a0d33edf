//! The digest of everything that decides what a build makes.
//!
//! The form, version 1: a sorted list of parts, each a name and the sha256 of its value; the digest is
//! the sha256 of `castoff inputs 1`, a line end, and for each part its name, a zero byte, the 64
//! hexadecimal digits of its hash, and a line end.
//!
//! **Not in it**: dates and owners of files, values of secrets, caches, tags and repositories, and the
//! labels and annotations that castoff computes (revision, version, created and the others of the OCI
//! specification) and the commit's date, where castoff gives that to a reproducible image: they differ from
//! commit to commit, and an unchanged image keeps those of the commit that it was built from. A date that the
//! user gives, in the environment as `SOURCE_DATE_EPOCH` or as an argument, is in it. Labels and annotations of the user's own are in it as they are written:
//! `{{sha}}` in one does not change it, and another text does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::build::{BuildContext, BuildSpec, NamedContext};
use super::{Declared, Target};
use crate::inputs::is_commit;
use crate::oci::{Digest, Platform, Reference};
use crate::printable::without_login;

/// The label that holds the digest of an image's inputs.
pub const INPUTS_LABEL: &str = "dev.castoff.inputs";

/// What the digest is made of, before its version is changed with the form.
const FORM: &str = "castoff inputs 1\n";

/// The inputs of one target, hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The digest of all parts.
    pub digest: Digest,
    /// The parts, by their names: `dockerfile`, `context`, `base docker.io/library/alpine:3.20`,
    /// `argument VERSION`, and so on.
    pub parts: BTreeMap<String, Digest>,
}

/// What was found out about a target's inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// What the main context holds, where it is a folder.
    pub context: Option<Digest>,
    /// What the named contexts that are folders hold, and the inputs of those that are services.
    pub named: BTreeMap<String, Digest>,
    /// What the images that the build needs resolve to now, those that are named by digest included.
    pub images: BTreeMap<Reference, Digest>,
    /// What stands for the builder's own platform, where no platform is named.
    pub own_platform: String,
}

/// Why a target cannot be reused whatever its inputs are; `None` where it can.
pub fn never_reused(spec: &BuildSpec) -> Option<String> {
    if spec.no_cache || !spec.no_cache_filter.is_empty() {
        return Some("`no_cache` is set".to_owned());
    }
    let moving = |address: &str| {
        let shown: String = without_login(address).chars().take(120).collect();
        (!is_commit(address)).then(|| format!("{shown} may be another one now"))
    };
    if let BuildContext::Remote(address) = &spec.context
        && let Some(because) = moving(address)
    {
        return Some(format!("its context {because}"));
    }
    spec.named_contexts.iter().find_map(|(name, context)| {
        let address = match context {
            NamedContext::Remote(address) => address,
            NamedContext::Layout(layout) if layout.digest.is_none() => {
                return Some(format!(
                    "its context `{name}` is an image layout that is named without a digest"
                ));
            }
            NamedContext::Layout(_) | NamedContext::Local(_) | NamedContext::Service(_) => {
                return None;
            }
        };
        // An image is resolved as those of the Dockerfile are.
        if image_of(address).is_some() {
            return None;
        }
        Some(format!("its context `{name}` {}", moving(address)?))
    })
}

/// The image that a named context is, where it is one.
pub fn image_of(address: &str) -> Option<Reference> {
    let name = address.strip_prefix("docker-image://")?;
    let reference: Reference = name.parse().ok()?;
    Some(reference.canonical())
}

/// Puts together what a target's image is made of.
pub fn fingerprint(target: &Target, gathered: &Gathered) -> Fingerprint {
    let mut parts = Parts::default();
    let Gathered {
        dockerfile,
        context,
        named,
        images,
        own_platform,
    } = gathered;
    parts.bytes("dockerfile", dockerfile);
    if let Some(digest) = context {
        parts.text("context", digest.as_str());
    }
    for (name, digest) in named {
        parts.text(&format!("context {name}"), digest.as_str());
    }
    for (reference, digest) in images {
        parts.text(&format!("base {reference}"), digest.as_str());
    }
    parts.spec(&target.build, own_platform, target.declared.date_argument);
    parts.declared(&target.declared);
    parts.finish()
}

#[derive(Default)]
struct Parts {
    parts: BTreeMap<String, Digest>,
}

impl Parts {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.parts.insert(name.to_owned(), Digest::of(value));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    /// A value that is a list or has parts, where it is not empty.
    fn json(&mut self, name: &str, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_default();
        if !["null", "[]", "{}", "false"].contains(&text.as_str()) {
            self.text(name, &text);
        }
    }

    /// Every field by its name, so that none that is added later is forgotten.
    fn spec(&mut self, spec: &BuildSpec, own_platform: &str, dated: Option<&str>) {
        let BuildSpec {
            context,
            // Its bytes are hashed. Where it lies is nobody's business.
            dockerfile: _,
            target,
            args,
            // Those that the user declares are hashed.
            labels: _,
            annotations: _,
            platforms,
            named_contexts,
            secrets,
            ssh,
            extra_hosts,
            network,
            shm_size,
            ulimits,
            cgroup_parent,
            entitlements,
            // Whoever wants either builds.
            no_cache: _,
            no_cache_filter: _,
            pull,
            image,
            provenance,
            provenance_attributes,
            sbom,
            sbom_attributes,
            // Where results come from does not change them.
            cache_from: _,
            cache_to,
            cache_timeout: _,
            // What they pin is among the images.
            pins: _,
            strict,
        } = spec;
        if let BuildContext::Remote(address) = context {
            self.text("context", address);
        }
        self.json("target", target);
        // A date that castoff gives is the commit's, as the labels are; one that the user gives is not left out.
        let arguments = args.iter().filter(|(name, _)| Some(name.as_str()) != dated);
        for (name, value) in arguments {
            self.text(&format!("argument {name}"), value);
        }
        let mut names: Vec<String> = platforms
            .iter()
            .map(|platform| platform.normalized().to_string())
            .collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            names.push(format!("own: {own_platform}"));
        }
        for name in names {
            self.text(&format!("platform {name}"), "");
        }
        for (name, context) in named_contexts {
            match context {
                NamedContext::Remote(address) => self.text(&format!("context {name}"), address),
                // The digest is what it holds, wherever it lies.
                NamedContext::Layout(layout) => {
                    self.json(&format!("context {name}"), &layout.digest);
                }
                // What they hold is hashed.
                NamedContext::Local(_) | NamedContext::Service(_) => {}
            }
        }
        for secret in secrets {
            self.text(&format!("secret {}", secret.id), "");
        }
        for agent in ssh {
            self.text(&format!("ssh {}", agent.id), "");
        }
        self.json("image", image);
        self.json("hosts", extra_hosts);
        self.json("network", network);
        self.json("shm size", shm_size);
        self.json("ulimits", ulimits);
        self.json("cgroup parent", cgroup_parent);
        self.json("entitlements", entitlements);
        self.json("pull", pull);
        // What is kept within the image is a part of it.
        let keeps_cache = cache_to.iter().any(|cache| cache.kind == "inline");
        self.json("cache within", &keeps_cache);
        // An image whose Dockerfile was not checked is not taken for one that passed.
        self.json("strict", strict);
        self.json("provenance", provenance);
        self.json("sbom", sbom);
        for (kind, attributes) in [
            ("provenance", provenance_attributes),
            ("sbom", sbom_attributes),
        ] {
            for (name, value) in attributes {
                self.text(&format!("{kind} {name}"), value);
            }
        }
    }

    fn declared(&mut self, declared: &Declared) {
        let Declared {
            labels,
            annotation_levels,
            annotations,
            created_now,
            // Which argument is left out of those above.
            date_argument: _,
        } = declared;
        for (name, value) in labels {
            self.text(&format!("label {name}"), value);
        }
        if !annotation_levels.is_empty() {
            self.json("annotation levels", annotation_levels);
            for (name, value) in annotations {
                self.text(&format!("annotation {name}"), value);
            }
        }
        self.json("dated with the clock", created_now);
    }

    fn finish(self) -> Fingerprint {
        let mut text = FORM.to_owned();
        for (name, digest) in &self.parts {
            text.push_str(name);
            text.push('\0');
            text.push_str(digest.hex());
            text.push('\n');
        }
        Fingerprint {
            digest: Digest::of(text.as_bytes()),
            parts: self.parts,
        }
    }
}

/// Whether an image's platforms are just those that a target names; true where it names none, as then
/// the inputs say whose they are.
pub(super) fn same_platforms(wanted: &[Platform], found: &[Platform]) -> bool {
    let names = |platforms: &[Platform]| -> std::collections::BTreeSet<String> {
        let names = platforms.iter().map(Platform::normalized);
        names.map(|platform| platform.to_string()).collect()
    };
    wanted.is_empty() || names(wanted) == names(found)
}
