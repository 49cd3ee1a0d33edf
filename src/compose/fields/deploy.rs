//! The keys of `deploy`, `healthcheck` and `develop`.

use super::shared::{
    ANY_BOOL, ANY_TEXT, BOOL_OR_TEXT, DEVICE, DEVICES, HOOK, INT_OR_TEXT, LIST_OF_TEXT,
    LIST_OR_MAP, NUMBER_OR_TEXT, TEXT_OR_LIST, TEXT_OR_SET,
};
use super::{Accepts, Kind, Object, Others, key};

/// `services.*.deploy`
pub(super) static DEPLOY: Object = Object {
    keys: &[
        key("mode", ANY_TEXT, Kind::Text),
        key("replicas", INT_OR_TEXT, Kind::OptionalInt),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key(
            "update_config",
            Accepts::Object(&UPDATE),
            Kind::Pointer(&UPDATE),
        ),
        key(
            "rollback_config",
            Accepts::Object(&UPDATE),
            Kind::Pointer(&UPDATE),
        ),
        key(
            "resources",
            Accepts::Object(&RESOURCES),
            Kind::Struct(&RESOURCES),
        ),
        key(
            "restart_policy",
            Accepts::Object(&RESTART),
            Kind::Pointer(&RESTART),
        ),
        key(
            "placement",
            Accepts::Object(&PLACEMENT),
            Kind::Struct(&PLACEMENT),
        ),
        key("endpoint_mode", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

static UPDATE: Object = Object {
    keys: &[
        key("parallelism", INT_OR_TEXT, Kind::OptionalUnsigned),
        key("delay", ANY_TEXT, Kind::Duration),
        key("failure_action", ANY_TEXT, Kind::Text),
        key("monitor", ANY_TEXT, Kind::Duration),
        key("max_failure_ratio", NUMBER_OR_TEXT, Kind::Float),
        key(
            "order",
            Accepts::Choice(&["start-first", "stop-first"]),
            Kind::Text,
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static RESOURCES: Object = Object {
    keys: &[
        key("limits", Accepts::Object(&LIMITS), Kind::Pointer(&LIMITS)),
        key(
            "reservations",
            Accepts::Object(&RESERVATIONS),
            Kind::Pointer(&RESERVATIONS),
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static LIMITS: Object = Object {
    keys: &[
        key("cpus", NUMBER_OR_TEXT, Kind::Cpus),
        key("memory", ANY_TEXT, Kind::Bytes),
        key("pids", INT_OR_TEXT, Kind::Int),
    ],
    needs: &[],
    others: Others::Extensions,
};

static RESERVATIONS: Object = Object {
    keys: &[
        key("cpus", NUMBER_OR_TEXT, Kind::Cpus),
        key("memory", ANY_TEXT, Kind::Bytes),
        key("devices", DEVICES, Kind::List(&DEVICE)),
        key(
            "generic_resources",
            Accepts::List(&Accepts::Object(&GENERIC)),
            Kind::List(&GENERIC),
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static GENERIC: Object = Object {
    keys: &[key(
        "discrete_resource_spec",
        Accepts::Object(&DISCRETE),
        Kind::Pointer(&DISCRETE),
    )],
    needs: &[],
    others: Others::Extensions,
};

static DISCRETE: Object = Object {
    keys: &[
        key("kind", ANY_TEXT, Kind::TextAlways),
        key("value", NUMBER_OR_TEXT, Kind::IntAlways),
    ],
    needs: &[],
    others: Others::Extensions,
};

static RESTART: Object = Object {
    keys: &[
        key("condition", ANY_TEXT, Kind::Text),
        key("delay", ANY_TEXT, Kind::OptionalDuration),
        key("max_attempts", INT_OR_TEXT, Kind::OptionalUnsigned),
        key("window", ANY_TEXT, Kind::OptionalDuration),
    ],
    needs: &[],
    others: Others::Extensions,
};

static PLACEMENT: Object = Object {
    keys: &[
        key("constraints", LIST_OF_TEXT, Kind::Texts),
        key(
            "preferences",
            Accepts::List(&Accepts::Object(&PREFERENCE)),
            Kind::List(&PREFERENCE),
        ),
        key("max_replicas_per_node", INT_OR_TEXT, Kind::Unsigned(64)),
    ],
    needs: &[],
    others: Others::Extensions,
};

static PREFERENCE: Object = Object {
    keys: &[key("spread", ANY_TEXT, Kind::Text)],
    needs: &[],
    others: Others::Extensions,
};

/// `services.*.healthcheck`
pub(super) static HEALTHCHECK: Object = Object {
    keys: &[
        key("test", TEXT_OR_LIST, Kind::Test),
        key("timeout", ANY_TEXT, Kind::OptionalDuration),
        key("interval", ANY_TEXT, Kind::OptionalDuration),
        key("retries", NUMBER_OR_TEXT, Kind::OptionalUnsigned),
        key("start_period", ANY_TEXT, Kind::OptionalDuration),
        key("start_interval", ANY_TEXT, Kind::OptionalDuration),
        key("disable", BOOL_OR_TEXT, Kind::Flag),
    ],
    needs: &[],
    others: Others::Extensions,
};

/// `services.*.develop`
pub(super) static DEVELOP: Object = Object {
    keys: &[key(
        "watch",
        Accepts::List(&Accepts::Object(&WATCH)),
        Kind::List(&WATCH),
    )],
    needs: &[],
    others: Others::Extensions,
};

static WATCH: Object = Object {
    keys: &[
        key("path", ANY_TEXT, Kind::TextAlways),
        key(
            "action",
            Accepts::Choice(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
            Kind::TextAlways,
        ),
        key("target", ANY_TEXT, Kind::Text),
        key("exec", Accepts::Object(&HOOK), Kind::Struct(&HOOK)),
        key("include", TEXT_OR_SET, Kind::Texts),
        key("ignore", TEXT_OR_SET, Kind::Texts),
        key("initial_sync", ANY_BOOL, Kind::Flag),
    ],
    needs: &["path", "action"],
    others: Others::Extensions,
};
