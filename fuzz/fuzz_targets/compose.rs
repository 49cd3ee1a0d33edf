//! From the bytes of a compose file to a project and its two printed forms.
#![no_main]

use std::path::PathBuf;

use castoff::compose::{LoadOptions, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = LoadOptions {
        working_directory: PathBuf::from("/nowhere/project"),
        files: vec![PathBuf::from("-")],
        profiles: vec!["*".to_owned()],
        environment: [("A", "a"), ("EMPTY", ""), ("HOME", "/root")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        standard_input: Some(bytes.to_vec()),
        ..LoadOptions::default()
    };
    match load(&options) {
        Ok(project) => {
            let _ = project.document.json().to_string();
            let _ = project.document.yaml().to_string();
        }
        Err(error) => {
            let _ = (error.to_string(), error.hint());
        }
    }
});
