//! Dockerfiles: reading, and what they need.
#![no_main]

use castoff::inputs::{Dockerfile, With};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = Dockerfile::read(bytes) else {
        return;
    };
    let platforms = [
        "linux/amd64".parse().unwrap(),
        "linux/arm64".parse().unwrap(),
    ];
    let with = With {
        platforms: &platforms,
        ..With::default()
    };
    if let Ok(images) = read.images(&with) {
        // Every image can be asked for as it is written.
        for image in images.bases.iter().chain(&images.frontend) {
            assert_eq!(image.to_string().parse().as_ref(), Ok(image));
        }
    }
});
