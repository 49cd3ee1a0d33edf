//! What a project may cost, counted in one place for all of its files.
//!
//! Each way in which little text becomes much is counted here before it is done: aliases,
//! variables, `extends`, ranges of ports, env files that many services read, files that are merged
//! over one another. The limits are far above real projects (hundreds of services with hundreds of
//! variables each) and keep a hostile one within about a second and 200 MB.

use super::error::{Error, Fault, Problem};
use super::node::{Node, Place, Value};

/// How many values a project may have: those of its files once aliases are followed, those that
/// `extends` copies, and a line of an env file once for each service that reads it.
const MOST_VALUES: usize = 300_000;

/// How much text these values and their keys may have together, in bytes; a value counts again
/// when its variables are replaced.
const MOST_TEXT: usize = 32 << 20;

/// How much of files may be read, in bytes; a file counts each time it is included or extended.
const MOST_READ: usize = 32 << 20;

/// How many values may be merged over: each document is merged over all that came before it.
const MOST_MERGED: usize = 4_000_000;

/// How many ports may be published; a range counts as many as it has.
const MOST_PORTS: usize = 70_000;

/// What was used up so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    values: usize,
    text: usize,
    read: usize,
    merged: usize,
    ports: usize,
}

impl Budget {
    /// Counts values that the project gets at a place.
    pub(super) fn values(&mut self, count: usize, place: Place) -> Result<(), Box<Fault>> {
        self.values = self.values.saturating_add(count);
        within(self.values, MOST_VALUES, TOO_MANY_VALUES, place)
    }

    /// Counts text that the project gets at a place, in bytes.
    pub(super) fn text(&mut self, bytes: usize, place: Place) -> Result<(), Box<Fault>> {
        self.text = self.text.saturating_add(bytes);
        within(self.text, MOST_TEXT, TOO_MUCH_TEXT, place)
    }

    /// Counts a value that is copied, with all below it.
    pub(super) fn copy(&mut self, node: &Node, place: Place) -> Result<(), Box<Fault>> {
        self.values(1, place)?;
        match &node.value {
            Value::Text(text) | Value::Time(text) => self.text(text.len(), place),
            Value::List(items) => items.iter().try_for_each(|item| self.copy(item, place)),
            Value::Map(map) => map.iter().try_for_each(|(key, entry)| {
                self.text(key.len(), place)?;
                self.copy(&entry.node, place)
            }),
            _ => Ok(()),
        }
    }

    /// Counts values that are looked at once more because something is merged over them.
    pub(super) fn merged(&mut self, count: usize, place: Place) -> Result<(), Box<Fault>> {
        self.merged = self.merged.saturating_add(count);
        let what = "the project has too many files and documents for its size; values merged over";
        within(self.merged, MOST_MERGED, what, place)
    }

    /// Counts ports that are published.
    pub(super) fn ports(&mut self, count: usize, place: Place) -> Result<(), Box<Fault>> {
        self.ports = self.ports.saturating_add(count);
        let what = "the project publishes too many ports";
        within(self.ports, MOST_PORTS, what, place)
    }

    /// Counts a file that is read, in bytes.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Error> {
        self.read = self.read.saturating_add(bytes);
        if self.read > MOST_READ {
            return Err(Error::TooMuch { limit: MOST_READ });
        }
        Ok(())
    }
}

const TOO_MANY_VALUES: &str =
    "the project has too many values once aliases, `extends` and env files are followed";
const TOO_MUCH_TEXT: &str =
    "the project has too much text once aliases, variables and env files are followed, in bytes";

fn within(used: usize, limit: usize, what: &'static str, place: Place) -> Result<(), Box<Fault>> {
    if used > limit {
        return Err(Fault::new(place, Problem::Limit { what, limit }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::node::Map;

    #[test]
    fn a_copy_counts_its_values_and_all_of_its_text() {
        let place = Place::default();
        let mut map = Map::default();
        map.set_text("key", place, "value");
        map.set(
            "list",
            place,
            Node::new(place, Value::List(vec![Node::text(place, "x")])),
        );
        let mut budget = Budget::default();
        budget
            .copy(&Node::new(place, Value::Map(map)), place)
            .unwrap();
        assert_eq!((budget.values, budget.text), (4, 3 + 5 + 4 + 1));
    }

    #[test]
    fn the_limits_are_for_all_that_is_counted_together() {
        let place = Place::default();
        let mut budget = Budget::default();
        budget.values(MOST_VALUES, place).unwrap();
        assert!(budget.values(1, place).is_err());
        budget.text(MOST_TEXT, place).unwrap();
        assert!(budget.text(usize::MAX, place).is_err());
        budget.read(MOST_READ).unwrap();
        assert!(budget.read(1).is_err());
    }
}
