use url::Url;

/// The address without user, password, query and fragment: all of them have been seen to hold
/// tokens. An address that cannot be understood is left out.
pub(super) fn without_credentials(address: &str) -> Option<String> {
    if let Some((host, path)) = scp_like(address) {
        return Some(format!("ssh://{host}/{path}"));
    }
    let mut url = Url::parse(address).ok()?;
    if url.scheme() == "file" || url.cannot_be_a_base() {
        return None;
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.to_string())
}

/// The page where people look at the repository: `https://host/owner/name`.
pub(super) fn page(address: &str) -> Option<String> {
    let (host, path) = if let Some((host, path)) = scp_like(address) {
        (host.to_owned(), path.to_owned())
    } else {
        let url = Url::parse(address).ok()?;
        let host = match (url.scheme(), url.port()) {
            // The port of ssh or git says nothing about the page's.
            ("ssh" | "git" | "git+ssh", _) | (_, None) => url.host_str()?.to_owned(),
            ("http" | "https", Some(port)) => format!("{}:{port}", url.host_str()?),
            _ => return None,
        };
        (host, url.path().to_owned())
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    if host.is_empty() || path.is_empty() {
        return None;
    }
    let scheme = if address.starts_with("http://") {
        "http"
    } else {
        "https"
    };
    // What comes from a configuration file goes into labels: no spaces, no control characters.
    let page = Url::parse(&format!("{scheme}://{host}/{path}")).ok()?;
    Some(page.to_string())
}

/// Host and path of `user@host:path`, the form of ssh that is no URL (gitrevisions, "GIT URLS"): a colon
/// before the first slash, and no scheme. A single letter before the colon is a drive of Windows.
///
/// An `@` behind that colon is most likely that of `user:token@host/path` or `user:token@host:path`, where
/// somebody forgot the scheme. git takes the token for a part of the path there; so nothing before the `@` is kept,
/// and nothing at all where the token cannot be told from a path.
fn scp_like(address: &str) -> Option<(&str, &str)> {
    if address.contains("://") {
        return None;
    }
    let (host, path) = address.split_once(':')?;
    if host.contains('/') || host.len() < 2 || path.is_empty() {
        return None;
    }
    let (host, path) = match path.rsplit_once('@') {
        None => (host.rsplit('@').next()?, path),
        Some((token, _)) if host.contains('@') || token.contains('/') => return None,
        Some((_, rest)) => {
            let end = rest.find([':', '/'])?;
            (rest.get(..end)?, rest.get(end + 1..)?)
        }
    };
    Some((host, path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_kept() {
        for (address, kept) in [
            (
                "https://user:token@example.com/a/b.git?access_token=x#y",
                Some("https://example.com/a/b.git"),
            ),
            ("git@example.com:a/b.git", Some("ssh://example.com/a/b.git")),
            (
                "ssh://git@example.com:2222/a/b",
                Some("ssh://example.com:2222/a/b"),
            ),
            ("me:token@example.com/a/b", Some("ssh://example.com/a/b")),
            (
                "oauth2:token@example.com:a/b.git",
                Some("ssh://example.com/a/b.git"),
            ),
            ("me:tok/en@example.com/a/b", None),
            ("me@example.com:token@example.com/a/b", None),
            ("git@example.com:a/b@token", None),
            ("me:token@example.com", None),
            ("/srv/repositories/a.git", None),
            ("../a", None),
            ("C:/code/a", None),
            ("file:///home/me/a", None),
        ] {
            assert_eq!(without_credentials(address).as_deref(), kept, "{address}");
        }
    }

    #[test]
    fn every_form_leads_to_the_page() {
        for (address, found) in [
            (
                "https://t:x@example.com/a/b.git",
                Some("https://example.com/a/b"),
            ),
            (
                "https://example.com:8443/a/b",
                Some("https://example.com:8443/a/b"),
            ),
            (
                "http://localhost:3000/a/b.git",
                Some("http://localhost:3000/a/b"),
            ),
            ("git@example.com:a/b.git", Some("https://example.com/a/b")),
            (
                "ssh://git@example.com:2222/a/b/",
                Some("https://example.com/a/b"),
            ),
            ("git://example.com/a/b", Some("https://example.com/a/b")),
            ("me:token@example.com/a/b", Some("https://example.com/a/b")),
            (
                "oauth2:token@example.com:a/b.git",
                Some("https://example.com/a/b"),
            ),
            ("me:tok/en@example.com/a/b", None),
            ("file:///home/me/a", None),
            ("/srv/a.git", None),
            ("", None),
        ] {
            assert_eq!(page(address).as_deref(), found, "{address}");
        }
    }
}
