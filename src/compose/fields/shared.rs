//! Values that many keys accept.

use super::types::{BOOL, INT, MAP, NULL, NUMBER, TEXT};
use super::{Accepts, Kind, Object, Others, key};

pub(super) const ANY_TEXT: Accepts = Accepts::Types(TEXT);
pub(super) const ANY_BOOL: Accepts = Accepts::Types(BOOL);
pub(super) const BOOL_OR_TEXT: Accepts = Accepts::Types(BOOL | TEXT);
pub(super) const INT_OR_TEXT: Accepts = Accepts::Types(INT | TEXT);
pub(super) const NUMBER_OR_TEXT: Accepts = Accepts::Types(NUMBER | TEXT);
pub(super) const ANY_MAP: Accepts = Accepts::Types(MAP);

pub(super) const LIST_OF_TEXT: Accepts = Accepts::List(&ANY_TEXT);
pub(super) const SET_OF_TEXT: Accepts = Accepts::Set(&ANY_TEXT);
pub(super) const TEXT_OR_SET: Accepts = Accepts::Either(&[ANY_TEXT, SET_OF_TEXT]);
pub(super) const TEXT_OR_LIST: Accepts = Accepts::Either(&[ANY_TEXT, LIST_OF_TEXT]);

const SCALAR: Accepts = Accepts::Types(TEXT | NUMBER | BOOL | NULL);

/// `KEY=value` lines, or a mapping.
pub(super) const LIST_OR_MAP: Accepts = Accepts::Either(&[
    Accepts::Map {
        name: not_empty,
        of: &SCALAR,
        closed: true,
    },
    SET_OF_TEXT,
]);

/// `HOST:ADDRESS` lines, or a mapping of addresses and lists of addresses.
pub(super) const EXTRA_HOSTS: Accepts = Accepts::Either(&[
    Accepts::Map {
        name: not_empty,
        of: &TEXT_OR_LIST,
        closed: true,
    },
    SET_OF_TEXT,
]);

pub(super) const TEXT_OR_NUMBER_MAP: Accepts = Accepts::Map {
    name: not_empty,
    of: &NUMBER_OR_TEXT,
    closed: false,
};

pub(super) const COMMAND: Accepts = Accepts::Either(&[Accepts::Types(NULL | TEXT), LIST_OF_TEXT]);

/// Uses of configs and secrets.
pub(super) const FILE_REFERENCES: Accepts = Accepts::List(&Accepts::Either(&[
    ANY_TEXT,
    Accepts::Object(&FILE_REFERENCE),
]));

/// A use of a config or a secret.
pub(super) static FILE_REFERENCE: Object = Object {
    keys: &[
        key("source", ANY_TEXT, Kind::Text),
        key("target", ANY_TEXT, Kind::Text),
        key("uid", ANY_TEXT, Kind::Text),
        key("gid", ANY_TEXT, Kind::Text),
        key("mode", NUMBER_OR_TEXT, Kind::Mode),
    ],
    needs: &[],
    others: Others::Extensions,
};

pub(super) const ULIMITS: Accepts = Accepts::Map {
    name: lower_case,
    of: &Accepts::Either(&[INT_OR_TEXT, Accepts::Object(&ULIMIT)]),
    closed: false,
};

static ULIMIT: Object = Object {
    keys: &[
        key("soft", INT_OR_TEXT, Kind::IntAlways),
        key("hard", INT_OR_TEXT, Kind::IntAlways),
    ],
    needs: &["soft", "hard"],
    others: Others::Extensions,
};

/// A list of devices, below `deploy`.
pub(super) const DEVICES: Accepts = Accepts::List(&Accepts::Object(&DEVICE));

/// `gpus`: all, or a list of devices that may have any keys.
pub(super) const GPUS: Accepts = Accepts::Either(&[
    Accepts::Choice(&["all"]),
    Accepts::List(&Accepts::Object(&GPU)),
]);

const DEVICE_KEYS: &[super::Key] = &[
    key("capabilities", SET_OF_TEXT, Kind::Texts),
    key("driver", ANY_TEXT, Kind::Text),
    key("count", INT_OR_TEXT, Kind::Count),
    key("device_ids", SET_OF_TEXT, Kind::Texts),
    key("options", LIST_OR_MAP, Kind::Mapping),
];

pub(super) static DEVICE: Object = Object {
    keys: DEVICE_KEYS,
    needs: &["capabilities"],
    others: Others::Forgotten,
};

pub(super) static GPU: Object = Object {
    keys: DEVICE_KEYS,
    needs: &[],
    others: Others::Any,
};

/// `post_start` and `pre_stop`, and what a watch runs.
pub(super) static HOOK: Object = Object {
    keys: &[
        key("command", COMMAND, Kind::Command),
        key("user", ANY_TEXT, Kind::Text),
        key("privileged", BOOL_OR_TEXT, Kind::Flag),
        key("working_dir", ANY_TEXT, Kind::Text),
        key("environment", LIST_OR_MAP, Kind::Environment),
    ],
    needs: &["command"],
    others: Others::Extensions,
};

/// Any value of a provider's option, or a list of them.
pub(super) const PROVIDER_OPTIONS: Accepts = Accepts::Map {
    name: not_empty,
    of: &Accepts::Either(&[
        Accepts::Types(TEXT | NUMBER | BOOL),
        Accepts::List(&Accepts::Types(TEXT | NUMBER | BOOL)),
    ]),
    closed: false,
};

/// Names of services, networks, volumes, …: `^[a-zA-Z0-9._-]+$`.
pub(super) fn resource(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// `.+`, which does not take line breaks.
pub(super) fn not_empty(name: &str) -> bool {
    name.bytes().any(|byte| byte != b'\n')
}

/// `^[a-z]+$`
fn lower_case(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Something of any type but a list or a mapping.
pub(super) const NUMBER_OR_TEXT_OR_NULL: Accepts = Accepts::Types(TEXT | NUMBER | NULL);

/// The types that `external` accepts besides a mapping.
pub(super) const BOOL_OR_TEXT_TYPES: u8 = BOOL | TEXT;
