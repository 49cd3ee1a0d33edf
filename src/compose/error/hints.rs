//! What somebody may have meant.

/// Up to how many bytes a name is short.
const SHORT_NAME: usize = 8;

/// Keys that compose knows since later versions, or that belong elsewhere.
pub(super) fn newer_key(at: &str, key: &str) -> Option<String> {
    let hint = match (at.rsplit('.').next().unwrap_or_default(), key) {
        ("build", "no_cache_filter") => {
            "compose 2.40 has it not; `x-bake: no-cache-filter:` is read"
        }
        ("build", "platform") => {
            "a build has `platforms`, a list; `platform` belongs to the service"
        }
        (_, "pre_start") => "compose 2.40 has it not",
        _ if is_service(at) && OF_BUILD.contains(&key) => {
            return Some(format!("`{key}` belongs under `build:`"));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Keys of a build that are written directly under a service by mistake.
const OF_BUILD: [&str; 9] = [
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "no_cache",
    "target",
];

/// Whether a place of a document is a service.
fn is_service(at: &str) -> bool {
    at.strip_prefix("services.")
        .is_some_and(|name| !name.contains('.'))
}

pub(super) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The name that is most like `name`, if one is like it at all. Of short names two letters in the
/// wrong order leave nothing alike, and are likely all the same.
pub(in crate::compose) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let folded = name.to_lowercase().replace('-', "_");
    known
        .take(10_000)
        .map(|known| {
            let lower = known.to_lowercase().replace('-', "_");
            let swapped = lower.len() == folded.len()
                && lower.len() <= SHORT_NAME
                && strsim::damerau_levenshtein(&folded, &lower) == 1
                && strsim::levenshtein(&folded, &lower) == 2;
            let likeness = strsim::jaro_winkler(&folded, &lower);
            (if swapped { likeness.max(0.9) } else { likeness }, known)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, two| one.0.total_cmp(&two.0))
        .map(|(_, known)| known.to_owned())
}
