//! The plugin's allocator: `talc`, which is faster and smaller than what the standard library has for wasm32.
//!
//! It starts on memory that a new instance has anyway. Growing memory is a call to the operating system in the host, so
//! that an instance which lives for one call had better do without.
#![allow(unsafe_code, reason = "what hands memory to an allocator vouches for it")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

const PAGE_BYTES: usize = 64 * 1024;
/// Grown by at least this much, so that a heap does not grow page by page.
const GROWTH_PAGES: usize = 4;
/// What calls with a few kilobytes of messages need.
const FIRST_BYTES: usize = 64 * 1024;
const OVERHEAD_BYTES: usize = 1024;

static mut FIRST: [MaybeUninit<u8>; FIRST_BYTES] = [MaybeUninit::uninit(); FIRST_BYTES];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> =
    TalcSyncCell::new_wasm(Memory { is_first_used: false, end: None });

#[derive(Debug)]
struct Memory {
    is_first_used: bool,
    /// Where the heap of grown memory ends: it gets longer if what is grown next follows it.
    end: Option<NonNull<u8>>,
}

// SAFETY: it does not allocate, and each piece of memory is handed over once.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.is_first_used {
            talc.source.is_first_used = true;
            // SAFETY: nobody else uses it.
            return unsafe { talc.claim((&raw mut FIRST).cast(), FIRST_BYTES) }.map(drop).ok_or(());
        }
        // With room for what the allocator keeps for itself, and for alignment.
        let bytes = layout.size().saturating_add(layout.align()).saturating_add(OVERHEAD_BYTES);
        let needed = bytes.div_ceil(PAGE_BYTES);
        // Less than usual if that is all there is.
        let (start, pages) = grow(needed.max(GROWTH_PAGES)).or_else(|| grow(needed)).ok_or(())?;
        let bytes = pages * PAGE_BYTES;
        let end = match talc.source.end.take() {
            // SAFETY: the heap ends where these new pages begin.
            Some(end) if end.as_ptr() == start => unsafe { talc.extend(end, start.wrapping_add(bytes)) },
            // SAFETY: these pages are new.
            _ => unsafe { talc.claim(start, bytes) }.ok_or(())?,
        };
        talc.source.end = Some(end);
        Ok(())
    }
}

fn grow(pages: usize) -> Option<(*mut u8, usize)> {
    let before = memory_grow::<0>(pages);
    (before != usize::MAX).then(|| ((before * PAGE_BYTES) as *mut u8, pages))
}
