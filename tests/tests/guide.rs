//! The guide for those who come from pomelo names tests as proof: they exist.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use shaddock_tests::root;

#[test]
fn every_proof_in_the_guide_is_a_test() {
    let guide = std::fs::read_to_string(root().join("docs/from-pomelo.md")).unwrap();
    let (_, table) = guide.split_once("## What is there, and its proof").unwrap();
    let quoted = table.split('`').skip(1).step_by(2);
    let mut proofs = 0;
    for (file, test) in quoted.filter_map(|proof| proof.split_once("::")) {
        let source = std::fs::read_to_string(root().join(file));
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        let (before, _) =
            source.split_once(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file}: no {test}"));
        let last_lines = before.lines().rev().take(4).collect::<Vec<_>>().join("\n");
        assert!(last_lines.contains("test"), "{file}: {test} is no test");
        proofs += 1;
    }
    assert!(proofs > 40, "{proofs} proofs were found in the table");
}
