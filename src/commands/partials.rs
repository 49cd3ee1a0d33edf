//! The files that other machines have written, read with care: they come out of other jobs' hands.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::plan::{Named, Partial};
use crate::whole_file;

/// How many files are read.
const MOST: usize = 1024;

/// Reads the files, and those of folders in the order of their names. One that is named twice counts once.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Named>, Error> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() {
            inside(path)?
        } else {
            vec![path.clone()]
        };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
            if files.len() > MOST {
                return Err(wrong(path, format!("there are more than {MOST} files")));
            }
        }
    }
    let read = files.into_iter().map(|path| {
        let partial = one(&path)?;
        Ok((path.display().to_string(), partial))
    });
    read.collect()
}

/// The files of a folder that end as JSON does.
fn inside(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: std::io::Error| wrong(folder, error.to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "json") && path.is_file() {
            files.push(path);
        }
        if files.len() > MOST {
            return Err(wrong(folder, format!("it has more than {MOST} files")));
        }
    }
    if files.is_empty() {
        return Err(wrong(folder, "it has no .json file".to_owned()));
    }
    files.sort();
    Ok(files)
}

fn one(path: &Path) -> Result<Partial, Error> {
    let failed = |error: std::io::Error| wrong(path, error.to_string());
    let text = whole_file::read(path, Partial::LARGEST).map_err(failed)?;
    Partial::read(&text).map_err(|message| wrong(path, message))
}

fn wrong(path: &Path, message: String) -> Error {
    Error::Partial {
        path: path.to_owned(),
        message,
    }
}
