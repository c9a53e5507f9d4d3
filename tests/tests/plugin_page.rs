//! docs/plugins.md: its code is compiled and run, and no item of the contract is missing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;

use shaddock_tests::{Workshop, need, root};

fn page() -> String {
    fs::read_to_string(root().join("docs/plugins.md")).unwrap()
}

/// The code blocks of a kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let begin = format!("```{kind}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// Every function and type of the contract, as `interface.item`.
fn items() -> Vec<String> {
    let wit = fs::read_to_string(root().join("wit/plugin.wit")).unwrap();
    let mut interface = String::new();
    let mut items = Vec::new();
    for line in wit.lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "async").collect();
        match words.as_slice() {
            ["interface", name, ..] => interface = (*name).to_owned(),
            ["world", ..] => interface.clear(),
            ["record" | "variant" | "enum", name, ..] => items.push(format!("{interface}.{name}")),
            [name, "func(", ..] => items.push(format!("{interface}.{name}")),
            [name, function, ..] if function.starts_with("func(") => {
                items.push(format!("{interface}.{}", name.trim_end_matches(':')));
            }
            _ => {}
        }
    }
    items
}

#[test]
fn every_item_of_the_contract_is_on_the_page() {
    let (page, items) = (page(), items());
    assert!(items.len() > 80, "{} items were found: {items:?}", items.len());
    for known in ["app.log", "channels.set-delivery", "rpc.call-options", "tick.tick", "types.failure"] {
        assert!(items.iter().any(|item| item == known), "{known} was not found");
    }
    let missing: Vec<_> = items.iter().filter(|item| !page.contains(&format!("`{item}`"))).collect();
    assert!(missing.is_empty(), "docs/plugins.md does not tell of {missing:?}");
}

#[test]
fn the_code_in_rust_compiles_and_its_tests_pass() {
    let workshop = Workshop::with_project("page", "rust");
    let blocks = blocks(&page(), "rust");
    assert!(blocks.len() > 6, "{} blocks were found", blocks.len());
    let modules: Vec<String> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| format!("pub mod block_{at} {{\n{block}\n}}\n"))
        .collect();
    fs::write(workshop.path().join("page/src/lib.rs"), modules.concat()).unwrap();
    workshop.run(&["toolchain", "rust"]).expect(0);
    workshop.run(&["test", "page"]).expect(0).says("1 passed");
}

#[test]
fn the_code_in_javascript_can_be_imported_and_its_tests_pass() {
    if need("NODE").is_none() {
        return;
    }
    let workshop = Workshop::with_project("page", "javascript");
    let dir = workshop.path().join("page");
    let page = page();
    let blocks = (blocks(&page, "js"), blocks(&page, "js test"));
    assert!(blocks.0.len() > 5 && blocks.1.len() == 1, "{} blocks were found", blocks.0.len());
    fs::remove_file(dir.join("test/handlers.test.js")).unwrap();
    for (at, block) in blocks.1.iter().enumerate() {
        fs::write(dir.join(format!("test/own{at}.test.js")), block).unwrap();
    }
    for (at, block) in blocks.0.iter().enumerate() {
        fs::write(dir.join(format!("block{at}.js")), block).unwrap();
        // Every function is called with what it may be called with, on a host that has all it asks for.
        fs::write(
            dir.join(format!("test/block{at}.test.js")),
            USE.replace("BLOCK", &format!("../block{at}.js")),
        )
        .unwrap();
    }
    workshop.run(&["toolchain", "javascript"]).expect(0);
    workshop.run(&["test", "page"]).expect(0).says("fail 0");
}

/// Runs what a block exports.
const USE: &str = r#"
import test from "node:test";
import { plugin } from "shaddock-sdk";
import { Host } from "shaddock-sdk/testing";
import * as block from "BLOCK";

test("the block runs", () => {
  const exports = "handler" in block ? block : plugin({});
  const host = new Host(exports, { settings: { speed: 3 } });
  host.addServer("area-1", "area");
  host.answer("area.areaRemote.count", () => 1);
  host.answer("area.areaRemote.note", () => null);
  for (const [name, run] of Object.entries(block)) {
    if (typeof run !== "function") continue;
    const session = host.session(name === "logIn" ? null : "ada");
    if (run.length === 2) run("ada", session);
    else run(session);
  }
  if ("handler" in block) {
    const session = host.session("ada");
    for (const route of block.handler.routes()) host.request(route, { x: 1 }, session);
  }
});
"#;
