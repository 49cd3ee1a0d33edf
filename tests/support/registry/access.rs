//! Who may do what, and the token server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::json;
use url::form_urlencoded;

use super::api::{Place, Reply, Request};
use super::settings::{Access, TokenServer};

/// The tokens that were given out.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<String, Token>);

#[derive(Debug)]
struct Token {
    /// Resource and actions: `repository:a`, `pull,push`.
    grants: Vec<(String, Vec<String>)>,
    until: Instant,
}

impl Tokens {
    /// Makes every token void, as a registry does that was restarted with another key.
    pub fn void(&mut self) {
        self.0.clear();
    }

    /// The refusal that a request meets, `None` where it may pass.
    pub fn refusal(&self, access: &Access, request: &Request) -> Option<Reply> {
        let refuse = |challenge: &str| {
            let reply = Reply::error(401, "UNAUTHORIZED", "authentication required");
            Some(reply.with("WWW-Authenticate", challenge))
        };
        let authorization = request.header("authorization").unwrap_or_default();
        match access {
            Access::Open => None,
            Access::Basic(name, password) => {
                let right = BASE64_STANDARD.encode(format!("{name}:{password}"));
                if authorization == format!("Basic {right}") {
                    return None;
                }
                refuse("Basic realm=\"test registry\"")
            }
            Access::Token(server) => {
                let needs = needs(request);
                let token = authorization.strip_prefix("Bearer ");
                let token = token.and_then(|token| self.0.get(token));
                let token = token.filter(|token| token.until > Instant::now());
                if token.is_some_and(|token| needs.iter().all(|need| token.grants(need))) {
                    return None;
                }
                let realm = server.realm.clone();
                let realm = realm.unwrap_or_else(|| format!("{}/token", request.origin));
                let mut challenge = format!("Bearer realm=\"{realm}\",service=\"test\"");
                if !needs.is_empty() {
                    let scopes: Vec<String> = needs
                        .iter()
                        .map(|(resource, action)| format!("{resource}:{action}"))
                        .collect();
                    challenge = format!("{challenge},scope=\"{}\"", scopes.join(" "));
                    if token.is_some() {
                        challenge.push_str(",error=\"insufficient_scope\"");
                    }
                }
                refuse(&challenge)
            }
        }
    }

    /// The token server's answer.
    pub fn give(&mut self, server: &TokenServer, request: &Request) -> Reply {
        let is_post = request.method == Method::POST;
        if is_post && !server.post || !is_post && !server.get {
            return Reply::new(405);
        }
        let text = if is_post {
            String::from_utf8_lossy(&request.body).into_owned()
        } else {
            request.query.clone()
        };
        let form: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        let Some(is_user) = who(server, request, &form) else {
            return Reply::error(401, "UNAUTHORIZED", "incorrect username or password");
        };
        let allowed = if is_user {
            &server.actions
        } else {
            &server.anonymous
        };
        let scopes = form.iter().filter(|(key, _)| key == "scope");
        let grants = scopes
            .flat_map(|(_, scopes)| scopes.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|scope| {
                let (resource, actions) = scope.rsplit_once(':')?;
                let actions = actions.split(',').map(str::to_owned);
                let granted = actions.filter(|action| allowed.contains(action));
                Some((resource.to_owned(), granted.collect()))
            });
        let token = Token {
            grants: grants.collect(),
            until: Instant::now() + Duration::from_secs_f64(server.expires_in),
        };
        let name = format!("token-{}", self.0.len() + 1);
        self.0.insert(name.clone(), token);
        // Each flow names it in its own way.
        let key = if is_post { "access_token" } else { "token" };
        Reply::json(200, &json!({ key: name, "expires_in": server.expires_in }))
    }
}

impl Token {
    fn grants(&self, (resource, action): &(String, String)) -> bool {
        self.grants
            .iter()
            .any(|(held, actions)| held == resource && actions.contains(action))
    }
}

/// Whether it is the user who asks a token server, `None` where the login is wrong.
fn who(server: &TokenServer, request: &Request, form: &[(String, String)]) -> Option<bool> {
    let get = |name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let is_right = match get("grant_type") {
        Some("password") => {
            get("username") == Some(&server.username) && get("password") == Some(&server.password)
        }
        Some(_) => get("refresh_token") == Some(&server.refresh_token),
        None => match request.header("authorization") {
            None => return Some(false),
            Some(given) => {
                let right = format!("{}:{}", server.username, server.password);
                given == format!("Basic {}", BASE64_STANDARD.encode(right))
            }
        },
    };
    is_right.then_some(true)
}

/// What a request needs: resource and action.
fn needs(request: &Request) -> Vec<(String, String)> {
    let Some(place) = Place::of(&request.path) else {
        return Vec::new();
    };
    if place == Place::Catalog {
        return vec![("registry:catalog".to_owned(), "*".to_owned())];
    }
    let Some(repository) = place.repository() else {
        return Vec::new();
    };
    let action = match (&request.method, &place) {
        (&Method::GET | &Method::HEAD, Place::Upload(..)) => "push",
        (&Method::GET | &Method::HEAD, _) => "pull",
        (&Method::DELETE, Place::Manifest(..)) => "delete",
        _ => "push",
    };
    let mut needs = vec![(format!("repository:{repository}"), action.to_owned())];
    if let Some(from) = request.parameter("from") {
        needs.push((format!("repository:{from}"), "pull".to_owned()));
    }
    needs
}
