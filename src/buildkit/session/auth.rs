use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use crate::execute::ports::{Credential, Credentials};

/// Answers the builder's questions for logins.
///
/// The builder asks only after a registry has answered 401, and again when a token has expired, so
/// a login that runs out during a long build is renewed.
pub(super) struct Logins {
    credentials: Arc<dyn Credentials>,
}

impl Logins {
    pub(super) fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials }
    }
}

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let found = self
            .credentials
            .find(&host)
            .await
            // Not `unavailable`, which is how a connection ends: the builder hands the code back.
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(match found {
            Some(Credential::Password { username, password }) => CredentialsResponse {
                username,
                secret: password.expose().to_owned(),
            },
            // An empty name tells the builder that the secret is a refresh token
            // (BuildKit, session/auth/authprovider).
            Some(Credential::IdentityToken(token)) => CredentialsResponse {
                username: String::new(),
                secret: token.expose().to_owned(),
            },
            Some(Credential::RegistryToken(_)) | None => CredentialsResponse::default(),
        }))
    }

    /// Says that the builder should fetch tokens itself.
    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("client side tokens not implemented"))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unavailable("client side tokens not implemented"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("client side tokens not implemented"))
    }
}
