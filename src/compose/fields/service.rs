//! The keys of a service.

use super::build::BUILD;
use super::deploy::{DEPLOY, DEVELOP, HEALTHCHECK};
use super::shared::{
    ANY_BOOL, ANY_MAP, ANY_TEXT, BOOL_OR_TEXT, COMMAND, EXTRA_HOSTS, FILE_REFERENCE,
    FILE_REFERENCES, GPU, GPUS, HOOK, INT_OR_TEXT, LIST_OR_MAP, NUMBER_OR_TEXT,
    NUMBER_OR_TEXT_OR_NULL, PROVIDER_OPTIONS, SET_OF_TEXT, TEXT_OR_LIST, TEXT_OR_NUMBER_MAP,
    TEXT_OR_SET, ULIMITS, not_empty, resource,
};
use super::types::{NULL, NUMBER, TEXT};
use super::{Accepts, Kind, Object, Others, key, renamed};

/// `services.*`
pub(in crate::compose) static SERVICE: Object = Object {
    keys: &[
        key("profiles", SET_OF_TEXT, Kind::Texts),
        key("annotations", LIST_OR_MAP, Kind::Mapping),
        key("attach", BOOL_OR_TEXT, Kind::OptionalFlag),
        key(
            "build",
            Accepts::Either(&[ANY_TEXT, Accepts::Object(&BUILD)]),
            Kind::Pointer(&BUILD),
        ),
        key(
            "develop",
            Accepts::Either(&[Accepts::Types(NULL), Accepts::Object(&DEVELOP)]),
            Kind::Pointer(&DEVELOP),
        ),
        key(
            "blkio_config",
            Accepts::Object(&BLKIO),
            Kind::Pointer(&BLKIO),
        ),
        key("cap_add", SET_OF_TEXT, Kind::Texts),
        key("cap_drop", SET_OF_TEXT, Kind::Texts),
        key("cgroup_parent", ANY_TEXT, Kind::Text),
        key("cgroup", Accepts::Choice(&["host", "private"]), Kind::Text),
        key("cpu_count", Accepts::IntBetween(0, i64::MAX), Kind::Int),
        key("cpu_percent", Accepts::IntBetween(0, 100), Kind::Float),
        key("cpu_period", NUMBER_OR_TEXT, Kind::Int),
        key("cpu_quota", NUMBER_OR_TEXT, Kind::Int),
        key("cpu_rt_period", NUMBER_OR_TEXT, Kind::Int),
        key("cpu_rt_runtime", NUMBER_OR_TEXT, Kind::Int),
        key("cpus", NUMBER_OR_TEXT, Kind::Float),
        key("cpuset", ANY_TEXT, Kind::Text),
        key("cpu_shares", NUMBER_OR_TEXT, Kind::Int),
        key("command", COMMAND, Kind::Command),
        key("configs", FILE_REFERENCES, Kind::List(&FILE_REFERENCE)),
        key(
            "container_name",
            Accepts::Matching(
                container_name,
                "must have a letter or digit, and another one or `_`, `.`, `-` behind it",
            ),
            Kind::Text,
        ),
        key(
            "credential_spec",
            Accepts::Object(&CREDENTIAL),
            Kind::Pointer(&CREDENTIAL),
        ),
        key("depends_on", DEPENDS_ON, Kind::Map(&DEPENDENCY)),
        key(
            "deploy",
            Accepts::Either(&[Accepts::Types(NULL), Accepts::Object(&DEPLOY)]),
            Kind::Pointer(&DEPLOY),
        ),
        key("device_cgroup_rules", SET_OF_TEXT, Kind::Texts),
        key(
            "devices",
            Accepts::List(&Accepts::Either(&[
                ANY_TEXT,
                Accepts::Object(&DEVICE_MAPPING),
            ])),
            Kind::List(&DEVICE_MAPPING),
        ),
        key("dns", TEXT_OR_SET, Kind::TextOrTexts),
        key("dns_opt", SET_OF_TEXT, Kind::Texts),
        key("dns_search", TEXT_OR_SET, Kind::TextOrTexts),
        key("domainname", ANY_TEXT, Kind::Text),
        key("entrypoint", COMMAND, Kind::Command),
        key(
            "provider",
            Accepts::Object(&PROVIDER),
            Kind::Pointer(&PROVIDER),
        ),
        key("environment", LIST_OR_MAP, Kind::Environment),
        key("env_file", ENV_FILE, Kind::EnvFiles),
        key(
            "expose",
            Accepts::Set(&NUMBER_OR_TEXT),
            Kind::TextsOrNumbers,
        ),
        key(
            "extends",
            Accepts::Either(&[ANY_TEXT, Accepts::Object(&EXTENDS)]),
            Kind::Pointer(&EXTENDS),
        ),
        key("external_links", SET_OF_TEXT, Kind::Texts),
        key("extra_hosts", EXTRA_HOSTS, Kind::Hosts),
        key("group_add", Accepts::Set(&NUMBER_OR_TEXT), Kind::Texts),
        key("gpus", GPUS, Kind::List(&GPU)),
        key("hostname", ANY_TEXT, Kind::Text),
        key(
            "healthcheck",
            Accepts::Object(&HEALTHCHECK),
            Kind::Pointer(&HEALTHCHECK),
        ),
        key("image", ANY_TEXT, Kind::Text),
        key("init", BOOL_OR_TEXT, Kind::OptionalFlag),
        key("ipc", ANY_TEXT, Kind::Text),
        key("isolation", ANY_TEXT, Kind::Text),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key("label_file", TEXT_OR_LIST, Kind::Texts),
        key("links", SET_OF_TEXT, Kind::Texts),
        key(
            "logging",
            Accepts::Object(&LOGGING),
            Kind::Pointer(&LOGGING),
        ),
        key("mem_limit", NUMBER_OR_TEXT, Kind::Bytes),
        key("mem_reservation", INT_OR_TEXT, Kind::Bytes),
        key("memswap_limit", NUMBER_OR_TEXT, Kind::Bytes),
        key("mem_swappiness", INT_OR_TEXT, Kind::Bytes),
        key("mac_address", ANY_TEXT, Kind::Text),
        key("models", MODELS, Kind::PointerMap(&SERVICE_MODEL)),
        key("network_mode", ANY_TEXT, Kind::Text),
        key("networks", NETWORKS, Kind::PointerMap(&SERVICE_NETWORK)),
        key("oom_kill_disable", BOOL_OR_TEXT, Kind::Flag),
        key("oom_score_adj", Accepts::IntBetween(-1000, 1000), Kind::Int),
        key("pid", Accepts::Types(TEXT | NULL), Kind::Text),
        key("pids_limit", NUMBER_OR_TEXT, Kind::Int),
        key("platform", ANY_TEXT, Kind::Text),
        key(
            "ports",
            Accepts::Set(&Accepts::Either(&[
                Accepts::Types(NUMBER | TEXT),
                Accepts::Object(&PORT),
            ])),
            Kind::List(&PORT),
        ),
        key("privileged", BOOL_OR_TEXT, Kind::Flag),
        key(
            "pull_policy",
            Accepts::Matching(
                pull_policy,
                "must be always, never, build, missing, if_not_present, refresh, daily, weekly or every_<duration>",
            ),
            Kind::Text,
        ),
        key("pull_refresh_after", ANY_TEXT, Kind::Forgotten),
        key("read_only", BOOL_OR_TEXT, Kind::Flag),
        key("restart", ANY_TEXT, Kind::Text),
        key("runtime", ANY_TEXT, Kind::Text),
        key("scale", INT_OR_TEXT, Kind::OptionalInt),
        key("secrets", FILE_REFERENCES, Kind::List(&FILE_REFERENCE)),
        key("security_opt", SET_OF_TEXT, Kind::Texts),
        key("shm_size", NUMBER_OR_TEXT, Kind::Bytes),
        key("stdin_open", BOOL_OR_TEXT, Kind::Flag),
        key("stop_grace_period", ANY_TEXT, Kind::OptionalDuration),
        key("stop_signal", ANY_TEXT, Kind::Text),
        key("storage_opt", ANY_MAP, Kind::TextMap),
        key("sysctls", LIST_OR_MAP, Kind::Mapping),
        key("tmpfs", TEXT_OR_SET, Kind::TextOrTexts),
        key("tty", BOOL_OR_TEXT, Kind::Flag),
        key("ulimits", ULIMITS, Kind::Ulimits),
        key("use_api_socket", ANY_BOOL, Kind::Flag),
        key("user", ANY_TEXT, Kind::Text),
        key("userns_mode", ANY_TEXT, Kind::Text),
        key("uts", ANY_TEXT, Kind::Text),
        key(
            "volumes",
            Accepts::Set(&Accepts::Either(&[ANY_TEXT, Accepts::Object(&MOUNT)])),
            Kind::List(&MOUNT),
        ),
        key("volumes_from", SET_OF_TEXT, Kind::Texts),
        key("working_dir", ANY_TEXT, Kind::Text),
        key(
            "post_start",
            Accepts::List(&Accepts::Object(&HOOK)),
            Kind::List(&HOOK),
        ),
        key(
            "pre_stop",
            Accepts::List(&Accepts::Object(&HOOK)),
            Kind::List(&HOOK),
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static BLKIO: Object = Object {
    keys: &[
        key("weight", INT_OR_TEXT, Kind::Unsigned(16)),
        key(
            "weight_device",
            Accepts::List(&Accepts::Object(&BLKIO_WEIGHT)),
            Kind::List(&BLKIO_WEIGHT),
        ),
        key(
            "device_read_bps",
            Accepts::List(&Accepts::Object(&BLKIO_RATE)),
            Kind::List(&BLKIO_RATE),
        ),
        key(
            "device_read_iops",
            Accepts::List(&Accepts::Object(&BLKIO_RATE)),
            Kind::List(&BLKIO_RATE),
        ),
        key(
            "device_write_bps",
            Accepts::List(&Accepts::Object(&BLKIO_RATE)),
            Kind::List(&BLKIO_RATE),
        ),
        key(
            "device_write_iops",
            Accepts::List(&Accepts::Object(&BLKIO_RATE)),
            Kind::List(&BLKIO_RATE),
        ),
    ],
    needs: &[],
    others: Others::Refused,
};

/// A rate; JSON names its keys `Path` and `Rate`.
static BLKIO_RATE: Object = Object {
    keys: &[
        renamed("path", "Path", ANY_TEXT, Kind::TextAlways),
        renamed("rate", "Rate", INT_OR_TEXT, Kind::BytesAlways),
    ],
    needs: &[],
    others: Others::Refused,
};

/// A weight; JSON names its keys `Path` and `Weight`.
static BLKIO_WEIGHT: Object = Object {
    keys: &[
        renamed("path", "Path", ANY_TEXT, Kind::TextAlways),
        renamed("weight", "Weight", INT_OR_TEXT, Kind::UnsignedAlways(16)),
    ],
    needs: &[],
    others: Others::Refused,
};

static CREDENTIAL: Object = Object {
    keys: &[
        key("config", ANY_TEXT, Kind::Text),
        key("file", ANY_TEXT, Kind::Text),
        key("registry", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

const DEPENDS_ON: Accepts = Accepts::Either(&[
    SET_OF_TEXT,
    Accepts::Map {
        name: resource,
        of: &Accepts::Object(&DEPENDENCY),
        closed: true,
    },
]);

static DEPENDENCY: Object = Object {
    keys: &[
        key(
            "condition",
            Accepts::Choice(&[
                "service_started",
                "service_healthy",
                "service_completed_successfully",
            ]),
            Kind::Text,
        ),
        key("restart", BOOL_OR_TEXT, Kind::Flag),
        key("required", ANY_BOOL, Kind::FlagAlways),
    ],
    needs: &["condition"],
    others: Others::Extensions,
};

static DEVICE_MAPPING: Object = Object {
    keys: &[
        key("source", ANY_TEXT, Kind::Text),
        key("target", ANY_TEXT, Kind::Text),
        key("permissions", ANY_TEXT, Kind::Text),
    ],
    needs: &["source"],
    others: Others::Extensions,
};

static PROVIDER: Object = Object {
    keys: &[
        key("type", ANY_TEXT, Kind::Text),
        key("options", PROVIDER_OPTIONS, Kind::MultiOptions),
    ],
    needs: &["type"],
    others: Others::Extensions,
};

const ENV_FILE: Accepts = Accepts::Either(&[
    ANY_TEXT,
    Accepts::List(&Accepts::Either(&[
        ANY_TEXT,
        Accepts::Object(&Object {
            keys: &[
                key("path", ANY_TEXT, Kind::Text),
                key("format", ANY_TEXT, Kind::Text),
                key("required", BOOL_OR_TEXT, Kind::Flag),
            ],
            needs: &["path"],
            others: Others::Refused,
        }),
    ])),
]);

static EXTENDS: Object = Object {
    keys: &[
        key("file", ANY_TEXT, Kind::Text),
        key("service", ANY_TEXT, Kind::Text),
    ],
    needs: &["service"],
    others: Others::Refused,
};

static LOGGING: Object = Object {
    keys: &[
        key("driver", ANY_TEXT, Kind::Text),
        key(
            "options",
            Accepts::Map {
                name: not_empty,
                of: &NUMBER_OR_TEXT_OR_NULL,
                closed: false,
            },
            Kind::Options,
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

const MODELS: Accepts = Accepts::Either(&[
    SET_OF_TEXT,
    Accepts::Map {
        name: resource,
        of: &Accepts::Either(&[Accepts::Types(NULL), Accepts::Object(&SERVICE_MODEL)]),
        closed: false,
    },
]);

static SERVICE_MODEL: Object = Object {
    keys: &[
        key("endpoint_var", ANY_TEXT, Kind::Text),
        key("model_var", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

const NETWORKS: Accepts = Accepts::Either(&[
    SET_OF_TEXT,
    Accepts::Map {
        name: resource,
        of: &Accepts::Either(&[Accepts::Types(NULL), Accepts::Object(&SERVICE_NETWORK)]),
        closed: true,
    },
]);

static SERVICE_NETWORK: Object = Object {
    keys: &[
        key("aliases", SET_OF_TEXT, Kind::Texts),
        key("driver_opts", TEXT_OR_NUMBER_MAP, Kind::Options),
        key("gw_priority", Accepts::Types(NUMBER), Kind::Int),
        key("interface_name", ANY_TEXT, Kind::Text),
        key("ipv4_address", ANY_TEXT, Kind::Text),
        key("ipv6_address", ANY_TEXT, Kind::Text),
        key("link_local_ips", SET_OF_TEXT, Kind::Texts),
        key("mac_address", ANY_TEXT, Kind::Text),
        key("priority", Accepts::Types(NUMBER), Kind::Int),
    ],
    needs: &[],
    others: Others::Extensions,
};

static PORT: Object = Object {
    keys: &[
        key("name", ANY_TEXT, Kind::Text),
        key("mode", ANY_TEXT, Kind::Text),
        key("host_ip", ANY_TEXT, Kind::Text),
        key("target", INT_OR_TEXT, Kind::Unsigned(32)),
        key("published", INT_OR_TEXT, Kind::Text),
        key("protocol", ANY_TEXT, Kind::Text),
        key("app_protocol", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

static MOUNT: Object = Object {
    keys: &[
        key(
            "type",
            Accepts::Choice(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
            Kind::Text,
        ),
        key("source", ANY_TEXT, Kind::Text),
        key("target", ANY_TEXT, Kind::Text),
        key("read_only", BOOL_OR_TEXT, Kind::Flag),
        key("consistency", ANY_TEXT, Kind::Text),
        key("bind", Accepts::Object(&BIND), Kind::Pointer(&BIND)),
        key(
            "volume",
            Accepts::Object(&VOLUME_OPTIONS),
            Kind::Pointer(&VOLUME_OPTIONS),
        ),
        key("tmpfs", Accepts::Object(&TMPFS), Kind::Pointer(&TMPFS)),
        key("image", Accepts::Object(&IMAGE), Kind::Pointer(&IMAGE)),
    ],
    needs: &["type"],
    others: Others::Extensions,
};

static BIND: Object = Object {
    keys: &[
        key("selinux", Accepts::Choice(&["z", "Z"]), Kind::Text),
        key("propagation", ANY_TEXT, Kind::Text),
        key("create_host_path", BOOL_OR_TEXT, Kind::Flag),
        key(
            "recursive",
            Accepts::Choice(&["enabled", "disabled", "writable", "readonly"]),
            Kind::Text,
        ),
    ],
    needs: &[],
    others: Others::Extensions,
};

static VOLUME_OPTIONS: Object = Object {
    keys: &[
        key("labels", LIST_OR_MAP, Kind::Mapping),
        key("nocopy", BOOL_OR_TEXT, Kind::Flag),
        key("subpath", ANY_TEXT, Kind::Text),
    ],
    needs: &[],
    others: Others::Extensions,
};

static TMPFS: Object = Object {
    keys: &[
        key("size", Accepts::IntBetween(0, i64::MAX), Kind::Bytes),
        key("mode", NUMBER_OR_TEXT, Kind::Unsigned(32)),
    ],
    needs: &[],
    others: Others::Extensions,
};

static IMAGE: Object = Object {
    keys: &[key("subpath", ANY_TEXT, Kind::Text)],
    needs: &[],
    others: Others::Extensions,
};

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, anywhere in the text.
fn container_name(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| {
        matches!(pair, [first, second] if first.is_ascii_alphanumeric()
            && (second.is_ascii_alphanumeric() || matches!(second, b'_' | b'.' | b'-')))
    })
}

/// `always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+`,
/// anywhere in the text.
fn pull_policy(policy: &str) -> bool {
    const WORDS: [&str; 8] = [
        "always",
        "never",
        "build",
        "if_not_present",
        "missing",
        "refresh",
        "daily",
        "weekly",
    ];
    WORDS.iter().any(|word| policy.contains(word))
        || policy.match_indices("every_").any(|(at, every)| {
            let rest = policy.get(at + every.len()..).unwrap_or_default();
            let number = rest.bytes().take_while(u8::is_ascii_digit).count();
            let unit = rest.as_bytes().get(number);
            number > 0 && matches!(unit, Some(b'w' | b'd' | b'h' | b'm' | b's'))
        })
}
