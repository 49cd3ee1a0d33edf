//! Variables in any text.
#![no_main]

use castoff::interpolate::interpolate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| match name {
        "A" => Some("value".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    if let Err(error) = interpolate(text, &lookup) {
        let _ = (error.to_string(), error.hint());
        if let Some(at) = error.at() {
            assert!(text.get(at).is_some(), "the place is within the text");
        }
    }
});
