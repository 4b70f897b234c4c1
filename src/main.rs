//! Evergrant: see the README.

fn main() {}
