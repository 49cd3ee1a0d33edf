//! Credential helpers: programs that keep logins in the system's keychain (docker's
//! docker-credential-helpers). Secrets pass over stdin and stdout only.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::super::shown;
use super::config::{TOKEN_USERNAME, named};
use super::host_key::HostKey;
use crate::execute::ports::{Credential, CredentialError};

/// How much a helper may say. A token of a cloud has a few kilobytes.
const OUTPUT: u64 = 256 * 1024;

/// One helper, named as in docker's file: `pass` is the program `docker-credential-pass`.
#[derive(Debug)]
pub(super) struct Helper<'a> {
    pub(super) name: &'a str,
    /// The `PATH` it is found by, the process's own if `None`.
    pub(super) path: Option<&'a OsString>,
    pub(super) timeout: Duration,
}

/// What a helper answers to `get`, and is given on `store`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default, rename = "ServerURL")]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helper<'_> {
    /// The login kept for `host`, `None` where there is none.
    pub(super) async fn get(&self, host: &HostKey) -> Result<Option<Credential>, CredentialError> {
        let (succeeded, output) = self
            .run(host, "get", host.docker_key().as_bytes().to_vec())
            .await?;
        if succeeded {
            return parse(&output).map_err(|message| self.error(host, message));
        }
        let said = String::from_utf8_lossy(&output);
        if is_not_found(&said) {
            return Ok(None);
        }
        Err(self.error(host, failure(&said)))
    }

    /// Keeps a login for `host`.
    pub(super) async fn store(
        &self,
        host: &HostKey,
        login: &Credential,
    ) -> Result<(), CredentialError> {
        let (username, secret) = match login {
            Credential::Password { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (TOKEN_USERNAME, token),
            Credential::RegistryToken(_) => {
                return Err(self.error(host, "it cannot keep a registry token".to_owned()));
            }
        };
        let message = Message {
            server_url: host.docker_key().to_owned(),
            username: username.to_owned(),
            secret: secret.expose().to_owned(),
        };
        let message =
            serde_json::to_vec(&message).map_err(|error| self.error(host, error.to_string()))?;
        let (succeeded, output) = self.run(host, "store", message).await?;
        if succeeded {
            return Ok(());
        }
        Err(self.error(
            host,
            shown::clean(
                &failure(&String::from_utf8_lossy(&output)),
                [secret.expose()],
            ),
        ))
    }

    /// Forgets the login for `host`.
    pub(super) async fn erase(&self, host: &HostKey) -> Result<(), CredentialError> {
        let (succeeded, output) = self
            .run(host, "erase", host.docker_key().as_bytes().to_vec())
            .await?;
        let said = String::from_utf8_lossy(&output);
        if succeeded || is_not_found(&said) {
            return Ok(());
        }
        Err(self.error(host, failure(&said)))
    }

    /// Runs the program: whether it succeeded, and what it wrote to stdout.
    async fn run(
        &self,
        host: &HostKey,
        verb: &str,
        input: Vec<u8>,
    ) -> Result<(bool, Vec<u8>), CredentialError> {
        // The name comes from a file and becomes part of a program's: no way out of PATH.
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            return Err(self.error(host, "its name is not that of a program".to_owned()));
        }
        let mut command = Command::new(self.program());
        command
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(path) = self.path {
            command.env("PATH", path);
        }
        let running = async {
            let mut child = command.spawn()?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A helper that does not read its input answers all the same.
                    let _ = stdin.write_all(&input).await;
                }
            };
            let read = async {
                let mut output = Vec::new();
                if let Some(stdout) = stdout {
                    stdout.take(OUTPUT + 1).read_to_end(&mut output).await?;
                }
                Ok::<_, std::io::Error>(output)
            };
            let ((), output) = tokio::join!(write, read);
            let output = output?;
            if output.len() as u64 > OUTPUT {
                return Ok::<_, std::io::Error>((false, b"it said more than 256 KiB".to_vec()));
            }
            Ok((child.wait().await?.success(), output))
        };
        match tokio::time::timeout(self.timeout, running).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.error(host, error.to_string())),
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                Err(self.error(host, format!("no answer within {seconds} s")))
            }
        }
    }

    fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    fn error(&self, host: &HostKey, message: String) -> CredentialError {
        CredentialError::Helper {
            helper: shown::clean(&self.program(), []),
            host: host.host().to_owned(),
            message,
        }
    }
}

/// Reads the answer to `get`.
fn parse(output: &[u8]) -> Result<Option<Credential>, String> {
    let message: Message = serde_json::from_slice(output)
        .map_err(|_| "its answer is not the JSON that docker's protocol wants".to_owned())?;
    if message.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(named(&message.username, message.secret)))
}

/// docker-credential-helpers, `errCredentialsNotFoundMessage`; some helpers put words around it.
fn is_not_found(said: &str) -> bool {
    said.contains("credentials not found in native keychain")
        || said.trim() == "credentials not found"
}

/// What may be told of a helper's complaint: nothing of it where it looks like an answer.
fn failure(said: &str) -> String {
    if said.contains(['{', '"']) {
        return "it failed".to_owned();
    }
    let said = shown::clean(said, []);
    if said.is_empty() {
        "it failed without a word".to_owned()
    } else {
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn answers_are_logins_tokens_or_nothing() {
        let get = |text: &str| parse(text.as_bytes());
        assert_eq!(
            get(r#"{"ServerURL":"h","Username":"me","Secret":"pw"}"#),
            Ok(Some(named("me", "pw")))
        );
        assert_eq!(
            get(r#"{"ServerURL":"h","Username":"<token>","Secret":"id"}"#),
            Ok(Some(Credential::IdentityToken(Secret::new("id"))))
        );
        assert_eq!(
            get(r#"{"ServerURL":"","Username":"","Secret":""}"#),
            Ok(None)
        );
        assert!(get("hunter2").is_err_and(|message| !message.contains("hunter2")));
    }

    #[test]
    fn complaints_are_told_unless_they_could_hold_a_secret() {
        assert_eq!(
            failure("pass store is uninitialized\n"),
            "pass store is uninitialized"
        );
        assert_eq!(failure(r#"{"Secret":"pw"}"#), "it failed");
        assert_eq!(failure(""), "it failed without a word");
        assert!(is_not_found("credentials not found in native keychain\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_read_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = failure(&String::from_utf8_lossy(&bytes));
        }
    }
}
