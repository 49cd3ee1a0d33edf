use std::collections::HashSet;

use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::answer::Answer;
use super::call::{Call, Place};
use super::host::Host;
use super::link::next_link;
use super::scope::Scopes;
use super::shown::authority;
use super::wire::same_origin;
use crate::cx::Cx;
use crate::execute::ports::{RegistryError, RegistryFault};
use crate::oci::{Repository, Tag};

/// How many entries are asked for in one page; more than 1000 is an error at ECR.
const PAGE: usize = 1000;
/// How large a page may be, in bytes. Some registries answer with everything at once.
const PAGE_BYTES: usize = 32 * 1024 * 1024;
/// How many pages are read.
const PAGES: usize = 10_000;
/// How many entries are read in all.
const ENTRIES: usize = 1_000_000;

/// The pages of a list, as links join them.
pub(super) struct Pages<'a> {
    pub(super) host: &'a Host,
    pub(super) cx: &'a Cx,
    pub(super) doing: String,
    next: Option<Call>,
    seen: HashSet<Url>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(host: &'a Host, cx: &'a Cx, doing: String, first: Call) -> Self {
        Self {
            host,
            cx,
            doing,
            next: Some(first.at_most(PAGE_BYTES)),
            seen: HashSet::new(),
        }
    }

    /// The next page, `None` behind the last.
    pub(super) async fn next(&mut self, accepted: &[u16]) -> Result<Option<Answer>, RegistryError> {
        let Some(call) = self.next.take() else {
            return Ok(None);
        };
        let answer = self
            .host
            .persist(self.cx, &self.doing, &call, accepted)
            .await?;
        self.seen.insert(answer.url.clone());
        if let Some(url) = next_link(&answer.headers, &answer.url) {
            self.follow(&answer, url, &call)?;
        }
        Ok(Some(answer))
    }

    /// Goes on by hand.
    pub(super) fn go_on(&mut self, call: Call) {
        self.next = Some(call.at_most(PAGE_BYTES));
    }

    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    fn follow(&mut self, answer: &Answer, mut url: Url, call: &Call) -> Result<(), RegistryError> {
        // A proxy in between may not have told the registry that it speaks TLS.
        if answer.url.scheme() == "https"
            && url.scheme() == "http"
            && url.host() == answer.url.host()
        {
            let port = answer.url.port();
            let _ = url.set_scheme("https").and_then(|()| url.set_port(port));
        }
        if !same_origin(&url, &answer.url) {
            let other = authority(&url);
            return Err(self.error(format!("the next page lies on another host, {other}")));
        }
        if self.seen.contains(&url) {
            return Err(self.error("the pages go round in circles".to_owned()));
        }
        if self.seen.len() >= PAGES {
            return Err(self.error(format!("more than {PAGES} pages")));
        }
        self.next = Some(Call {
            place: Place::Url(url),
            ..call.clone()
        });
        Ok(())
    }

    pub(super) fn error(&self, message: String) -> RegistryError {
        let tries = self.host.tries(self.cx, self.doing.clone());
        tries.give_up(RegistryFault::Protocol { message })
    }
}

#[derive(Deserialize)]
struct TagsPage {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Host {
    /// All tags of a repository, sorted, as registry:2 lists them in any order; empty where it does
    /// not exist.
    pub(super) async fn tags(
        &self,
        cx: &Cx,
        repository: &Repository,
    ) -> Result<Vec<Tag>, RegistryError> {
        let path = repository.path();
        let doing = format!("list tags of {repository}");
        let list = format!("{path}/tags/list?n={PAGE}");
        let names = self
            .names(cx, doing.clone(), list, &Scopes::pull(path), |page| {
                serde_json::from_slice(page).map(|page: TagsPage| page.tags)
            })
            .await?;
        // A tag that is none could not be asked for, and leaving it out would make the list a lie.
        let tags = names.iter().map(|name| name.parse());
        let tags: Result<Vec<Tag>, _> = tags.collect();
        let sorted = tags.map(|mut tags| {
            tags.sort();
            tags
        });
        sorted.map_err(|error: crate::oci::ReferenceError| {
            let message = self.clean(&format!("it lists an impossible tag: {error}"));
            let tries = self.tries(cx, doing);
            tries.give_up(RegistryFault::Protocol { message })
        })
    }

    /// All repositories of a registry, where it tells.
    pub(super) async fn catalog(&self, cx: &Cx) -> Result<Vec<String>, RegistryError> {
        let doing = format!("list repositories of {}", self.name);
        let list = format!("_catalog?n={PAGE}");
        self.names(cx, doing, list, &Scopes::catalog(), |page| {
            serde_json::from_slice(page).map(|page: CatalogPage| page.repositories)
        })
        .await
    }

    /// The names on all pages of a list, each once, in the registry's order.
    async fn names(
        &self,
        cx: &Cx,
        doing: String,
        list: String,
        scopes: &Scopes,
        read: impl Fn(&[u8]) -> serde_json::Result<Option<Vec<String>>>,
    ) -> Result<Vec<String>, RegistryError> {
        let first = Call::new(Method::GET, list.clone(), scopes.clone());
        let mut pages = Pages::new(self, cx, doing, first);
        let mut names = Vec::new();
        let mut known = HashSet::new();
        while let Some(answer) = pages.next(&[200, 404]).await? {
            if answer.status.as_u16() == 404 {
                break;
            }
            let page = read(&answer.body);
            let page = page.map_err(|_| pages.error("a list that is no list".to_owned()))?;
            let page = page.unwrap_or_default();
            let (length, end) = (page.len(), page.last().cloned());
            let before = names.len();
            names.extend(page.into_iter().filter(|name| known.insert(name.clone())));
            if names.len() > ENTRIES {
                return Err(pages.error(format!("more than {ENTRIES} entries")));
            }
            // Before the Link header was specified, a full page meant "ask again behind the last
            // one", and some registries still mean that. Those that do not know `last` either
            // answer with what is known already.
            if !pages.has_next()
                && length >= PAGE
                && names.len() > before
                && let Some(end) = end
            {
                let end: String = url::form_urlencoded::byte_serialize(end.as_bytes()).collect();
                let call = Call::new(Method::GET, format!("{list}&last={end}"), scopes.clone());
                pages.go_on(call);
            }
        }
        Ok(names)
    }
}
