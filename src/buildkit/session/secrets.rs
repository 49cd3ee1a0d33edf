use std::collections::HashMap;
use std::path::PathBuf;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

use crate::secret::Secret;

/// The largest secret, in bytes (BuildKit, session/secrets, `MaxSecretSize`).
const MAX_SECRET: u64 = 500 * 1024;

/// The secrets of one build, by id. A file is read when the builder asks for it, and not before.
#[derive(Debug, Default)]
pub(in crate::buildkit) struct SecretStore {
    secrets: HashMap<String, Source>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Value(Secret),
}

impl SecretStore {
    pub(in crate::buildkit) fn add_file(&mut self, id: &str, path: PathBuf) {
        self.secrets.insert(id.to_owned(), Source::File(path));
    }

    pub(in crate::buildkit) fn add_value(&mut self, id: &str, value: Secret) {
        self.secrets.insert(id.to_owned(), Source::Value(value));
    }
}

#[tonic::async_trait]
impl Secrets for SecretStore {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let data = match self.secrets.get(&id) {
            None => return Err(Status::not_found(format!("secret {id}: not found"))),
            Some(Source::Value(value)) => value.expose().as_bytes().to_vec(),
            Some(Source::File(path)) => {
                let failed = |message: String| {
                    Status::failed_precondition(format!("secret {id}: {message}"))
                };
                let size = tokio::fs::metadata(path)
                    .await
                    .map_err(|error| failed(format!("{}: {error}", path.display())))?
                    .len();
                if size > MAX_SECRET {
                    return Err(failed(format!(
                        "{} has {size} bytes, the most is {MAX_SECRET}",
                        path.display()
                    )));
                }
                tokio::fs::read(path)
                    .await
                    .map_err(|error| failed(format!("{}: {error}", path.display())))?
            }
        };
        Ok(Response::new(GetSecretResponse { data }))
    }
}
