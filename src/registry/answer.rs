use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use super::retry::retry_after;
use super::shown::clean_code;
use crate::execute::ports::RegistryFault;
use crate::oci::Digest;

/// The header in which a registry names the digest of what it sends or took.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A complete answer with a bounded body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from in the end.
    pub(super) url: Url,
    /// In whose name it was asked.
    pub(super) asker: Asker,
}

/// In whose name something was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asker {
    /// No login was at hand.
    #[default]
    Nobody,
    /// A login went with it.
    Login,
    /// A token went with it that a token server gave for the login, which is good then.
    Proved,
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type without its parameters, empty where there is none.
    pub(super) fn media_type(&self) -> &str {
        let text = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim()
    }

    /// The digest that the registry announces, where it is one that can be checked.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.header(CONTENT_DIGEST)?.parse().ok()
    }

    /// What a refusal means; `clean` makes texts fit to be shown.
    pub(super) fn fault(&self, clean: impl Fn(&str) -> String) -> RegistryFault {
        let said = Said::of(self);
        let message = clean(&said.message);
        let code = said.code;
        let status = self.status.as_u16();
        let retry_after = retry_after(&self.headers);
        match status {
            _ if code == "TOOMANYREQUESTS" => RegistryFault::TooManyRequests { retry_after },
            401 if self.asker == Asker::Nobody => RegistryFault::Unauthorized {
                code,
                anonymous: true,
            },
            401 if self.asker == Asker::Login && code != "DENIED" => RegistryFault::Unauthorized {
                code,
                anonymous: false,
            },
            401 | 403 => RegistryFault::Denied {
                status,
                code,
                message,
            },
            404 => RegistryFault::NotFound { code, message },
            405 => RegistryFault::NotAllowed { status, message },
            400..500 if code == "UNSUPPORTED" => RegistryFault::NotAllowed { status, message },
            429 => RegistryFault::TooManyRequests { retry_after },
            300..400 => RegistryFault::Protocol {
                message: format!("a redirect ({status}) where none makes sense"),
            },
            _ => RegistryFault::Refused {
                status,
                code,
                message,
                retry_after,
            },
        }
    }
}

/// What a registry or token server says about a refusal.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    code: String,
    message: String,
}

/// The forms of the distribution specification ("Error Codes"), of OAuth 2 (RFC 6749, 5.2), and of
/// Docker Hub's token server.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    errors: Vec<WrittenError>,
    #[serde(default)]
    error: Option<serde_json::Value>,
    #[serde(default)]
    error_description: Option<String>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct WrittenError {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<String>,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        let said = Self::read(answer);
        if said.code.is_empty() {
            let code = match answer.status.as_u16() {
                401 => "UNAUTHORIZED",
                403 => "DENIED",
                _ => "",
            };
            return Self {
                code: code.to_owned(),
                ..said
            };
        }
        said
    }

    fn read(answer: &Answer) -> Self {
        if let Ok(written) = serde_json::from_slice::<Written>(&answer.body) {
            if let Some(first) = written.errors.into_iter().next() {
                let code = first.code.as_ref().and_then(serde_json::Value::as_str);
                return Self {
                    code: clean_code(code.unwrap_or_default()),
                    message: first.message.unwrap_or_default(),
                };
            }
            let error = written.error.as_ref().and_then(serde_json::Value::as_str);
            let messages = [
                written.error_description,
                written.details,
                written.message,
                error.map(str::to_owned),
            ];
            return Self {
                code: String::new(),
                message: messages.into_iter().flatten().next().unwrap_or_default(),
            };
        }
        // Pages of proxies say less than their status does.
        let is_text = answer.media_type() == "text/plain";
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        Self {
            code: String::new(),
            message: if is_text {
                text.to_owned()
            } else {
                String::new()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, kind: &'static str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert("retry-after", HeaderValue::from_static("3"));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: Url::parse("https://h/v2/").unwrap(),
            asker: Asker::Login,
        }
    }

    fn fault(status: u16, kind: &'static str, body: &str) -> String {
        answer(status, kind, body)
            .fault(|text| super::super::shown::clean(text, []))
            .to_string()
    }

    #[test]
    fn refusals_of_the_field() {
        let json = "application/json";
        assert_eq!(
            fault(
                403,
                json,
                r#"{"errors":[{"code":"DENIED","message":"requested access\nis denied","detail":[1]}]}"#
            ),
            "registry answered 403 DENIED: requested access is denied"
        );
        assert_eq!(
            fault(405, "text/plain; charset=utf-8", "Method not allowed\n"),
            "registry answered 405: it does not allow this: Method not allowed"
        );
        assert_eq!(
            fault(
                400,
                json,
                r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#
            ),
            "registry answered 400: it does not allow this: no"
        );
        assert_eq!(
            fault(502, "text/html", "<html>Bad gateway"),
            "registry answered 502"
        );
        assert_eq!(
            fault(401, json, r#"{"details":"incorrect username or password"}"#),
            "registry answered 401 UNAUTHORIZED; the login was refused"
        );
        assert_eq!(
            fault(400, json, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#),
            "registry answered 429: too many requests"
        );
        assert_eq!(
            fault(
                400,
                json,
                r#"{"error":"invalid_grant","error_description":"expired"}"#
            ),
            "registry answered 400: expired"
        );
    }

    #[test]
    fn a_proved_login_that_may_not_is_denied() {
        let mut refused = answer(
            401,
            "application/json",
            r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#,
        );
        refused.asker = Asker::Proved;
        assert!(matches!(
            refused.fault(str::to_owned),
            RegistryFault::Denied { status: 401, .. }
        ));
        refused.asker = Asker::Nobody;
        assert!(matches!(
            refused.fault(str::to_owned),
            RegistryFault::Unauthorized {
                anonymous: true,
                ..
            }
        ));
    }

    #[test]
    fn busy_registries_say_how_long() {
        for status in [429, 503] {
            let fault = answer(status, "", "").fault(str::to_owned);
            assert_eq!(fault.retry_after().map(|wait| wait.as_secs()), Some(3));
        }
    }
}
