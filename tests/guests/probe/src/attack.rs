//! What no well-meaning plugin does.

use std::hint::black_box;

pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Some computing whose end is in sight.
pub(crate) fn work(rounds: u64) -> Vec<u8> {
    let sum = (0..rounds).fold(0_u64, |sum, round| black_box(sum.wrapping_mul(31).wrapping_add(round)));
    sum.to_string().into_bytes()
}

/// Takes memory until there is none.
pub(crate) fn eat() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, clippy::indexing_slicing, reason = "that is the point")]
pub(crate) fn recurse(depth: u64) -> u8 {
    let frame = black_box([depth as u8; 64]);
    recurse(depth + 1).wrapping_add(frame[depth as usize % 64])
}

/// A list that begins and ends outside of the memory.
#[cfg(target_arch = "wasm32")]
pub(crate) fn out_of_bounds() -> Vec<u8> {
    list(0xffff_ff00, 0x1000)
}

/// A list of most of the address space.
#[cfg(target_arch = "wasm32")]
pub(crate) fn huge_list() -> Vec<u8> {
    list(8, 0x7fff_fff0)
}

#[cfg(target_arch = "wasm32")]
fn list(start: usize, len: usize) -> Vec<u8> {
    // SAFETY: none, on purpose: only the pointer and the length are handed over, and the host must not trust them.
    unsafe { Vec::from_raw_parts(start as *mut u8, len, len) }
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn not_utf8() -> String {
    // SAFETY: none, on purpose: the host must not trust a string.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xfd]) }
}

#[cfg(not(target_arch = "wasm32"))]
mod elsewhere {
    pub(crate) fn out_of_bounds() -> Vec<u8> {
        unimplemented!("only in a component")
    }
    pub(crate) fn huge_list() -> Vec<u8> {
        unimplemented!("only in a component")
    }
    pub(crate) fn not_utf8() -> String {
        unimplemented!("only in a component")
    }
}
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use elsewhere::{huge_list, not_utf8, out_of_bounds};
