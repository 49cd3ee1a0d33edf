//! Bearer tokens: who gives them out, for what, and for how long (distribution, "Token
//! Authentication Specification" and its "OAuth 2 Token Authentication").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use reqwest::Method;
use serde::Deserialize;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::answer::{Answer, Asker};
use super::challenge::Challenge;
use super::host::Host;
use super::pass::{Pass, Token, basic};
use super::scope::Scopes;
use super::wire::{Request, bounded, check_reach, within};
use crate::execute::ports::{Credential, RegistryFault};
use crate::secret::Secret;

/// How much a token server may say.
const ANSWER: usize = 256 * 1024;
/// How long a token lives that does not say so (distribution, "Token Response Fields").
const DEFAULT_SECONDS: f64 = 60.0;
/// No token is kept longer than this, whatever it says.
const LONGEST_SECONDS: f64 = 3600.0;

impl Host {
    /// A bearer token for `scopes`: one that is at hand, else a new one.
    pub(super) async fn bearer(
        &self,
        base: &Url,
        challenge: &Challenge,
        scopes: &Scopes,
    ) -> Result<Pass, RegistryFault> {
        if let Some(token) = self.tokens.covering(scopes) {
            return Ok(Pass::bearer(token));
        }
        let scopes = &self.tokens.worth_asking(scopes);
        let turn = self.tokens.turn(scopes);
        let _turn = turn.lock().await;
        if let Some(token) = self.tokens.covering(scopes) {
            return Ok(Pass::bearer(token));
        }
        let token = Arc::new(self.fetch_token(base, challenge, scopes).await?);
        self.tokens.keep(scopes.clone(), &token);
        Ok(Pass::bearer(token))
    }

    async fn fetch_token(
        &self,
        base: &Url,
        challenge: &Challenge,
        scopes: &Scopes,
    ) -> Result<Token, RegistryFault> {
        let Challenge::Bearer { realm, service, .. } = challenge else {
            return Err(protocol("no token server is named"));
        };
        let realm = check_realm(realm, base).map_err(protocol)?;
        let login = self.login().await?;
        if let Some(Credential::RegistryToken(token)) = &login {
            let until = Instant::now() + Duration::from_secs_f64(LONGEST_SECONDS);
            return Token::new(token, until, Asker::Login);
        }
        let began = Instant::now();
        let answer = match &login {
            Some(Credential::IdentityToken(token)) => {
                let grant = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token.expose()),
                ];
                self.post_for_token(&realm, service, scopes, &grant).await?
            }
            Some(Credential::Password { username, password }) => {
                let header = basic(username, password);
                let answer = self
                    .get_token(&realm, service, scopes, Some(header))
                    .await?;
                // Some token servers know OAuth 2 alone, as buildkitd asks.
                if matches!(answer.status.as_u16(), 404 | 405 | 501) {
                    let grant = [
                        ("grant_type", "password"),
                        ("username", username),
                        ("password", password.expose()),
                    ];
                    self.post_for_token(&realm, service, scopes, &grant).await?
                } else {
                    answer
                }
            }
            _ => self.get_token(&realm, service, scopes, None).await?,
        };
        let asker = if login.is_some() {
            Asker::Login
        } else {
            Asker::Nobody
        };
        if answer.status.as_u16() != 200 {
            return Err(self.token_refused(&Answer { asker, ..answer }));
        }
        let (text, lifetime) = read_token(&answer.body).map_err(protocol)?;
        let asker = match asker {
            Asker::Nobody => Asker::Nobody,
            _ => Asker::Proved,
        };
        let token = Token::new(&text, began + lifetime, asker)?;
        self.hide(text);
        Ok(token)
    }

    /// Asks with GET, which every token server of docker's world knows.
    async fn get_token(
        &self,
        realm: &Url,
        service: &str,
        scopes: &Scopes,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, RegistryFault> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            for scope in scopes.texts() {
                query.append_pair("scope", &scope);
            }
        }
        self.ask_realm(Request {
            method: &Method::GET,
            url: &url,
            headers: &HeaderMap::new(),
            body: &Bytes::new(),
            authorization: authorization.as_ref(),
        })
        .await
    }

    /// Asks with POST, as OAuth 2 does.
    async fn post_for_token(
        &self,
        realm: &Url,
        service: &str,
        scopes: &Scopes,
        grant: &[(&str, &str)],
    ) -> Result<Answer, RegistryFault> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(grant)
            .append_pair("service", service)
            .append_pair("client_id", "castoff")
            .append_pair("scope", &scopes.to_string())
            .finish();
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        self.ask_realm(Request {
            method: &Method::POST,
            url: realm,
            headers: &headers,
            body: &Bytes::from(form),
            authorization: None,
        })
        .await
    }

    async fn ask_realm(&self, request: Request<'_>) -> Result<Answer, RegistryFault> {
        let limit = self.common.options.timeouts.request;
        within(limit, async {
            bounded(self.follow(request).await?, ANSWER).await
        })
        .await
    }

    /// A token server's refusal. One that knows nobody and gives nothing wants a login.
    fn token_refused(&self, answer: &Answer) -> RegistryFault {
        let is_anonymous = answer.asker == Asker::Nobody;
        match self.refused(answer) {
            RegistryFault::Denied { code, .. } if is_anonymous => RegistryFault::Unauthorized {
                code,
                anonymous: true,
            },
            // OAuth's way to say that a login is wrong (RFC 6749, 5.2).
            RegistryFault::Refused { status: 400, .. } if !is_anonymous => {
                RegistryFault::Unauthorized {
                    code: String::new(),
                    anonymous: false,
                }
            }
            RegistryFault::NotFound { .. } | RegistryFault::NotAllowed { .. } => {
                protocol("its token server gives no tokens")
            }
            other => other,
        }
    }
}

/// Where tokens are to be had, if that is a place to send a login to: over TLS unless the registry
/// itself speaks plain HTTP, and no address that only this machine can reach.
fn check_realm(realm: &str, base: &Url) -> Result<Url, &'static str> {
    let url = Url::parse(realm).map_err(|_| "its token server has a malformed URL")?;
    match (url.scheme(), base.scheme()) {
        ("https", _) | ("http", "http") => {}
        ("http", _) => return Err("its token server would get the login over plain HTTP"),
        _ => return Err("its token server has no HTTP URL"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its token server's URL carries a login");
    }
    check_reach(base, &url).map_err(|_| "its token server has an internal address")?;
    Ok(url)
}

#[derive(Deserialize)]
struct Written {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Reads a token server's answer: the token, and how long to use it. The clocks of two machines
/// are not compared, so `issued_at` does not count.
fn read_token(body: &[u8]) -> Result<(Secret, Duration), &'static str> {
    let written: Written =
        serde_json::from_slice(body).map_err(|_| "its token server answers no JSON")?;
    let texts = [written.token, written.access_token];
    let text = texts.into_iter().flatten().find(|text| !text.is_empty());
    let text = text.ok_or("its token server's answer has no token in it")?;
    let seconds = written.expires_in.filter(|seconds| *seconds > 0.0);
    let seconds = seconds.unwrap_or(DEFAULT_SECONDS).min(LONGEST_SECONDS);
    // What is asked for near the end would arrive behind it.
    Ok((Secret::new(text), Duration::from_secs_f64(seconds * 0.8)))
}

fn protocol(message: &str) -> RegistryFault {
    RegistryFault::Protocol {
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_go_to_safe_places_only() {
        let https = Url::parse("https://r.example/v2/").unwrap();
        let http = Url::parse("http://r.lan:5000/v2/").unwrap();
        assert!(check_realm("https://auth.example/token?a=b", &https).is_ok());
        assert!(check_realm("http://r.lan:5001/token", &http).is_ok());
        for realm in [
            "http://auth.example/token",
            "http://r.example/token",
            "ftp://auth.example/",
            "/token",
            "",
            "https://me:pw@auth.example/",
            "https://127.0.0.1/token",
            "https://169.254.169.254/token",
        ] {
            assert!(check_realm(realm, &https).is_err(), "{realm}");
        }
    }

    #[test]
    fn tokens_have_two_names_and_a_bounded_life() {
        let read = |text: &str| {
            read_token(text.as_bytes())
                .map(|(token, life)| (token.expose().to_owned(), life.as_secs()))
        };
        assert_eq!(
            read(r#"{"token":"a","access_token":"b"}"#),
            Ok(("a".into(), 48))
        );
        assert_eq!(
            read(r#"{"token":"","access_token":"b","expires_in":300}"#),
            Ok(("b".into(), 240))
        );
        assert_eq!(
            read(r#"{"token":"a","expires_in":1e300}"#),
            Ok(("a".into(), 2880))
        );
        assert_eq!(
            read(r#"{"token":"a","expires_in":-5}"#),
            Ok(("a".into(), 48))
        );
        assert!(read("{}").is_err());
        assert!(read("<html>").is_err());
    }
}
