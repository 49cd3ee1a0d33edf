//! docker's configuration file: whatever stands in it, an error never repeats a secret.
#![no_main]

use castoff::registry::credentials::DockerConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(message) = DockerConfig::parse(bytes) {
        // "not valid JSON, line 1 column 1" and the like.
        assert!(message.len() < 80);
    }
});
