//! Argument parsing and one call.

fn main() {}
