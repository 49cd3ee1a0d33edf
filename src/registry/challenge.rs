use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::parser::ChallengeParser;

/// How many bytes of one `WWW-Authenticate` header are read.
const HEADER: usize = 8 * 1024;
/// How many challenges of one answer are looked at.
const CHALLENGES: usize = 16;

/// How a registry wants to be asked (RFC 7235; distribution, "Token Authentication Specification").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password in every request (RFC 7617).
    Basic,
    /// A token in every request, which a token server gives out (RFC 6750).
    Bearer {
        /// The token server's URL as it was sent, not checked yet.
        realm: String,
        /// The name by which the token server knows the registry, empty where none was sent.
        service: String,
        /// What the request would have needed, empty where none was sent.
        scope: String,
    },
}

impl Challenge {
    /// The challenge that castoff answers, out of all that an answer carries: the first bearer with
    /// a realm, else basic. Schemes and parameters are read without regard to case; what is
    /// malformed is passed over, with what stands before it still counting.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        for value in values.filter_map(|value| value.to_str().ok()) {
            let value = value.get(..HEADER).unwrap_or(value);
            for challenge in ChallengeParser::new(value)
                .map_while(Result::ok)
                .take(CHALLENGES)
            {
                let parameter = |name: &str| {
                    let mut found = challenge.params.iter();
                    found
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter("realm")
                {
                    return Some(Self::Bearer {
                        realm,
                        service: parameter("service").unwrap_or_default(),
                        scope: parameter("scope").unwrap_or_default(),
                    });
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scope.to_owned(),
        }
    }

    /// As sent by Docker Hub, GHCR, ECR, Harbor, Quay and registry:2.
    #[test]
    fn challenges_of_the_field() {
        assert_eq!(
            of(&[r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#]),
            Some(bearer(
                "https://auth.docker.io/token",
                "registry.docker.io",
                ""
            ))
        );
        assert_eq!(
            of(&[
                r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#
            ]),
            Some(bearer(
                "https://ghcr.io/token",
                "ghcr.io",
                "repository:user/image:pull"
            ))
        );
        assert_eq!(
            of(&[
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#
            ]),
            Some(Challenge::Basic)
        );
        assert_eq!(
            of(&[r#"bearer REALM="https://h/token""#]),
            Some(bearer("https://h/token", "", ""))
        );
        assert_eq!(
            of(&[
                r#"Bearer realm="http://h/token",service="bed",scope="repository:a:pull",error="insufficient_scope""#
            ]),
            Some(Challenge::Bearer {
                realm: "http://h/token".to_owned(),
                service: "bed".to_owned(),
                scope: "repository:a:pull".to_owned(),
            })
        );
    }

    #[test]
    fn bearer_is_preferred_wherever_it_stands() {
        let wanted = Some(bearer("https://h/t", "", ""));
        assert_eq!(
            of(&[r#"Basic realm="x", Bearer realm="https://h/t""#]),
            wanted
        );
        assert_eq!(
            of(&[r#"Basic realm="x""#, r#"Bearer realm="https://h/t""#]),
            wanted
        );
        assert_eq!(
            of(&[r#"Negotiate, Bearer realm="https://h/t", Basic realm="x""#]),
            wanted
        );
    }

    #[test]
    fn what_cannot_be_answered_is_none() {
        for values in [
            &[][..],
            &[""],
            &["Negotiate"],
            &["Bearer"],
            &["Bearer service=\"x\""],
            &["\u{1}"],
        ] {
            let values: Vec<&str> = values
                .iter()
                .copied()
                .filter(|value| *value != "\u{1}")
                .collect();
            assert_eq!(of(&values), None, "{values:?}");
        }
        assert_eq!(
            of(&["Basic realm=\"x\", Bearer realm=\"unfinished"]),
            Some(Challenge::Basic)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(bytes in proptest::collection::vec(0x20u8..0xff, 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.insert(WWW_AUTHENTICATE, value);
                let _ = Challenge::of(&headers);
            }
        }

        #[test]
        fn quoted_values_come_back_as_they_are(realm in "[ !#-\\[\\]-~]{0,60}", service in "[ !#-\\[\\]-~]{0,20}") {
            let text = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
            proptest::prop_assert_eq!(of(&[&text]), Some(bearer(&realm, &service, "")));
        }
    }
}
