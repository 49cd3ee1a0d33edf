//! The keys of `build`.

use super::shared::{
    ANY_TEXT, BOOL_OR_TEXT, EXTRA_HOSTS, FILE_REFERENCE, FILE_REFERENCES, INT_OR_TEXT,
    LIST_OF_TEXT, LIST_OR_MAP, ULIMITS,
};
use super::{Kind, Object, Others, key};

/// `services.*.build`
pub(in crate::compose) static BUILD: Object = Object {
    keys: &[
        key("context", ANY_TEXT, Kind::Text),
        key("dockerfile", ANY_TEXT, Kind::Text),
        key("dockerfile_inline", ANY_TEXT, Kind::Text),
        key("entitlements", LIST_OF_TEXT, Kind::Texts),
        key("args", LIST_OR_MAP, Kind::Environment),
        key("provenance", BOOL_OR_TEXT, Kind::Text),
        key("sbom", BOOL_OR_TEXT, Kind::Text),
        key("ssh", LIST_OR_MAP, Kind::Ssh),
        key("labels", LIST_OR_MAP, Kind::Labels),
        key("cache_from", LIST_OF_TEXT, Kind::TextOrTexts),
        key("cache_to", LIST_OF_TEXT, Kind::TextOrTexts),
        key("no_cache", BOOL_OR_TEXT, Kind::Flag),
        key("additional_contexts", LIST_OR_MAP, Kind::Mapping),
        key("pull", BOOL_OR_TEXT, Kind::Flag),
        key("extra_hosts", EXTRA_HOSTS, Kind::Hosts),
        key("isolation", ANY_TEXT, Kind::Text),
        key("network", ANY_TEXT, Kind::Text),
        key("target", ANY_TEXT, Kind::Text),
        key("secrets", FILE_REFERENCES, Kind::List(&FILE_REFERENCE)),
        key("shm_size", INT_OR_TEXT, Kind::Bytes),
        key("tags", LIST_OF_TEXT, Kind::TextOrTexts),
        key("ulimits", ULIMITS, Kind::Ulimits),
        key("platforms", LIST_OF_TEXT, Kind::TextOrTexts),
        key("privileged", BOOL_OR_TEXT, Kind::Flag),
    ],
    needs: &[],
    others: Others::Extensions,
};
