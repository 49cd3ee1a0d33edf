use http::HeaderMap;
use http::header::LINK;
use url::Url;

/// How many bytes of `Link` headers are read.
const HEADER: usize = 16 * 1024;

/// The URL of the next page, out of an answer's `Link` headers (RFC 8288; distribution-spec,
/// "Listing Tags"), relative ones read against `base`, the URL that the answer came from.
///
/// Only `http` and `https` URLs count, and a login within one is dropped. Whether its host is one
/// to go to is for the caller to decide.
pub fn next_link(headers: &HeaderMap, base: &Url) -> Option<Url> {
    let values = headers.get_all(LINK).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| next_target(value.get(..HEADER).unwrap_or(value)))
        .find_map(|target| {
            let mut url = base.join(&target).ok()?;
            url.set_username("").ok()?;
            url.set_password(None).ok()?;
            url.set_fragment(None);
            matches!(url.scheme(), "http" | "https").then_some(url)
        })
}

/// The target of the first link with the relation `next` in one header value.
fn next_target(value: &str) -> Option<String> {
    let mut rest = value;
    loop {
        let (_, from_target) = rest.split_once('<')?;
        let (target, parameters) = from_target.split_once('>')?;
        let (is_next, behind) = read_parameters(parameters);
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = behind;
    }
}

/// Reads `; name=value…` up to the comma that ends a link: whether one is `rel` with `next` among
/// its words, and what stands behind.
fn read_parameters(text: &str) -> (bool, &str) {
    let mut is_next = false;
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(parameter) = rest.strip_prefix(';') else {
            return (is_next, rest);
        };
        let parameter = parameter.trim_start();
        let name_end = parameter
            .find(['=', ';', ',', '<'])
            .unwrap_or(parameter.len());
        let (name, behind) = parameter.split_at(name_end);
        let Some(value) = behind.strip_prefix('=') else {
            rest = behind;
            continue;
        };
        let value = value.trim_start();
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find([';', ',', ' ']).unwrap_or(value.len())),
        };
        if name.trim_end().eq_ignore_ascii_case("rel") {
            is_next |= value
                .split_ascii_whitespace()
                .any(|word| word.eq_ignore_ascii_case("next"));
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(values: &[&str]) -> Option<String> {
        let base = Url::parse("https://r.example:5000/v2/a/b/tags/list?n=2").unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        next_link(&headers, &base).map(String::from)
    }

    #[test]
    fn links_are_relative_absolute_quoted_or_not() {
        let there = Some("https://r.example:5000/v2/a/b/tags/list?last=x&n=2".to_owned());
        for value in [
            r#"</v2/a/b/tags/list?last=x&n=2>; rel="next""#,
            r"</v2/a/b/tags/list?last=x&n=2>; rel=next",
            r#"</v2/a/b/tags/list?last=x&n=2>;title="a, b; c";REL = "prev NEXT""#,
            r#"<https://r.example:5000/v2/a/b/tags/list?last=x&n=2>; rel="next""#,
            r#"</first>; rel="first", </v2/a/b/tags/list?last=x&n=2>; rel="next""#,
            r#"<list?last=x&n=2>; rel="next""#,
        ] {
            assert_eq!(next(&[value]), there, "{value}");
        }
        assert_eq!(
            next(&[
                r#"</p>; rel="prev""#,
                r#"</v2/a/b/tags/list?last=x&n=2>; rel="next""#
            ]),
            there
        );
    }

    #[test]
    fn what_is_no_next_page_is_none() {
        for value in [
            "",
            "<",
            "<x>",
            r#"</x>; rel="prev""#,
            r#"</x>; rel="nextish""#,
            r#"<javascript:x>; rel="next""#,
            r#"<file:///etc/passwd>; rel="next""#,
            r#"rel="next""#,
        ] {
            assert_eq!(next(&[value]), None, "{value}");
        }
        assert_eq!(
            next(&[r#"<https://me:pw@other/x>; rel="next""#]),
            Some("https://other/x".to_owned())
        );
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in "[<>;,=\" a-z/?&]{0,120}|.{0,200}") {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert(LINK, value);
                let base = Url::parse("http://127.0.0.1:5000/v2/x/tags/list").unwrap();
                if let Some(url) = next_link(&headers, &base) {
                    proptest::prop_assert!(matches!(url.scheme(), "http" | "https"));
                }
            }
        }
    }
}
