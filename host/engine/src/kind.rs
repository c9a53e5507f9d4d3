//! Which of two kinds a component is: they run on engines with different settings.

use wasmparser::{Parser, Payload};

/// How the calls of a component run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One call at a time in an instance.
    #[default]
    Plain,
    /// Many calls in flight in one instance: it has an interface `async-…` of the contract.
    Concurrent,
}

impl Kind {
    /// What a component file says. One that cannot be read is plain: the compiler says what is wrong with it.
    pub(crate) fn of(component: &[u8]) -> Kind {
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            let Ok(payload) = payload else { return Kind::Plain };
            let is_async = match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    depth += 1;
                    false
                }
                Payload::End(_) if depth > 0 => {
                    depth -= 1;
                    false
                }
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    imports.clone().into_iter().flatten().any(|import| is_async(import.name.name))
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    exports.clone().into_iter().flatten().any(|export| is_async(export.name.name))
                }
                _ => false,
            };
            if is_async {
                return Kind::Concurrent;
            }
        }
        Kind::Plain
    }
}

fn is_async(name: &str) -> bool {
    name.starts_with("shaddock:plugin/async-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_concurrent_by_its_own_interfaces() {
        let import = r#"(import "shaddock:plugin/async-rpc@0.1.0" (instance))"#;
        let export = r#"(instance $i) (export "shaddock:plugin/async-handler@0.1.0" (instance $i))"#;
        let plain = r#"(import "shaddock:plugin/rpc@0.1.0" (instance))"#;
        for (text, kind) in [
            (format!("(component {import})"), Kind::Concurrent),
            (format!("(component (core module) (component) {export})"), Kind::Concurrent),
            (format!("(component {plain})"), Kind::Plain),
            (format!("(component (component {import}))"), Kind::Plain),
            ("(module)".to_owned(), Kind::Plain),
        ] {
            assert_eq!(Kind::of(&wat::parse_str(&text).unwrap()), kind, "{text}");
        }
        assert_eq!(Kind::of(b"no wasm"), Kind::Plain);
    }
}
