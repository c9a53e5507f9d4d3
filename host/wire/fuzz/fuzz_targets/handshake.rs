#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shaddock_wire::fuzzing::handshake(data));
