use crate::dial::{Address, Program, Tls};

/// The port of an Engine where none is said (docker/cli, opts/hosts.go).
const ENGINE_PORT: u16 = 2375;

/// Reads an Engine's address as docker does: `unix://`, `tcp://` or nothing before a host and port,
/// `ssh://`, `npipe://`. TLS is spoken over TCP, where `tls` says how. Gives what is wrong with it.
pub fn parse(text: &str, tls: Option<Tls>) -> Result<Address, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "unix" if rest.is_empty() => Ok(Address::Unix("/var/run/docker.sock".into())),
        "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
        "unix" => Err("a unix socket needs an absolute path".to_owned()),
        "npipe" => Ok(Address::Pipe(rest.to_owned())),
        "tcp" | "http" | "https" => tcp(rest, ENGINE_PORT, tls),
        "ssh" => ssh(text, rest),
        "fd" => Err("a socket that systemd hands over is for Engines, and not for clients".into()),
        other => Err(format!("`{other}` is no way to an Engine")),
    }
}

/// Reads the address of a buildkitd as buildctl does: `unix://` or `tcp://`. Gives what is wrong with
/// it.
pub fn buildkitd(text: &str, port: u16, tls: Option<Tls>) -> Result<Address, String> {
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("unix", _)) => Err("a unix socket needs an absolute path".to_owned()),
        Some(("tcp", rest)) => tcp(rest, port, tls),
        _ => Err("it is neither unix:// nor tcp://".to_owned()),
    }
}

/// `HOST[:PORT]`; an IPv6 address is in brackets.
fn tcp(text: &str, port: u16, tls: Option<Tls>) -> Result<Address, String> {
    if text.contains('/') {
        return Err("a path behind the port is not known".to_owned());
    }
    if text.contains('@') {
        return Err("a login does not belong here".to_owned());
    }
    let (host, given) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| "a `]` is missing".to_owned())?;
            (host, after.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match given.filter(|given| !given.is_empty()) {
        None => port,
        Some(given) => given.parse().map_err(|_| format!("`{given}` is no port"))?,
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
        tls,
    })
}

/// `[USER@]HOST[:PORT][/SOCKET]`: docker on the far side carries the stream (docker/cli, connhelper).
fn ssh(text: &str, rest: &str) -> Result<Address, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if url.password().is_some() {
        return Err("a password does not belong into an address: use a key".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("neither `?` nor `#` may be in it".to_owned());
    }
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| "it has no host".to_owned())?
        .trim_matches(['[', ']']);
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8_lossy().into_owned()
    };
    let mut arguments = Vec::new();
    if !url.username().is_empty() {
        arguments.extend(["-l".to_owned(), quoted(&decoded(url.username()))]);
    }
    if let Some(port) = url.port() {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    let flags = ["-o ConnectTimeout=30", "-T", "--"];
    arguments.extend(flags.map(str::to_owned));
    arguments.push(quoted(&decoded(host)));
    let socket = decoded(url.path());
    let far = if socket.trim_matches('/').is_empty() {
        "docker system dial-stdio".to_owned()
    } else {
        // What stands here goes through a shell on the far side.
        let host = quoted(&format!("--host=unix://{socket}"));
        format!("docker {host} system dial-stdio")
    };
    arguments.push(far);
    Ok(Address::Program(Program {
        name: "ssh".to_owned(),
        arguments,
        folder: None,
        shown: format!("ssh://{rest}"),
    }))
}

/// A word that a POSIX shell takes for itself.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "%+,-./:=@_".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh_arguments(text: &str) -> Vec<String> {
        match parse(text, None).unwrap() {
            Address::Program(program) => {
                assert_eq!(program.name, "ssh");
                program.arguments
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn addresses_as_docker_writes_them() {
        let shown = |text: &str| parse(text, None).map(|address| address.to_string());
        assert_eq!(shown("unix:///run/d.sock").unwrap(), "unix:///run/d.sock");
        assert_eq!(shown("unix://").unwrap(), "unix:///var/run/docker.sock");
        assert_eq!(shown("tcp://10.0.0.1").unwrap(), "tcp://10.0.0.1:2375");
        assert_eq!(shown("builder:2376").unwrap(), "tcp://builder:2376");
        assert_eq!(shown("tcp://[::1]:1").unwrap(), "tcp://[::1]:1");
        assert_eq!(shown("tcp://:99").unwrap(), "tcp://127.0.0.1:99");
        for (text, wrong) in [
            ("unix://relative", "absolute"),
            ("tcp://a:b", "no port"),
            ("tcp://a:70000", "no port"),
            ("tcp://a:1/x", "path"),
            ("tcp://me:pw@a:1", "login"),
            ("tcp://[::1", "]"),
            ("fd://3", "systemd"),
            ("ftp://a", "ftp"),
            ("ssh://a:pw@host", "password"),
            ("ssh://me:pw@host", "password"),
            ("ssh://host?x", "?"),
            ("ssh://", ""),
        ] {
            let message = shown(text).expect_err(text);
            assert!(message.contains(wrong), "{text}: {message}");
        }
    }

    #[test]
    fn ssh_is_called_as_docker_calls_it() {
        assert_eq!(
            ssh_arguments("ssh://me@host:2222"),
            [
                "-l",
                "me",
                "-p",
                "2222",
                "-o ConnectTimeout=30",
                "-T",
                "--",
                "host",
                "docker system dial-stdio"
            ]
        );
        assert_eq!(
            ssh_arguments("ssh://host/run/user/1000/docker.sock").last(),
            Some(&"docker --host=unix:///run/user/1000/docker.sock system dial-stdio".to_owned())
        );
    }

    #[test]
    fn what_an_address_holds_is_no_command() {
        let arguments = ssh_arguments("ssh://a%20-b@host/run/$(id)/'x");
        assert_eq!(arguments[1], "'a -b'");
        let far = arguments.last().unwrap();
        assert_eq!(
            far,
            r"docker '--host=unix:///run/$(id)/'\''x' system dial-stdio"
        );
        // An option in the place of a host stays behind the `--`.
        let arguments = ssh_arguments("ssh://-oProxyCommand=x/");
        let end = arguments.iter().position(|word| word == "--").unwrap();
        assert!(arguments[end + 1].contains("-oProxyCommand") || arguments.len() == end + 3);
    }
}
