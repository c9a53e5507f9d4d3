//! Processes by their command lines, so that a test sees also those that nobody told it of.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Ids of processes with `text` on their command line; no zombies.
pub(crate) fn with_argument(text: &Path) -> Vec<u32> {
    let text = text.as_os_str().as_encoded_bytes();
    let has_argument = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == text)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has_argument).collect()
}

/// Whether there is such a process (a zombie counts).
pub fn is_running(pid: u32) -> bool {
    test_kill_process(to_pid(pid)).is_ok()
}

/// Sends a signal; no error if the process is gone.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(to_pid(pid), signal);
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).expect("a process id is not 0")
}
