//! Makes versions of the test guest `versioned` by patching marks in the built component.
//!
//! Knows nothing of this crate: the engine's tests take this file as it is.

/// The marks as they are built. `tests/guests/versioned/src/marks.rs` says what each can be set to.
const MARKS: [&str; 8] = [
    "VERSION-0000",
    "INIT-OK__",
    "ROUTES-OK__",
    "RISKY-OK__",
    "SELFTEST-OK__",
    "SAVE-OK__",
    "LOAD-OK__",
    "SCHEMA-0001",
];

/// The component as version `number` (0 to 9999, `VERSION-0007` in its answers), with marks set, such as
/// `SELFTEST-TRAP` or `SCHEMA-0002`. Each number and each mark makes another digest.
pub(crate) fn patched(component: &[u8], number: u32, marks: &[&str]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for mark in marks.iter().copied().chain([format!("VERSION-{number:04}").as_str()]) {
        let name = mark.split('-').next().unwrap_or_default();
        let built = MARKS.iter().find(|built| built.split('-').next() == Some(name));
        let Some(built) = built.filter(|built| built.len() == mark.len()) else {
            panic!("the guest has no mark that could be {mark}")
        };
        let mut places = bytes.windows(built.len()).enumerate().filter(|(_, at)| *at == built.as_bytes());
        let place = places.next().map(|(place, _)| place);
        assert!(places.next().is_none(), "{built} is in the component twice");
        let Some(place) = place else { panic!("{built} is not in the component, or set twice") };
        bytes.splice(place..place + mark.len(), mark.bytes());
    }
    bytes
}
