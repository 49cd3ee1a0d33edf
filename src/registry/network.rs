//! What a network's failure means, by what lies at the bottom of it.

use super::clients::deepest;
use crate::execute::ports::RegistryFault;

/// What a failed exchange with `host` means.
pub(super) fn network_fault(error: &reqwest::Error, host: &str) -> RegistryFault {
    let host = host.to_owned();
    let message = deepest(error);
    if let Some(tls) = tls_error(error) {
        return RegistryFault::Tls {
            host,
            message: tls.to_string(),
        };
    }
    if error.is_connect() {
        let message = if error.is_timeout() {
            "no connection in time".to_owned()
        } else {
            message
        };
        return RegistryFault::Unreachable { host, message };
    }
    // A request that was still waiting is called off, and the reason lies one error deeper.
    let is_no_http = chain(error)
        .filter_map(|error| error.downcast_ref::<hyper::Error>())
        .any(|hyper| hyper.is_parse() || spoke_first(hyper));
    if is_no_http {
        return RegistryFault::Protocol {
            message: format!("not HTTP ({message})"),
        };
    }
    RegistryFault::Lost { host, message }
}

/// Whether the other side spoke before it was asked, as no HTTP server does. hyper has this kind of
/// error and no other way to tell it.
fn spoke_first(error: &hyper::Error) -> bool {
    error.to_string() == "received unexpected message from connection"
}

/// The TLS library's error, wherever in the chain it hides; I/O errors hide theirs from the chain.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(found) = current.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
            && let Some(found) = tls_error(inner)
        {
            return Some(found);
        }
        error = current.source();
    }
    None
}

/// An error and its causes, outermost first.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
