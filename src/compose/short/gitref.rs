//! What compose takes for a git repository: BuildKit's `dfgitutil`.

/// What a repository's address over HTTP ends with.
const SUFFIX: &str = ".git";

/// Whether a path of `include`, `extends` or `-f` names a git repository.
pub(in crate::compose) fn is_git(path: &str) -> bool {
    if path.starts_with("./") || path.starts_with("../") {
        return false;
    }
    if path.starts_with("github.com/") {
        return true;
    }
    let scheme = path.split_once("://").filter(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    match scheme {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "git" | "ssh" => true,
            "http" | "https" => rest
                .split(['#', '?'])
                .next()
                .is_some_and(|path| path.contains('/') && path.ends_with(SUFFIX)),
            _ => false,
        },
        None => is_scp(path),
    }
}

/// `[user@]host:path`, as ssh takes it: `^(user@)?([A-Za-z0-9.-]+):(.*?)(?:\?…)?(?:#(.*))?$`.
fn is_scp(path: &str) -> bool {
    let Some((remote, _)) = path.split_once(':') else {
        return false;
    };
    let Some((user, host)) = remote.split_once('@') else {
        return false;
    };
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    word(user) && word(host)
}

/// Whether a build's context is fetched by the builder: BuildKit's `dockerui`.
pub(in crate::compose) fn is_remote_context(context: &str) -> bool {
    [
        "https://",
        "http://",
        "git://",
        "ssh://",
        "github.com/",
        "git@",
    ]
    .iter()
    .any(|prefix| context.starts_with(prefix))
}

/// A location without the password in it.
pub(in crate::compose) fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(host_end);
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for git in [
            "https://github.com/a/b.git",
            "https://github.com/a/b.git#main:sub",
            "git@github.com:a/b.git",
            "ssh://git@host/a/b",
            "github.com/a/b",
            "git://host/a",
        ] {
            assert!(is_git(git), "{git}");
        }
        for local in [
            "./a.yaml",
            "a.yaml",
            "https://host/a.yaml",
            "C:\\a",
            "remote:nested/a",
            "oci://a",
        ] {
            assert!(!is_git(local), "{local}");
        }
        assert_eq!(
            without_password("https://me:secret@host/a.git#x"),
            "https://host/a.git#x"
        );
    }
}
