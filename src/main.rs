//! vipd
fn main() {}
