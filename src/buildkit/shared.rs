//! Contexts that several services build from: sent in one session for all of them.
//!
//! Builds of one folder at the same time would each send all of it while the builder has none of it
//! yet. The frontend takes a session for a local source by name (frontend/dockerui,
//! `local-sessionid:`), and the solver runs sources that are alike once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use super::BuildKit;
use super::job::{Serving, control};
use super::session::{Agents, Directory, SecretStore, Sent, Session, Stores};
use crate::execute::ports::BuilderError;

/// The session of one folder, served as long as some build holds it.
pub(super) struct SharedContext {
    /// The id by which builds name it.
    pub(super) session: String,
    /// What was sent, for all of them.
    pub(super) sent: Arc<Sent>,
    _serving: Serving,
}

/// The folders that are being sent.
#[derive(Default)]
pub(super) struct SharedContexts(Mutex<HashMap<PathBuf, Weak<SharedContext>>>);

impl BuildKit {
    /// The session of `folder`: the one that others use, or a new one. Says whether it is new.
    pub(super) async fn shared_context(
        &self,
        folder: &Path,
        shared_key: &str,
    ) -> Result<(Arc<SharedContext>, bool), BuilderError> {
        let channel = self.connection().await?.channel.clone();
        let mut contexts = self
            .contexts
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = contexts.get(folder).and_then(Weak::upgrade) {
            return Ok((known, false));
        }
        let session = Session {
            id: uuid::Uuid::new_v4().simple().to_string(),
            shared_key: shared_key.to_owned(),
            directories: [("context".to_owned(), Directory::Local(folder.to_owned()))].into(),
            credentials: Arc::clone(&self.credentials),
            stores: Stores::default(),
            secrets: SecretStore::default(),
            agents: Agents::default(),
            takes: None,
            sent: Arc::default(),
        };
        let (id, sent) = (session.id.clone(), Arc::clone(&session.sent));
        let serve = tokio::spawn(session.serve(control(channel), CancellationToken::new()));
        let shared = Arc::new(SharedContext {
            session: id,
            sent,
            _serving: Serving(serve.abort_handle()),
        });
        contexts.insert(folder.to_owned(), Arc::downgrade(&shared));
        Ok((shared, true))
    }
}
