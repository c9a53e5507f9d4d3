//! What the kernel tells about a process: CPU time, memory, wake-ups. Linux only; elsewhere the figures are absent.

use std::fs;
use std::time::Duration;

use serde::Serialize;

/// CPU time used so far by one process or several; `None` where /proc does not tell.
pub(crate) fn cpu_time(pids: &[u32]) -> Option<Duration> {
    if pids.is_empty() {
        return None;
    }
    sum_of(pids, OWN_TIMES)
}

/// The same with what their children used that have ended and been waited for.
pub(crate) fn cpu_time_with_children(pids: &[u32]) -> Option<Duration> {
    sum_of(pids, OWN_TIMES + CHILDREN_TIMES)
}

/// Fields 14 and 15 of stat: user and system time.
const OWN_TIMES: usize = 2;
/// Fields 16 and 17: the same of children.
const CHILDREN_TIMES: usize = 2;

fn sum_of(pids: &[u32], times: usize) -> Option<Duration> {
    pids.iter().map(|pid| cpu_time_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, times)).sum()
}

/// So many times from field 14 of stat on, in ticks of the kernel's USER_HZ (100 on every Linux platform).
fn cpu_time_of(stat: &str, times: usize) -> Option<Duration> {
    let fields: Vec<u64> =
        stat_fields(stat)?.skip(11).take(times).map(|field| field.parse().ok()).collect::<Option<_>>()?;
    (fields.len() == times).then(|| Duration::from_millis(fields.iter().sum::<u64>() * 10))
}

/// The fields of stat from the third on: the second, the program's name, may hold anything but ends with the last ')'.
fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// Resident set.
    pub rss_kib: u64,
    /// Proportional set: shared pages count in part.
    pub pss_kib: u64,
}

/// Memory of a process now; `None` where /proc does not tell.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(Memory { rss_kib: kib(&rollup, "Rss:")?, pss_kib: kib(&rollup, "Pss:")? })
}

fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often the threads of a process were woken so far (a voluntary switch is a sleep, and each sleep ends in one).
pub(crate) fn wakeups(pid: u32) -> Option<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let count = |status: &str| kib(status, "voluntary_ctxt_switches:");
    // A thread may end between the two reads; it then counts nothing.
    Some(
        tasks.flatten().filter_map(|task| count(&fs::read_to_string(task.path().join("status")).ok()?)).sum(),
    )
}

/// A process below another, with its command line.
#[derive(Clone, Debug)]
pub(crate) struct Descendant {
    pub(crate) pid: u32,
    pub(crate) arguments: Vec<String>,
}

/// All processes below `root`, in no particular order.
pub(crate) fn descendants(root: u32) -> Vec<Descendant> {
    let parents: Vec<(u32, u32)> = all_processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().skip(1).map(|pid| Descendant { pid, arguments: arguments(pid) }).collect()
}

fn all_processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat_fields(&stat)?.nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// CPU time that the whole machine has used so far, idle and waiting apart.
pub(crate) fn machine_cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    // user, nice, system, then (after idle and iowait) irq, softirq.
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|index| ticks.get(*index)).sum();
    Some(Duration::from_millis(busy * 10))
}

/// Raises the limit of open files as far as allowed; an error if that is less than `wanted`.
pub(crate) fn allow_open_files(wanted: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let enough = |bound: Option<u64>| bound.is_none_or(|bound| bound >= wanted);
    if enough(limit.current) {
        return Ok(());
    }
    anyhow::ensure!(
        enough(limit.maximum),
        "{wanted} open files are needed but this system allows {:?}; use fewer --connections or raise `ulimit -n`",
        limit.maximum
    );
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 100 0 0 0 150 50 25 75 20 0 1 0 100 0 0";
        assert_eq!(cpu_time_of(stat, OWN_TIMES), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time_of(stat, OWN_TIMES + CHILDREN_TIMES), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time_of("4242 (a) S 1 4242", OWN_TIMES), None);
        assert_eq!(stat_fields(stat).unwrap().nth(1), Some("1"));
    }

    #[test]
    fn the_own_process_has_memory_time_and_wakeups() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().rss_kib > 100);
        assert!(cpu_time(&[pid]).is_some());
        assert!(wakeups(pid).is_some());
        assert_eq!(cpu_time(&[]), None);
    }
}
