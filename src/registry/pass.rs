//! What lets a request in, and the tokens of a registry that are still good.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use tokio::time::Instant;

use super::answer::Asker;
use super::scope::Scopes;
use crate::execute::ports::{Credential, RegistryFault};
use crate::secret::Secret;

/// How many tokens of one registry are kept.
const KEPT: usize = 512;

/// What lets a request in.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    header: Option<HeaderValue>,
    token: Option<Arc<Token>>,
    /// In whose name it lets in.
    pub(super) asker: Asker,
    /// Whether the registry had said what it wants when this was made.
    pub(super) was_asked: bool,
}

/// A bearer token.
#[derive(Debug)]
pub(super) struct Token {
    header: HeaderValue,
    until: Instant,
    asker: Asker,
}

impl Token {
    /// The token `text`, good until then, given to `asker`.
    pub(super) fn new(text: &Secret, until: Instant, asker: Asker) -> Result<Self, RegistryFault> {
        let header = sensitive(&format!("Bearer {}", text.expose()))?;
        Ok(Self {
            header,
            until,
            asker,
        })
    }
}

impl Pass {
    /// For who has not asked for more.
    pub(super) fn nothing() -> Self {
        Self {
            header: None,
            token: None,
            asker: Asker::Nobody,
            was_asked: false,
        }
    }

    /// Name and password, where there are any.
    pub(super) fn basic(login: Option<&Credential>) -> Self {
        let header = match login {
            Some(Credential::Password { username, password }) => Some(basic(username, password)),
            _ => None,
        };
        Self {
            asker: if header.is_some() {
                Asker::Login
            } else {
                Asker::Nobody
            },
            header,
            token: None,
            was_asked: true,
        }
    }

    pub(super) fn bearer(token: Arc<Token>) -> Self {
        Self {
            header: Some(token.header.clone()),
            asker: token.asker,
            token: Some(token),
            was_asked: true,
        }
    }

    /// The `Authorization` header.
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }

    /// Whether it is a token.
    pub(super) fn is_bearer(&self) -> bool {
        self.token.is_some()
    }
}

/// The tokens of one registry.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    kept: Mutex<Vec<(Scopes, Arc<Token>)>>,
    /// What tokens were given for, also where they have ended since.
    given: Mutex<BTreeSet<Scopes>>,
    /// Held while a token for these scopes is being fetched, so that one request serves all.
    asking: Mutex<HashMap<Scopes, Arc<tokio::sync::Mutex<()>>>>,
}

impl Tokens {
    /// A token that is good for `scopes` for a while yet.
    pub(super) fn covering(&self, scopes: &Scopes) -> Option<Arc<Token>> {
        let mut kept = self.kept.lock().ok()?;
        let now = Instant::now();
        kept.retain(|(_, token)| token.until > now);
        let found = kept.iter().find(|(held, _)| held.cover(scopes));
        found.map(|(_, token)| Arc::clone(token))
    }

    /// The scopes to ask for where `scopes` are needed: those of a token that served before and
    /// covers them, so that one token goes on serving reads and writes.
    pub(super) fn worth_asking(&self, scopes: &Scopes) -> Scopes {
        let given = self.given.lock().ok();
        let wider = given.and_then(|given| {
            let mut wider = given.iter();
            let is_wider = |held: &&Scopes| held.cover(scopes) && held.name_as_many_as(scopes);
            wider.find(is_wider).cloned()
        });
        wider.unwrap_or_else(|| scopes.clone())
    }

    pub(super) fn keep(&self, scopes: Scopes, token: &Arc<Token>) {
        if let Ok(mut given) = self.given.lock()
            && given.len() < KEPT
        {
            given.insert(scopes.clone());
        }
        if let Ok(mut kept) = self.kept.lock() {
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.push((scopes, Arc::clone(token)));
        }
    }

    /// Forgets the token of a pass that was refused.
    pub(super) fn void(&self, pass: &Pass) {
        if let (Some(token), Ok(mut kept)) = (&pass.token, self.kept.lock()) {
            kept.retain(|(_, other)| !Arc::ptr_eq(other, token));
        }
    }

    pub(super) fn turn(&self, scopes: &Scopes) -> Arc<tokio::sync::Mutex<()>> {
        let Ok(mut asking) = self.asking.lock() else {
            return Arc::default();
        };
        asking.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(asking.entry(scopes.clone()).or_default())
    }
}

/// Name and password as they stand in a header.
pub(super) fn basic_text(username: &str, password: &Secret) -> Secret {
    Secret::new(BASE64_STANDARD.encode(format!("{username}:{}", password.expose())))
}

/// A header with name and password (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> HeaderValue {
    let text = basic_text(username, password);
    // Base64 is always a valid header value.
    sensitive(&format!("Basic {}", text.expose()))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"))
}

fn sensitive(text: &str) -> Result<HeaderValue, RegistryFault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| RegistryFault::Protocol {
        message: "a token that fits into no header".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_serve_what_they_cover_until_they_end() {
        let tokens = Tokens::default();
        let token = Arc::new(Token {
            header: HeaderValue::from_static("Bearer x"),
            until: Instant::now() + Duration::from_secs(5),
            asker: Asker::Proved,
        });
        tokens.keep(Scopes::push("a"), &token);
        assert!(tokens.covering(&Scopes::pull("a")).is_some());
        assert!(tokens.covering(&Scopes::pull("b")).is_none());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(tokens.covering(&Scopes::pull("a")).is_none());
    }
}
