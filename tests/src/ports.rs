//! Free ports that two tests never share, whether they run in one process or in many.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};

/// Ports of one block; below those that the system gives to outgoing connections.
const FIRST: u16 = 20_000;
const BLOCK: u16 = 32;
const BLOCKS: u16 = 350;

/// A block of free ports, kept from other tests by a locked file as long as this lives.
#[derive(Debug)]
pub struct Ports {
    _lock: File,
    free: Vec<u16>,
}

impl Ports {
    /// Takes a block in which at least `count` ports are free.
    pub fn take(count: usize) -> Ports {
        let dir = std::env::temp_dir().join("shaddock-test-ports");
        std::fs::create_dir_all(&dir).unwrap();
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
        for block in (0..BLOCKS).map(|offset| (start + offset) % BLOCKS) {
            let path = dir.join(block.to_string());
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
            if lock.try_lock().is_err() {
                continue;
            }
            let first = FIRST + block * BLOCK;
            let free: Vec<u16> = (first..first + BLOCK).filter(|port| is_free(*port)).collect();
            if free.len() >= count {
                return Ports { _lock: lock, free };
            }
        }
        panic!("no block of {count} free ports");
    }

    /// One more port of the block.
    pub fn pick(&mut self) -> u16 {
        self.free.pop().expect("the block is used up; take a larger count")
    }

    /// So many ports in a row, the first one first.
    pub fn pick_run(&mut self, count: usize) -> Vec<u16> {
        let is_run = |ports: &[u16]| ports.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let start = self.free.windows(count).position(is_run);
        let start = start.expect("the block has no such run; take a larger count");
        self.free.drain(start..start + count).collect()
    }
}

/// Whether nobody listens on a port of this machine.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
