//! The keys of a compose file: what each accepts, and what it becomes.
//!
//! One row says both, in the order in which compose prints the keys. What a row accepts is the
//! compose specification's JSON schema as compose-go 2.9.1 carries it; what it becomes are
//! compose-go's types and their decoding. Start at [`PROJECT`].

mod build;
mod deploy;
mod resources;
mod service;
mod shared;

pub(super) use resources::PROJECT;
pub(super) use service::SERVICE;

/// The mapping of a part of the file.
#[derive(Debug)]
pub(super) struct Object {
    /// Its keys, in the order compose prints them.
    pub keys: &'static [Key],
    /// The keys that must be there.
    pub needs: &'static [&'static str],
    /// What happens to keys that no row has.
    pub others: Others,
}

/// What happens to keys that no row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They are an error.
    Refused,
    /// `x-…` is kept and printed, the rest an error.
    Extensions,
    /// `x-…` is accepted and forgotten, the rest an error.
    Forgotten,
    /// All are accepted, and forgotten but for `x-…`.
    Any,
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    /// The key.
    pub name: &'static str,
    /// The key in JSON, which is another one where compose-go's types have no names.
    pub json: &'static str,
    /// What the schema accepts.
    pub accepts: Accepts,
    /// What it becomes.
    pub kind: Kind,
}

/// A key that accepts something, and becomes something.
const fn key(name: &'static str, accepts: Accepts, kind: Kind) -> Key {
    renamed(name, name, accepts, kind)
}

/// A key that has another name in JSON.
const fn renamed(name: &'static str, json: &'static str, accepts: Accepts, kind: Kind) -> Key {
    Key {
        name,
        json,
        accepts,
        kind,
    }
}

/// Types, as bits of [`Accepts::Types`].
pub(super) mod types {
    /// `null`
    pub(crate) const NULL: u8 = 1;
    /// `true`, `false`
    pub(crate) const BOOL: u8 = 2;
    /// Whole numbers
    pub(crate) const INT: u8 = 4;
    /// Any number
    pub(crate) const NUMBER: u8 = 8;
    /// Text
    pub(crate) const TEXT: u8 = 16;
    /// Sequences
    pub(crate) const LIST: u8 = 32;
    /// Mappings
    pub(crate) const MAP: u8 = 64;
}

/// What the schema accepts.
#[derive(Debug)]
pub(super) enum Accepts {
    /// Any of the types.
    Types(u8),
    /// A whole number within bounds, or text.
    IntBetween(i64, i64),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// Text that a rule accepts, and the rule in words.
    Matching(fn(&str) -> bool, &'static str),
    /// A sequence.
    List(&'static Accepts),
    /// A sequence without two equal items.
    Set(&'static Accepts),
    /// A mapping with known keys.
    Object(&'static Object),
    /// A mapping with names of the user's. Names that are none are refused where it is `closed`,
    /// and else accepted with whatever they hold.
    Map {
        /// Which names are names.
        name: fn(&str) -> bool,
        /// What a name holds.
        of: &'static Accepts,
        /// Whether other names are refused.
        closed: bool,
    },
    /// The one of these whose type it has.
    Either(&'static [Accepts]),
}

/// What a value becomes: compose-go's types, by how they decode and print.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Nothing: compose reads the key and forgets it.
    Forgotten,
    /// `string`
    Text,
    /// `bool`; `false` is not printed.
    Flag,
    /// `*bool`
    OptionalFlag,
    /// `int64`; 0 is not printed.
    Int,
    /// `*int`
    OptionalInt,
    /// `uintN`: bits; 0 is not printed.
    Unsigned(u32),
    /// `uintN` that is printed even if it is 0.
    UnsignedAlways(u32),
    /// `*uint64`
    OptionalUnsigned,
    /// `int64` that is printed even if it is 0.
    IntAlways,
    /// `float32`; 0 is not printed.
    Float,
    /// `NanoCPUs`, a float that text may hold.
    Cpus,
    /// `UnitBytes`: a size, printed as text in bytes; 0 is not printed.
    Bytes,
    /// `UnitBytes` that is printed even if it is 0.
    BytesAlways,
    /// `Duration`; 0 is not printed.
    Duration,
    /// `*Duration`
    OptionalDuration,
    /// `*FileMode`: octal, printed as text.
    Mode,
    /// `DeviceCount`: a number, or `all`, which is -1.
    Count,
    /// `string` that is printed even if it is empty.
    TextAlways,
    /// `bool` that is printed even if it is false.
    FlagAlways,
    /// `ShellCommand`: a list, or text with shell words in it. JSON always has it.
    Command,
    /// `HealthCheckTest`
    Test,
    /// `[]string`
    Texts,
    /// `StringList`: one text, or a list.
    TextOrTexts,
    /// `StringOrNumberList`
    TextsOrNumbers,
    /// `MappingWithEquals`: names, some without a value.
    Environment,
    /// `Mapping`, and `Labels`: names with values; none is empty text.
    Mapping,
    /// `Labels`: as [`Kind::Mapping`].
    Labels,
    /// `Options`: a mapping of texts; numbers become text.
    Options,
    /// `MultiOptions`
    MultiOptions,
    /// `map[string]string`
    TextMap,
    /// `HostsList`
    Hosts,
    /// `SSHConfig`
    Ssh,
    /// `map[string]*UlimitsConfig`
    Ulimits,
    /// `[]EnvFile`
    EnvFiles,
    /// A struct by value: JSON always has it.
    Struct(&'static Object),
    /// A pointer to a struct.
    Pointer(&'static Object),
    /// A list of structs.
    List(&'static Object),
    /// A mapping of structs; none is an empty struct.
    Map(&'static Object),
    /// A mapping of pointers to structs; none stays none.
    PointerMap(&'static Object),
}

impl Object {
    /// The row of a key.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
