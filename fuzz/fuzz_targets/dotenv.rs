//! Env files of any content, in both formats.
#![no_main]

use castoff::compose::{EnvFormat, env_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    for format in [EnvFormat::Dotenv, EnvFormat::Raw] {
        let _ = env_file(bytes, format, &lookup);
    }
});
