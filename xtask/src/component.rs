//! Reads the names of a component's imports from its binary form.

use anyhow::{Context, Result, bail};

/// Magic and version of a component; a core module has the version `01 00 00 00`.
const PREAMBLE: [u8; 8] = *b"\0asm\x0d\x00\x01\x00";
const IMPORT_SECTION: u8 = 10;

/// The names that a component imports, in its own order. An error if it is no component.
pub(crate) fn imports(binary: &[u8]) -> Result<Vec<String>> {
    let Some(rest) = binary.strip_prefix(&PREAMBLE) else {
        if binary.starts_with(b"\0asm\x01\0\0\0") {
            bail!("it is a core module, not a component: the linker wasm-component-ld was not used");
        }
        bail!("it is no WebAssembly component");
    };
    let mut names = Vec::new();
    let mut sections = Reader(rest);
    while !sections.0.is_empty() {
        let id = sections.byte()?;
        let len = sections.number()?;
        let mut section = Reader(sections.bytes(len)?);
        if id == IMPORT_SECTION {
            for _ in 0..section.number()? {
                names.push(section.import()?);
            }
        }
    }
    Ok(names)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.0.split_first().context("it ends too early")?;
        self.0 = rest;
        Ok(first)
    }

    fn bytes(&mut self, len: u32) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len as usize).context("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned LEB128 number of 32 bits.
    fn number(&mut self) -> Result<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).context("a number is too large");
            }
        }
        bail!("a number is too long")
    }

    /// `importname externdesc`
    fn import(&mut self) -> Result<String> {
        let form = self.byte()?;
        let len = self.number()?;
        let name = String::from_utf8(self.bytes(len)?.to_vec()).context("a name is not UTF-8")?;
        if form > 1 {
            bail!("the import {name} has a name of an unknown form ({form})");
        }
        let sort = self.byte()?;
        match sort {
            0 => drop((self.byte()?, self.number()?)),      // core module
            1 | 4 | 5 => drop(self.number()?),              // function, component, instance
            2 => drop((self.byte()?, self.number()?)),      // value
            3 if self.byte()? == 0 => drop(self.number()?), // a type that equals another
            3 => {}                                         // a type of its own
            _ => bail!("the import {name} is of an unknown sort ({sort})"),
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sections: &[u8]) -> Vec<u8> {
        [&PREAMBLE[..], sections].concat()
    }

    #[test]
    fn imports_are_found_between_other_sections() {
        let sections = [
            &b"\x07\x03abc"[..],                                   // another section
            b"\x0a\x0b\x02\x00\x01a\x05\x00\x00\x01b\x01\x02",     // an instance, a function
            b"\x00\x00",                                           // an empty one
            b"\x0a\x0c\x02\x01\x01c\x03\x00\x07\x00\x01d\x03\x01", // two types
        ];
        assert_eq!(imports(&component(&sections.concat())).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_is_no_component_is_said() {
        let of = |binary: &[u8]| imports(binary).unwrap_err().to_string();
        assert_eq!(of(b"hello"), "it is no WebAssembly component");
        assert!(of(b"\0asm\x01\0\0\0").starts_with("it is a core module"));
        assert_eq!(of(&component(b"\x0a\x7f\x01")), "it ends too early");
        assert_eq!(of(&component(b"\x0a\xff\xff\xff\xff\xff")), "a number is too long");
        assert_eq!(
            of(&component(b"\x0a\x06\x01\x00\x01a\x09\x00")),
            "the import a is of an unknown sort (9)"
        );
    }
}
