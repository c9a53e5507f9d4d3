//! Programs that tests need and not every machine has: `cargo xtask test` finds and installs them.

/// A program that a test needs, or none with the reason told; in CI that is a failure.
pub fn need(name: &str) -> Option<String> {
    if let Ok(program) = std::env::var(format!("SHADDOCK_{name}")) {
        return Some(program);
    }
    let why = std::env::var(format!("SHADDOCK_NO_{name}"))
        .unwrap_or_else(|_| "it was not looked for; run the tests with `cargo xtask test`".to_owned());
    assert!(std::env::var_os("CI").is_none(), "{name} is missing, and with CI set nothing is skipped: {why}");
    eprintln!("skipped: {name}: {why}");
    None
}
