//! The door that `DOOR` names, for libFuzzer.

#![no_main]

use doors::{DOORS, Door};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DOOR: LazyLock<Door> = LazyLock::new(|| {
    let name = std::env::var("DOOR").expect("DOOR names a door");
    DOORS.iter().find(|(door, _)| *door == name).expect("DOOR names one of the doors").1
});

fuzz_target!(|data: &[u8]| DOOR(data));
