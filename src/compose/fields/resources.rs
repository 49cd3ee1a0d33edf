//! The keys of the document, and of networks, volumes, secrets, configs and models.

use super::shared::{
    ANY_TEXT, BOOL_OR_TEXT, BOOL_OR_TEXT_TYPES, LIST_OF_TEXT, LIST_OR_MAP, TEXT_OR_NUMBER_MAP,
    TEXT_OR_SET, not_empty, resource,
};
use super::types::{INT, NULL};
use super::{Accepts, Kind, Object, Others, SERVICE, key};

/// The document.
pub(in crate::compose) static PROJECT: Object = Object {
    keys: &[
        key("version", ANY_TEXT, Kind::Forgotten),
        key("name", ANY_TEXT, Kind::Text),
        key(
            "include",
            Accepts::List(&Accepts::Either(&[ANY_TEXT, Accepts::Object(&INCLUDE)])),
            Kind::Forgotten,
        ),
        key(
            "services",
            named(&Accepts::Object(&SERVICE), true),
            Kind::Map(&SERVICE),
        ),
        key(
            "networks",
            named(&or_null(&NETWORK_ONLY), false),
            Kind::Map(&NETWORK),
        ),
        key(
            "volumes",
            named(&or_null(&VOLUME_ONLY), true),
            Kind::Map(&VOLUME),
        ),
        key(
            "secrets",
            named(&Accepts::Object(&SECRET), true),
            Kind::Map(&SECRET),
        ),
        key(
            "configs",
            named(&Accepts::Object(&CONFIG), true),
            Kind::Map(&CONFIG),
        ),
        key(
            "models",
            named(&Accepts::Object(&MODEL), false),
            Kind::Map(&MODEL),
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

const fn named(of: &'static Accepts, closed: bool) -> Accepts {
    Accepts::Map {
        name: resource,
        of,
        closed,
    }
}

const fn or_null(object: &'static [Accepts]) -> Accepts {
    Accepts::Either(object)
}

const NETWORK_ONLY: [Accepts; 2] = [Accepts::Types(NULL), Accepts::Object(&NETWORK)];
const VOLUME_ONLY: [Accepts; 2] = [Accepts::Types(NULL), Accepts::Object(&VOLUME)];

static INCLUDE: Object = Object {
    keys: &[
        key("path", TEXT_OR_SET, Kind::TextOrTexts),
        key("env_file", TEXT_OR_SET, Kind::TextOrTexts),
        key("project_directory", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Refused,
};

static NETWORK: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("driver", ANY_TEXT, Kind::Text),
        key("driver_opts", TEXT_OR_NUMBER_MAP, Kind::Options),
        key("ipam", Accepts::Object(&IPAM), Kind::Struct(&IPAM)),
        key("external", EXTERNAL, Kind::Flag),
        key("internal", BOOL_OR_TEXT, Kind::Flag),
        key("attachable", BOOL_OR_TEXT, Kind::Flag),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key("enable_ipv4", BOOL_OR_TEXT, Kind::OptionalFlag),
        key("enable_ipv6", BOOL_OR_TEXT, Kind::OptionalFlag),
    ],
    needs: &[],
    others: Others::Extensions,
};

static IPAM: Object = Object {
    keys: &[
        key("driver", ANY_TEXT, Kind::Text),
        key(
            "config",
            Accepts::List(&Accepts::Object(&POOL)),
            Kind::List(&POOL),
        ),
        key(
            "options",
            Accepts::Map {
                name: not_empty,
                of: &ANY_TEXT,
                closed: true,
            },
            Kind::Forgotten,
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static POOL: Object = Object {
    keys: &[
        key("subnet", ANY_TEXT, Kind::Text),
        key("gateway", ANY_TEXT, Kind::Text),
        key("ip_range", ANY_TEXT, Kind::Text),
        key(
            "aux_addresses",
            Accepts::Map {
                name: not_empty,
                of: &ANY_TEXT,
                closed: true,
            },
            Kind::Mapping,
        ),
    ],
    needs: &[],
    others: Others::Forgotten,
};

static VOLUME: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("driver", ANY_TEXT, Kind::Text),
        key("driver_opts", TEXT_OR_NUMBER_MAP, Kind::Options),
        key("external", EXTERNAL, Kind::Flag),
        key("labels", LIST_OR_MAP, Kind::Labels),
    ],
    needs: &[],
    others: Others::Extensions,
};

static SECRET: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("file", ANY_TEXT, Kind::Text),
        key("environment", ANY_TEXT, Kind::Text),
        key("external", OPEN_EXTERNAL, Kind::Flag),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key("driver", ANY_TEXT, Kind::Text),
        key("driver_opts", TEXT_OR_NUMBER_MAP, Kind::TextMap),
        key("template_driver", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

static CONFIG: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("file", ANY_TEXT, Kind::Text),
        key("environment", ANY_TEXT, Kind::Text),
        key("content", ANY_TEXT, Kind::Text),
        key("external", OPEN_EXTERNAL, Kind::Flag),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key("template_driver", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

static MODEL: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("model", ANY_TEXT, Kind::Text),
        key("context_size", Accepts::Types(INT), Kind::Int),
        key("runtime_flags", LIST_OF_TEXT, Kind::Texts),
    ],
    needs: &["model"],
    others: Others::Extensions,
};

/// `external: true`, or the old form with a name below.
const EXTERNAL: Accepts = Accepts::Either(&[
    Accepts::Types(BOOL_OR_TEXT_TYPES),
    Accepts::Object(&Object {
        keys: &[key("name", ANY_TEXT, Kind::Text)],
        needs: &[],
        others: Others::Extensions,
    }),
]);

/// The same for secrets and configs, where any other key may stand beside the name.
const OPEN_EXTERNAL: Accepts = Accepts::Either(&[
    Accepts::Types(BOOL_OR_TEXT_TYPES),
    Accepts::Object(&Object {
        keys: &[key("name", ANY_TEXT, Kind::Text)],
        needs: &[],
        others: Others::Any,
    }),
]);
