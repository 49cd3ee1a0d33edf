use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::answer::Answer;
use super::call::{Call, Place, REFUSAL};
use super::challenge::Challenge;
use super::clients::Clients;
use super::flight::Flight;
use super::options::{HostSettings, RegistryOptions};
use super::pass::{Pass, Tokens, basic_text};
use super::retry::{Presence, Tries};
use super::scope::Scopes;
use super::shown;
use super::wire::{Request, bounded, same_origin, within};
use crate::cx::Cx;
use crate::execute::ports::{
    Credential, CredentialError, Credentials, RegistryError, RegistryFault,
};
use crate::secret::Secret;

/// How many secrets are remembered so that no message shows them.
const SECRETS: usize = 64;

/// What all hosts share.
pub(super) struct Common {
    pub(super) options: RegistryOptions,
    pub(super) clients: Clients,
    pub(super) credentials: Arc<dyn Credentials>,
}

impl fmt::Debug for Common {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Common").finish_non_exhaustive()
    }
}

/// One registry: how it is reached, what it wants to see, and what we know of it by now.
#[derive(Debug)]
pub(super) struct Host {
    /// Host and port as they stand in references.
    pub(super) name: String,
    /// Host and port that answer the API.
    pub(super) api: String,
    pub(super) settings: HostSettings,
    pub(super) common: Arc<Common>,
    pub(super) contact: Flight<Arc<Url>, RegistryFault>,
    pub(super) presence: Arc<Presence>,
    challenge: Mutex<Option<Arc<Challenge>>>,
    login: Flight<Option<Credential>, CredentialError>,
    pub(super) tokens: Tokens,
    requests: Arc<Semaphore>,
    /// How many blobs may go here at once.
    pub(super) transfers: Semaphore,
    /// The size of the pieces that blobs are sent in; 0 while they are sent whole.
    pub(super) piece: AtomicU64,
    /// Whether there is a referrers API: 0 unknown, 1 yes, 2 no.
    pub(super) referrers: AtomicU8,
    secrets: Mutex<VecDeque<Secret>>,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) inner: reqwest::Response,
    pass: Pass,
    /// Given back when the answer has been read.
    permit: Option<OwnedSemaphorePermit>,
}

impl Host {
    pub(super) fn new(name: &str, api: &str, common: Arc<Common>) -> Self {
        let options = &common.options;
        Self {
            name: name.to_owned(),
            api: api.to_owned(),
            settings: options.hosts.get(name).cloned().unwrap_or_default(),
            contact: Flight::default(),
            presence: Arc::default(),
            challenge: Mutex::default(),
            login: Flight::default(),
            tokens: Tokens::default(),
            requests: Arc::new(Semaphore::new(options.requests.max(1))),
            transfers: Semaphore::new(options.transfers.max(1)),
            piece: AtomicU64::new(0),
            referrers: AtomicU8::new(0),
            secrets: Mutex::default(),
            common,
        }
    }

    /// Asks, again and again where that makes sense, until the answer has one of the `accepted`
    /// statuses.
    pub(super) async fn persist(
        &self,
        cx: &Cx,
        doing: &str,
        call: &Call,
        accepted: &[u16],
    ) -> Result<Answer, RegistryError> {
        let mut tries = self.tries(cx, doing);
        loop {
            match self.ask(call, accepted).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => tries.after(fault).await?,
            }
        }
    }

    pub(super) fn tries(&self, cx: &Cx, doing: impl Into<String>) -> Tries {
        let who = (self.name.as_str(), &self.presence);
        Tries::of_request(cx, self.common.options.patience, who, doing)
    }

    /// Asks once. The body of the answer is complete and within the call's limit.
    pub(super) async fn ask(&self, call: &Call, accepted: &[u16]) -> Result<Answer, RegistryFault> {
        let response = Box::pin(self.respond(call)).await?;
        let is_accepted = accepted.contains(&response.inner.status().as_u16());
        if !is_accepted {
            return Err(self.refusal(response).await);
        }
        self.read(response, call.limit).await
    }

    /// Asks once, for an answer that will be read piece by piece.
    pub(super) async fn open(
        &self,
        call: &Call,
        accepted: &[u16],
    ) -> Result<reqwest::Response, RegistryFault> {
        let response = Box::pin(self.respond(call)).await?;
        if accepted.contains(&response.inner.status().as_u16()) {
            return Ok(response.inner);
        }
        Err(self.refusal(response).await)
    }

    async fn read(&self, response: Response, limit: usize) -> Result<Answer, RegistryFault> {
        let patience = self.common.options.timeouts.request;
        let answer = within(patience, bounded(response.inner, limit)).await?;
        drop(response.permit);
        Ok(Answer {
            asker: response.pass.asker,
            ..answer
        })
    }

    /// What a refusal means, with what its body says of it.
    async fn refusal(&self, response: Response) -> RegistryFault {
        let answer = Answer {
            status: response.inner.status(),
            headers: response.inner.headers().clone(),
            body: bytes::Bytes::new(),
            url: response.inner.url().clone(),
            asker: response.pass.asker,
        };
        // A refusal whose explanation is too long or never comes is still that refusal.
        let read = self.read(response, REFUSAL).await;
        self.refused(&read.unwrap_or(answer))
    }

    /// What an answer means as a refusal.
    pub(super) fn refused(&self, answer: &Answer) -> RegistryFault {
        answer.fault(|text| self.clean(text))
    }

    /// A text from this registry as it may be shown.
    pub(super) fn clean(&self, text: &str) -> String {
        let secrets = self.secrets.lock();
        let secrets = secrets.iter().flat_map(|secrets| secrets.iter());
        shown::clean(text, secrets.map(Secret::expose))
    }

    /// Makes sure that no message shows this.
    pub(super) fn hide(&self, secret: Secret) {
        if let Ok(mut secrets) = self.secrets.lock()
            && !secrets.contains(&secret)
        {
            secrets.push_back(secret);
            while secrets.len() > SECRETS {
                secrets.pop_front();
            }
        }
    }

    /// Sends a request with what it needs to be let in, and once more with a new pass where the
    /// first is not or no longer good.
    async fn respond(&self, call: &Call) -> Result<Response, RegistryFault> {
        let base = self.base().await?;
        let url = self.url(&base, &call.place)?;
        let is_own = same_origin(&url, &base);
        let pass = self.pass_to(&base, &url, &call.scopes).await?;
        let response = self.send(call, &url, pass).await?;
        if response.inner.status() != http::StatusCode::UNAUTHORIZED || !is_own {
            return Ok(response);
        }
        let scopes = self.learn(&response.pass, response.inner.headers(), &call.scopes);
        let Some(scopes) = scopes else {
            return Ok(response);
        };
        // The permit must be free before another request is made on behalf of this one.
        drop(response);
        let pass = self.pass(&base, &scopes).await?;
        self.send(call, &url, pass).await
    }

    async fn send(&self, call: &Call, url: &Url, pass: Pass) -> Result<Response, RegistryFault> {
        let request = Request {
            method: &call.method,
            url,
            headers: &call.headers,
            body: &call.body,
            authorization: pass.header(),
        };
        let permit = Arc::clone(&self.requests).acquire_owned().await.ok();
        let limit = self.common.options.timeouts.request;
        let inner = within(limit, self.follow(request)).await?;
        Ok(Response {
            inner,
            pass,
            permit,
        })
    }

    /// The URL of a call.
    pub(super) fn url(&self, base: &Url, place: &Place) -> Result<Url, RegistryFault> {
        match place {
            Place::Url(url) => Ok(url.clone()),
            Place::Path(path) => base.join(path).map_err(|error| self.no_host(error)),
        }
    }

    /// Leave to make a request that needs `scopes`: nothing for another host than this.
    pub(super) async fn pass_to(
        &self,
        base: &Url,
        url: &Url,
        scopes: &Scopes,
    ) -> Result<Pass, RegistryFault> {
        if same_origin(url, base) {
            self.pass(base, scopes).await
        } else {
            Ok(Pass::nothing())
        }
    }

    /// The same for a URL that will be asked directly.
    pub(super) async fn pass_for(&self, url: &Url, scopes: &Scopes) -> Result<Pass, RegistryFault> {
        let base = self.base().await?;
        self.pass_to(&base, url, scopes).await
    }

    async fn pass(&self, base: &Url, scopes: &Scopes) -> Result<Pass, RegistryFault> {
        let challenge = self.challenge.lock().ok().and_then(|held| held.clone());
        match challenge.as_deref() {
            None => Ok(Pass::nothing()),
            Some(Challenge::Basic) => Ok(Pass::basic(self.login().await?.as_ref())),
            Some(challenge) => self.bearer(base, challenge, scopes).await,
        }
    }

    /// What a 401 teaches: the pass it was sent with is void, and perhaps another way to ask.
    /// Answers the scopes to try again with, `None` where another try can only fail.
    pub(super) fn learn(&self, pass: &Pass, headers: &HeaderMap, asked: &Scopes) -> Option<Scopes> {
        let challenge = Challenge::of(headers)?;
        let scopes = match &challenge {
            // The same would be sent again.
            Challenge::Basic if pass.was_asked && !pass.is_bearer() => return None,
            Challenge::Basic => asked.clone(),
            Challenge::Bearer { scope, .. } => {
                self.tokens.void(pass);
                asked.clone().with_actions_of(&Scopes::parse(scope))
            }
        };
        self.challenged(Some(challenge));
        Some(scopes)
    }

    pub(super) fn challenged(&self, challenge: Option<Challenge>) {
        if let Ok(mut held) = self.challenge.lock() {
            *held = challenge.map(Arc::new);
        }
    }

    /// The login for this registry.
    pub(super) async fn login(&self) -> Result<Option<Credential>, RegistryFault> {
        let credentials = &self.common.credentials;
        let found = self.login.get(credentials.find(&self.name)).await?;
        match &found {
            Some(Credential::Password { username, password }) => {
                self.hide(password.clone());
                // Some registries say back the whole header.
                self.hide(basic_text(username, password));
            }
            Some(Credential::IdentityToken(token) | Credential::RegistryToken(token)) => {
                self.hide(token.clone());
            }
            None => {}
        }
        Ok(found)
    }

    pub(super) fn no_host(&self, error: url::ParseError) -> RegistryFault {
        RegistryFault::Unreachable {
            host: self.name.clone(),
            message: error.to_string(),
        }
    }
}
