use std::collections::BTreeMap;
use std::fmt;

/// The environment variables, captured once.
///
/// Variables whose name or value is not UTF-8 are left out: nothing castoff reads can be one. The
/// `Debug` form shows names only, because values hold tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process, as it is now. Windows sees no case in names; there they
    /// are in upper case.
    pub fn capture() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                let name = if cfg!(windows) {
                    name.to_uppercase()
                } else {
                    name
                };
                Some((name, value.into_string().ok()?))
            })
            .collect()
    }

    /// The value of `name`; an empty value is a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of `name`, unless it is empty: CI systems set what they do not know to nothing.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The names that are set, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every variable, in alphabetical order of its name. For child processes and interpolation:
    /// the values may be secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Environment")?;
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The name of this machine, `localhost` where it has none.
pub fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = Environment::capture()
        .non_empty("COMPUTERNAME")
        .unwrap_or_default()
        .to_owned();
    match crate::printable::one_line(&name, 255) {
        name if name.is_empty() => "localhost".to_owned(),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_values() {
        let environment = Environment::from_iter([("TOKEN", "hunter2")]);
        let shown = format!("{environment:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"));
    }

    #[test]
    fn an_empty_value_is_a_value_only_for_get() {
        let environment = Environment::from_iter([("A", "")]);
        assert_eq!(environment.get("A"), Some(""));
        assert_eq!(environment.non_empty("A"), None);
        assert_eq!(environment.get("B"), None);
    }
}
