//! Values of the image world: references, digests, platforms, descriptors, sizes, durations.
//!
//! Knows grammars and normal forms, as Docker and the OCI specifications define them. Must not
//! know any I/O, any runtime, or anything else of castoff: every room may import this one, and it
//! imports none. Start reading at [`Reference`].

mod digest;
mod duration;
mod manifest;
mod platform;
#[cfg(test)]
mod properties;
mod reference;
mod size;
mod tag_pattern;

pub use digest::{Digest, DigestError};
pub use duration::{DurationError, HumanDuration};
pub use manifest::{
    ATTESTATION_REFERENCE_DIGEST, ATTESTATION_REFERENCE_TYPE, Descriptor, Index, Manifest,
    ManifestError, Parsed, RawManifest, media_type,
};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError, Repository, Tag};
pub use size::{SizeError, parse_ram_in_bytes, parse_size};
pub use tag_pattern::{TagPattern, TagPatternError};

#[cfg(test)]
mod tables;
