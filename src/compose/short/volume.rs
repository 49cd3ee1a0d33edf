//! `source:target:options`, the short form of a mount: compose-go's `format/volume.go`.

use crate::compose::node::{Map, Node, Place, Value};

/// A mount, as its short form says it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::compose) struct Volume {
    /// The folder or the volume's name; may be empty.
    pub source: String,
    /// Where it is mounted.
    pub target: String,
    read_only: bool,
    nocopy: bool,
    selinux: Option<String>,
    propagation: Option<String>,
    /// A one- or two-letter target: compose adds no options to it.
    bare: bool,
}

/// Reads the short form. An error says what is wrong with it.
pub(in crate::compose) fn parse(text: &str) -> Result<Volume, String> {
    if text.is_empty() {
        return Err("a mount must not be empty".to_owned());
    }
    let mut volume = Volume::default();
    if text.len() <= 2 {
        text.clone_into(&mut volume.target);
        volume.bare = true;
        return Ok(volume);
    }
    let bytes = text.as_bytes();
    let mut part = String::new();
    let mut variables = 0_usize;
    for (at, letter) in text.char_indices() {
        let opens = letter == '$' && bytes.get(at + 1) == Some(&b'{');
        if opens {
            variables += 1;
            part.push(letter);
        } else if letter == '}' && variables > 0 {
            variables -= 1;
            part.push(letter);
        } else if is_drive(&part, letter) || letter != ':' || variables > 0 {
            part.push(letter);
        } else {
            volume.part(&part, false)?;
            part.clear();
        }
    }
    if variables == 0 {
        volume.part(&part, true)?;
    }
    Ok(volume)
}

/// `c` and a colon: the drive of a Windows path.
fn is_drive(part: &str, letter: char) -> bool {
    let mut letters = part.chars();
    letter == ':' && letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
}

impl Volume {
    fn part(&mut self, part: &str, last: bool) -> Result<(), String> {
        if part.is_empty() {
            return Err("a mount has an empty section between colons".to_owned());
        }
        if self.source.is_empty() && last {
            part.clone_into(&mut self.target);
        } else if self.source.is_empty() {
            part.clone_into(&mut self.source);
        } else if self.target.is_empty() {
            part.clone_into(&mut self.target);
        } else if last {
            self.options(part);
        } else {
            return Err("a mount has too many colons".to_owned());
        }
        Ok(())
    }

    /// Options, of which compose ignores those that it does not know.
    fn options(&mut self, options: &str) {
        for option in options.split(',') {
            match option {
                "ro" => self.read_only = true,
                "rw" => self.read_only = false,
                "nocopy" => self.nocopy = true,
                "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                    self.propagation = Some(option.to_owned());
                }
                "z" | "Z" => self.selinux = Some(option.to_owned()),
                _ => {}
            }
        }
    }

    /// Whether the source is a path, and so the mount a bind mount.
    fn is_bind(&self) -> bool {
        let mut letters = self.source.chars();
        match (letters.next(), letters.next()) {
            (Some('.' | '/' | '~'), _) => true,
            _ if self.source.starts_with("\\\\") => true,
            (Some(first), Some(':')) => first.is_alphabetic(),
            _ => false,
        }
    }

    /// The long form.
    pub(in crate::compose) fn long(&self, place: Place) -> Map {
        let mut map = Map::default();
        let bind = self.is_bind();
        let kind = if bind { "bind" } else { "volume" };
        map.set_text("type", place, kind);
        if !self.source.is_empty() {
            map.set_text("source", place, &self.source);
        }
        if !self.target.is_empty() {
            let target = crate::compose::paths::clean(&self.target);
            map.set_text("target", place, &target);
        }
        let flag = |value| Node::new(place, Value::Bool(value));
        if self.read_only {
            map.set("read_only", place, flag(true));
        }
        let mut options = Map::default();
        if let Some(selinux) = &self.selinux {
            options.set_text("selinux", place, selinux);
        }
        if let Some(propagation) = &self.propagation {
            options.set_text("propagation", place, propagation);
        }
        if bind {
            options.set("create_host_path", place, flag(true));
        }
        if !options.is_empty() {
            map.set("bind", place, Node::new(place, Value::Map(options)));
        }
        if self.nocopy || !(bind || self.bare) {
            let mut options = Map::default();
            if self.nocopy {
                options.set("nocopy", place, flag(true));
            }
            map.set("volume", place, Node::new(place, Value::Map(options)));
        }
        map
    }
}
