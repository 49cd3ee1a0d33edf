//! `nofile=512:1024`, as docker/go-units reads it: the form of `--ulimit`.

/// The limits that there are.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A limit in its short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUlimit {
    /// The resource: `nofile`, `nproc`, …
    pub name: String,
    /// What a process starts with; -1 is unlimited.
    pub soft: i64,
    /// What it may raise that to; -1 is unlimited.
    pub hard: i64,
}

/// Why a text is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid ulimit `{text}`: expected NAME=SOFT[:HARD], with SOFT not above HARD, for example nofile=512:1024"
)]
pub struct UlimitError {
    text: String,
}

impl std::str::FromStr for NamedUlimit {
    type Err = UlimitError;

    fn from_str(text: &str) -> Result<Self, UlimitError> {
        read(text).ok_or_else(|| UlimitError {
            text: text.chars().take(80).collect(),
        })
    }
}

fn read(text: &str) -> Option<NamedUlimit> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (soft.parse().ok()?, Some(hard.parse().ok()?)),
        None => (limits.parse().ok()?, None),
    };
    let hard: i64 = hard.unwrap_or(soft);
    let fits = NAMES.contains(&name) && (hard == -1 || soft != -1 && soft <= hard);
    fits.then(|| NamedUlimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests {
    use super::NamedUlimit;

    /// The cases of docker/go-units, stated as facts in `tests/data/ulimits.txt`.
    #[test]
    fn as_docker_reads_them() {
        let cases = include_str!("../../../tests/data/ulimits.txt");
        let mut count = 0;
        for line in cases.lines().filter(|line| line.starts_with('"')) {
            let (input, want) = line.split_once(" => ").unwrap();
            let input: String = serde_json::from_str(input).unwrap();
            let got = input.parse::<NamedUlimit>().map_or_else(
                |_| "refused".to_owned(),
                |limit| {
                    format!(
                        "name={:?} soft={} hard={}",
                        limit.name, limit.soft, limit.hard
                    )
                },
            );
            assert_eq!(got, want, "{input:?}");
            count += 1;
        }
        assert!(count > 15);
    }
}
