//! The first word with a registry: does it speak TLS, and how does it want to be asked?

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use reqwest::Method;
use url::Url;

use super::call::REFUSAL;
use super::challenge::Challenge;
use super::clients::is_loopback;
use super::host::Host;
use super::wire::{Request, bounded, within};
use crate::execute::ports::RegistryFault;

impl Host {
    /// The registry's base URL, after it has answered once. One that was waited for in vain is not asked again.
    pub(super) async fn base(&self) -> Result<Arc<Url>, RegistryFault> {
        if let Some(fault) = self.presence.missed() {
            return Err(fault.clone());
        }
        let base = self.contact.get(self.first_contact()).await?;
        self.presence.meet();
        Ok(base)
    }

    /// Finds out whether the registry speaks TLS, and how it wants to be asked.
    ///
    /// docker tries TLS first for a registry on this machine and falls back to plain HTTP. Here it
    /// is the other way round: nothing secret goes out with this request, it never leaves the
    /// machine, most such registries speak plain HTTP, and the system's certificates need not be
    /// read for them. A TLS server answers it with 400 (Go, nginx) or an alert.
    async fn first_contact(&self) -> Result<Arc<Url>, RegistryFault> {
        let secure = self.base_of("https")?;
        let plain = self.base_of("http")?;
        let base = match self.settings.plain_http {
            Some(true) => self.probe(&plain).await?,
            None if is_loopback(&plain) => match self.probe(&plain).await {
                Ok(base) => base,
                Err(fault @ RegistryFault::Protocol { .. }) => {
                    match self.probe(&secure).await {
                        Ok(base) => base,
                        // No TLS either: what was seen first is the better story.
                        Err(RegistryFault::Tls { message, .. }) if is_not_tls(&message) => {
                            return Err(fault);
                        }
                        Err(other) => return Err(other),
                    }
                }
                Err(fault) => return Err(fault),
            },
            _ => self.probe(&secure).await?,
        };
        Ok(Arc::new(base))
    }

    /// Asks `/v2/` without a login (distribution-spec, "Determining Support").
    async fn probe(&self, base: &Url) -> Result<Url, RegistryFault> {
        let request = Request {
            method: &Method::GET,
            url: base,
            headers: &HeaderMap::new(),
            body: &Bytes::new(),
            authorization: None,
        };
        let limit = self.common.options.timeouts.request;
        let asking = async { bounded(self.follow(request).await?, REFUSAL).await };
        let answer = within(limit, asking).await?;
        let status = answer.status.as_u16();
        if base.scheme() == "http" && status == 400 && is_loopback(base) {
            return Err(RegistryFault::Protocol {
                message: "it answers 400 to plain HTTP".to_owned(),
            });
        }
        if status == 408 || status == 429 || status >= 500 {
            return Err(self.refused(&answer));
        }
        let challenge = (status == 401).then(|| Challenge::of(&answer.headers));
        self.challenged(challenge.flatten());
        // A registry may send plain requests on to its TLS side.
        if answer.url.host() == base.host() && answer.url.path() == base.path() {
            return Ok(answer.url);
        }
        Ok(base.clone())
    }

    fn base_of(&self, scheme: &str) -> Result<Url, RegistryFault> {
        Url::parse(&format!("{scheme}://{}/v2/", self.api)).map_err(|error| self.no_host(error))
    }
}

/// Whether a TLS failure says that the other side speaks something else.
fn is_not_tls(message: &str) -> bool {
    message.contains("corrupt message") || message.contains("InvalidContentType")
}
