//! Every fuzz target over its seed corpus and over mutations of it, the same ones in every run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use shaddock_wire::fuzzing::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const MUTATIONS: usize = 6_000;

#[test]
fn targets_hold_over_corpus_and_mutations() {
    std::thread::scope(|scope| {
        for (name, target) in TARGETS {
            scope.spawn(move || run(name, target));
        }
    });
}

#[test]
fn every_target_has_a_corpus_and_an_entry_point() {
    for (name, _) in TARGETS {
        assert!(corpus(name).len() >= 5, "{name}");
        assert!(fuzz_dir().join(format!("fuzz_targets/{name}.rs")).is_file(), "{name}");
    }
    let folders = std::fs::read_dir(fuzz_dir().join("corpus")).unwrap().count();
    assert_eq!(folders, TARGETS.len());
}

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = fuzz_dir().join("corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn run(name: &str, target: Target) {
    let seeds = corpus(name);
    let check = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            panic!("fuzz target {name} fails on the bytes {input:?}");
        }
    };
    check(&[]);
    seeds.iter().for_each(|seed| check(seed));
    let mut random =
        Random(name.bytes().fold(0x5bd1_e995, |state: u64, byte| state.rotate_left(5) ^ u64::from(byte)) | 1);
    for _ in 0..MUTATIONS {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        check(&input);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let to = (at + random.below(16)).min(input.len());
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next() as u8,
        2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff, b'"', b'{', b'\\'][random.below(7)],
        3 => input.truncate(at),
        4 => drop(input.drain(at..to)),
        5 => input.insert(at, random.next() as u8),
        6 => {
            let copy = input[at..to].to_vec();
            input.splice(at..at, copy);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            input.splice(at..to, other[random.below(other.len() + 1)..].iter().copied());
        }
    }
}

/// xorshift64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
