//! Bascule.
fn main() {}
