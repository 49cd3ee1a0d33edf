//! What a JSON Schema can say about texts and numbers of publish.toml, for editors that read it.
//!
//! Each pattern takes all that castoff reads, and may take more. A text with a variable in it (`${NAME}`) is
//! taken whatever it is: an editor sees the file before its variables are replaced.

use serde_json::{Value, json};

/// Anything but nothing.
pub(super) const FILLED: &str = r"\S";

/// A span of time ([`crate::oci::HumanDuration`]).
pub(super) const DURATION: &str =
    r"\$|^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+)$";

/// A size ([`crate::oci::parse_size`]).
pub(super) const SIZE: &str =
    r"\$|^(\+?[0-9.][0-9._eE+-]*|-0[0._]*) ?([bB]|[kmgtpKMGTP]([iI]?[bB])?)?$";

/// A platform ([`crate::oci::Platform`]); a word alone is a system or an architecture, in any case of letters.
pub(super) const PLATFORM: &str = r"\$|[A-Z]|^[A-Za-z0-9_.-]+(\([^/]*\))?(/[A-Za-z0-9_.-]+){1,2}$|^(aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|macos|nacl|netbsd|openbsd|plan9|solaris|windows|zos|386|i386|amd64|x86_64|x86-64|amd64p32|arm|armhf|armel|armbe|arm64|aarch64|arm64be|loong64|mips|mips64|mips64le|mips64p32|mips64p32le|mipsle|ppc|ppc64|ppc64le|riscv|riscv64|s390|s390x|sparc|sparc64|wasm)(\([^/]*\))?$";

/// What builds ([`super::BuilderChoice`]).
pub(super) const BUILDER: &str = r"\$|^(buildx:)?[A-Za-z][A-Za-z0-9._-]*$|^unix:///|^tcp://";

/// What a build can be allowed ([`super::ENTITLEMENTS`]).
pub(super) const ENTITLEMENT: &str = r"\$|^(network\.host|security\.insecure|device)(=|$)";

/// Tags that are meant ([`crate::oci::TagPattern`]).
pub(super) const TAGS: &str = r"\$|^[A-Za-z0-9._*?-]{1,256}$";

/// How high the level of each kind of compression may be.
pub(super) fn levels() -> Value {
    let at_most = |kinds: &[&str], most: u8| {
        json!({
            "if": {"properties": {"kind": {"enum": kinds}}},
            "then": {"properties": {"level": {"maximum": most}}},
        })
    };
    json!([
        at_most(&["gzip", "estargz"], 9),
        at_most(&["zstd"], 22),
        at_most(&["uncompressed"], 0),
    ])
}

/// Two keys that belong together.
pub(super) fn together(one: &str, other: &str) -> Value {
    json!({one: [other], other: [one]})
}
