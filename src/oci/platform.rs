use std::fmt;
use std::str::FromStr;

/// A platform: operating system, architecture, variant, and on Windows the version.
///
/// Parsing and normal forms are those of containerd/platforms (`Parse`, `FormatAll`): `x86_64` is
/// `amd64`, `aarch64` is `arm64`, a lone architecture means Linux, a lone system means `amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    os_version: String,
    architecture: String,
    variant: String,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform `{text}`: expected `os/architecture[/variant]`, for example linux/arm64")]
pub struct PlatformError {
    text: String,
}

/// The systems that a lone word may name (containerd/platforms, `isKnownOS`).
const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// The architectures that a lone word may name (containerd/platforms, `isKnownArch`).
const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// The operating system, for example `linux`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The version of the operating system, empty where none was given.
    pub fn os_version(&self) -> &str {
        &self.os_version
    }

    /// The architecture, for example `arm64`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, for example `v7`, empty where there is none.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// The platform with the variant that containerd assumes made explicit or dropped, so that
    /// two ways of writing one platform are equal: `linux/arm64/v8` is `linux/arm64`, `linux/arm`
    /// is `linux/arm/v7`, `linux/amd64/v1` is `linux/amd64` (containerd/platforms, `Normalize`).
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut platform = self.clone();
        match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "v8" | "8") | ("amd64", "v1") => platform.variant.clear(),
            ("arm", "") => "v7".clone_into(&mut platform.variant),
            _ => {}
        }
        platform
    }

    /// From the fields of an image's or a descriptor's `platform` object.
    pub fn from_parts(os: &str, architecture: &str, variant: &str, os_version: &str) -> Self {
        let (architecture, variant) = normalize_architecture(architecture, variant);
        Self {
            os: normalize_os(os),
            os_version: os_version.to_owned(),
            architecture,
            variant,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError {
            text: text.chars().take(80).collect(),
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (first, rest) = parts.split_first().ok_or_else(wrong)?;
        let (first, os_version) = split_os_version(first).ok_or_else(wrong)?;
        let is_word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !is_word(first) || !rest.iter().all(|part| is_word(part)) {
            return Err(wrong());
        }
        let os = normalize_os(first);
        let (os, architecture, variant) = match rest {
            [] if KNOWN_OS.contains(&os.as_str()) => (os, "amd64".to_owned(), String::new()),
            [] => {
                let (architecture, variant) = normalize_architecture(first, "");
                let variant = if architecture == "arm" && variant == "v7" {
                    String::new()
                } else {
                    variant
                };
                if !KNOWN_ARCHITECTURES.contains(&architecture.as_str()) {
                    return Err(wrong());
                }
                ("linux".to_owned(), architecture, variant)
            }
            [architecture] => {
                let (architecture, variant) = normalize_architecture(architecture, "");
                let variant = if architecture == "arm" && variant == "v7" {
                    String::new()
                } else {
                    variant
                };
                (os, architecture, variant)
            }
            [architecture, variant] => {
                let (architecture, normal) = normalize_architecture(architecture, variant);
                let normal = if architecture == "arm64" && normal.is_empty() {
                    "v8".to_owned()
                } else {
                    normal
                };
                (os, architecture, normal)
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            os,
            os_version,
            architecture,
            variant,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            let version = self.os_version.replace('%', "%25");
            let version = version
                .replace('+', "%2B")
                .replace('/', "%2F")
                .replace('(', "%28")
                .replace(')', "%29");
            write!(formatter, "({version})")?;
        }
        write!(formatter, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}

impl serde::Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Platform {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Splits `windows(10.0.17763%2Bbuild.42)` into the system and its percent-decoded version.
fn split_os_version(text: &str) -> Option<(&str, String)> {
    let Some((os, rest)) = text.split_once('(') else {
        return Some((text, String::new()));
    };
    let version = rest.strip_suffix(')')?;
    let decoded = percent_encoding::percent_decode_str(version)
        .decode_utf8()
        .ok()?;
    Some((os, decoded.into_owned()))
}

/// containerd/platforms, `normalizeOS`.
fn normalize_os(text: &str) -> String {
    match text.to_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

/// containerd/platforms, `normalizeArch`.
fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match architecture.as_str() {
        "i386" => ("386", ""),
        "x86_64" | "x86-64" | "amd64" => (
            "amd64",
            if variant == "v1" {
                ""
            } else {
                variant.as_str()
            },
        ),
        "aarch64" | "arm64" => (
            "arm64",
            match variant.as_str() {
                "8" | "v8" => "",
                other => other,
            },
        ),
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        "arm" => (
            "arm",
            match variant.as_str() {
                "" | "7" => "v7",
                "5" => "v5",
                "6" => "v6",
                "8" => "v8",
                other => other,
            },
        ),
        other => (other, variant.as_str()),
    };
    (architecture.to_owned(), variant.to_owned())
}
