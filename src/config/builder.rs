use std::path::PathBuf;

/// What builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BuilderChoice {
    /// Whatever is at hand.
    #[default]
    Auto,
    /// The Docker Engine's own BuildKit.
    Engine,
    /// A builder of buildx's, by its name.
    Buildx(String),
    /// A buildkitd, by its address: `unix:///path` or `tcp://host:port`.
    Buildkitd(String),
}

impl BuilderChoice {
    /// Reads what names a builder; `None` where that is nothing that does.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
        };
        match text {
            "auto" => Some(Self::Auto),
            "engine" => Some(Self::Engine),
            address if address.starts_with("unix:///") || address.starts_with("tcp://") => {
                Some(Self::Buildkitd(address.to_owned()))
            }
            other => {
                let name = other.strip_prefix("buildx:").unwrap_or(other);
                is_name(name).then(|| Self::Buildx(name.to_owned()))
            }
        }
    }
}

/// The files by which a buildkitd and castoff trust each other, as buildctl has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderTls {
    /// The CA that signed the builder's certificate; the system's CAs where there is none.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name in the builder's certificate, where it is not that of its address.
    pub server_name: Option<String>,
}
