//! The rules alone.
fn main() {}
