use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::Cache;
use crate::facts::Environment;

/// The bit of a scope's permission that lets a run write (actions/cache; go-actions-cache,
/// `PermissionWrite`).
const MAY_WRITE: u64 = 2;

/// What a builder looks at in the runtime's token before it uses it (go-actions-cache, `New`). Nobody
/// but the service can check the signature.
#[derive(Deserialize)]
struct Claims {
    /// JSON in JSON: the list of scopes.
    ac: String,
    /// Seconds since 1970.
    exp: f64,
    /// Seconds since 1970.
    nbf: f64,
}

#[derive(Deserialize)]
struct Scope {
    #[serde(rename = "Permission")]
    permission: u64,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "alg")]
    _algorithm: String,
}

/// What the variables say of the cache service. A builder ends a build with an error for what is
/// found to be wrong here, whatever it was told about errors of caches; so it is found here.
pub(super) fn read(environment: &Environment, from_fork: bool, now: Timestamp) -> Cache {
    let no = |why: &str| Cache {
        trouble: Some(why.to_owned()),
        ..Cache::default()
    };
    let Some(token) = environment.non_empty("ACTIONS_RUNTIME_TOKEN") else {
        return no("ACTIONS_RUNTIME_TOKEN is not set");
    };
    let urls = ["ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"];
    if !urls
        .iter()
        .any(|name| environment.non_empty(name).is_some())
    {
        return no("neither ACTIONS_CACHE_URL nor ACTIONS_RESULTS_URL is set");
    }
    let Some((claims, scopes)) = claims(token) else {
        return no("ACTIONS_RUNTIME_TOKEN is not a token of GitHub's runtime");
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are less than 2^52"
    )]
    let now = now.as_second() as f64;
    if now > claims.exp {
        return no("ACTIONS_RUNTIME_TOKEN has expired");
    }
    if now < claims.nbf {
        return no("ACTIONS_RUNTIME_TOKEN is not valid yet: is the clock right?");
    }
    let may_write = scopes.iter().any(|scope| scope.permission & MAY_WRITE != 0);
    Cache {
        can_read: true,
        can_write: may_write && !from_fork,
        trouble: None,
    }
}

/// The token's claims, if it is a JSON Web Token (RFC 7519) as the service makes them.
fn claims(token: &str) -> Option<(Claims, Vec<Scope>)> {
    let mut parts = token.split('.');
    let (header, claims) = (parts.next()?, parts.next()?);
    let signature = parts.next()?;
    if parts.next().is_some() || BASE64_URL_SAFE_NO_PAD.decode(signature).is_err() {
        return None;
    }
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    serde_json::from_slice::<Header>(&decode(header)?).ok()?;
    let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
    let scopes = serde_json::from_str(&claims.ac).ok()?;
    Some((claims, scopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!(
            "{}.{}.{}",
            encode(r#"{"alg":"RS256","typ":"JWT"}"#),
            encode(claims),
            encode("signature")
        )
    }

    fn cache(token: &str, from_fork: bool) -> Cache {
        let environment = Environment::from_iter([
            ("ACTIONS_RUNTIME_TOKEN", token),
            ("ACTIONS_RESULTS_URL", "https://results.example/"),
        ]);
        read(&environment, from_fork, Timestamp::from_second(50).unwrap())
    }

    const BRANCH: &str = r#"{"nbf":1,"exp":100,"ac":"[{\"Scope\":\"refs/heads/x\",\"Permission\":3},{\"Scope\":\"refs/heads/main\",\"Permission\":1}]"}"#;

    #[test]
    fn a_branch_may_read_and_write() {
        let cache = cache(&token(BRANCH), false);
        assert!(cache.can_read && cache.can_write && cache.trouble.is_none());
    }

    #[test]
    fn a_token_without_a_scope_to_write_and_a_fork_only_read() {
        let reads =
            r#"{"nbf":1,"exp":100,"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":1}]"}"#;
        for cache in [cache(&token(reads), false), cache(&token(BRANCH), true)] {
            assert!(cache.can_read && !cache.can_write);
        }
    }

    #[test]
    fn what_a_builder_would_fail_for_is_found_before_and_never_shown() {
        let far = BRANCH.replace("\"nbf\":1,", "\"nbf\":60,");
        for (text, why) in [
            ("hunter2".to_owned(), "is not a token"),
            ("a.b.c.d".to_owned(), "is not a token"),
            (token("{}"), "is not a token"),
            (
                token(r#"{"nbf":1,"exp":100,"ac":"nonsense"}"#),
                "is not a token",
            ),
            (token(&BRANCH.replace("100", "10")), "has expired"),
            (token(&far), "not valid yet"),
        ] {
            let cache = cache(&text, false);
            let trouble = cache.trouble.clone().unwrap();
            assert!(!cache.can_read && !cache.can_write);
            assert!(trouble.contains(why), "{trouble}");
            assert!(!trouble.contains(&text));
        }
    }

    #[test]
    fn a_token_without_an_address_is_no_service() {
        let environment = Environment::from_iter([("ACTIONS_RUNTIME_TOKEN", token(BRANCH))]);
        let cache = read(&environment, false, Timestamp::from_second(50).unwrap());
        assert!(cache.trouble.unwrap().contains("ACTIONS_CACHE_URL"));
    }
}
