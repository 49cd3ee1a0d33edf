//! `[address:][published:]target[/protocol]`, the short form of published ports, as
//! docker/go-connections reads it.

use std::net::IpAddr;

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compose) struct Port {
    /// The address on the host; empty for all.
    pub host_ip: String,
    /// The port on the host, or a range to choose from; empty for any.
    pub published: String,
    /// The port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Reads the short form, which may stand for a range of ports. An error says what is wrong.
pub(in crate::compose) fn parse(text: &str) -> Result<Vec<Port>, String> {
    let (ip, host, container) = split(text);
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err("a port is missing".to_owned());
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err("the protocol must be tcp, udp or sctp".to_owned()),
    };
    let host_ip = address(&ip)?;
    let (start, end) =
        range(container).ok_or("the container's port must be a number up to 65535, or a range")?;
    let published = match host {
        "" => None,
        host => {
            Some(range(host).ok_or("the published port must be a number up to 65535, or a range")?)
        }
    };
    if let Some((first, last)) = published
        && end - start != last - first
        && end != start
    {
        return Err("the two ranges have different lengths".to_owned());
    }
    let mut ports: Vec<Port> = (start..=end)
        .map(|target| Port {
            host_ip: host_ip.clone(),
            published: match published {
                None => String::new(),
                Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
                Some((first, _)) => (u32::from(first) + u32::from(target - start)).to_string(),
            },
            target,
            protocol: protocol.to_owned(),
        })
        .collect();
    // compose sorts the ports of a range as text: 10 before 9.
    ports.sort_by_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(ports)
}

/// Address, host port, container port. An address may have colons of its own.
fn split(text: &str) -> (String, &str, &str) {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let ip = parts.next().unwrap_or_default();
    (ip.to_owned(), host, container)
}

fn address(ip: &str) -> Result<String, String> {
    let wrong = || "the address is none".to_owned();
    let bare = match ip.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
        None => ip,
    };
    if bare.is_empty() || is_address(bare) {
        return Ok(bare.to_owned());
    }
    Err(wrong())
}

/// What Go's `net.ParseIP` takes.
pub(in crate::compose) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// A port, or two with a dash between.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let mut parts = text.split('-');
    let start = number(parts.next()?)?;
    match parts.next() {
        None => Some((start, start)),
        Some(end) => number(end)
            .filter(|end| start <= *end)
            .map(|end| (start, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        Ok(parse(text)?
            .into_iter()
            .map(|port| {
                format!(
                    "{}|{}|{}/{}",
                    port.host_ip, port.published, port.target, port.protocol
                )
            })
            .collect())
    }

    #[test]
    fn forms() {
        assert_eq!(shown("80").unwrap(), ["||80/tcp"]);
        assert_eq!(shown("8080:80/UDP").unwrap(), ["|8080|80/udp"]);
        assert_eq!(shown("[::1]:8080:80").unwrap(), ["::1|8080|80/tcp"]);
        assert_eq!(shown("127.0.0.1::80").unwrap(), ["127.0.0.1||80/tcp"]);
        assert_eq!(shown("9-10:9-10").unwrap(), ["|10|10/tcp", "|9|9/tcp"]);
        assert_eq!(shown("8000-9000:80").unwrap(), ["|8000-9000|80/tcp"]);
        for wrong in [
            "",
            ":",
            "x",
            "80/foo",
            "1-2:3-5",
            "2-1",
            "70000",
            "x:80",
            "1.2.3:1:2",
        ] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
