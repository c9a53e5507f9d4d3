//! `save-state` in a copy of the process.
//!
//! The copy has the guest's memory as it is at this moment, for the price of the page tables. So the instance that serves
//! calls is never entered: whatever `save-state` does, traps, hangs or eats memory, the copy is killed and nothing has
//! happened.
//!
//! Only the calling thread exists in the copy, so a lock that another thread had is never free there. What the copy does
//! therefore takes none: no log, no tokio, no host; the guest runs on the stack that its store keeps from the call
//! before, and its functions were looked up before. The allocator is safe: the C library sees to it. Of what remains (wasmtime looks
//! traps up under a lock that loading a plugin takes) the worst is a copy that stands still, and so is killed at its time limit.

use std::fs::File;
use std::future::Future;
use std::io::{PipeReader, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, timeout_at};

use crate::compile::limit;
use crate::error::CallError;
use crate::hand_over::{HandOverError, HandOverLimits, SavedState};
use crate::instance::Instance;
use crate::limits::LOG_BYTES_MAX;
use crate::settings::PluginLimits;
use crate::trap::classify;
use crate::types::Failure;

/// What the copy answers: one byte that says what it is, four of a version or code, eight of a length, and so many bytes.
const HEAD_BYTES: usize = 13;
const SAVED: u8 = 1;
const FAILED: u8 = 2;
const TRAPPED: u8 = 3;
const TOO_LARGE: u8 = 4;

/// Where a copy of the process answers to.
#[derive(Clone, Copy)]
pub(crate) struct Answer(RawFd);

/// The copy, killed and reaped when this is dropped. Without a number once it is reaped: that is another one's then.
struct Copy(Option<Pid>);

/// Asks the instance for its state, in a copy of the process, which is killed at the deadline.
pub(crate) async fn save(
    instance: &mut Instance,
    plugin: &PluginLimits,
    limits: HandOverLimits,
    deadline: Instant,
) -> Result<SavedState, HandOverError> {
    instance.prepare_to_save().map_err(|error| HandOverError::SaveTrapped(format!("{error:#}")))?;
    let cpu = deadline.saturating_duration_since(Instant::now());
    let (mut copy, pipe) =
        fork(instance, plugin, limits.state_bytes_max, cpu).map_err(HandOverError::Copy)?;
    let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe)).map_err(HandOverError::Copy)?;
    match timeout_at(deadline, read(pipe, limits.state_bytes_max)).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(HandOverError::SaveTrapped(copy.end())),
        Err(_) => Err(HandOverError::TimedOut { action: "save-state", hold: limits.hold }),
    }
}

/// None if the copy ended without an answer.
async fn read(mut pipe: Receiver, bytes_max: usize) -> Option<Result<SavedState, HandOverError>> {
    let kind = pipe.read_u8().await.ok()?;
    let number = pipe.read_u32().await.ok()?;
    let length = pipe.read_u64().await.ok()?;
    let allowed = if kind == SAVED { bytes_max } else { LOG_BYTES_MAX };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= allowed) else {
        return Some(Err(HandOverError::TooLarge { bytes_max }));
    };
    let mut bytes = vec![0; length];
    pipe.read_exact(&mut bytes).await.ok()?;
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    Some(match kind {
        FAILED => Err(HandOverError::SaveFailed(Failure::new(number, text()))),
        TRAPPED => Err(HandOverError::SaveTrapped(text())),
        TOO_LARGE => Err(HandOverError::TooLarge { bytes_max }),
        _ => Ok(SavedState { schema_version: number, bytes }),
    })
}

fn fork(
    instance: &mut Instance,
    plugin: &PluginLimits,
    bytes_max: usize,
    cpu: Duration,
) -> std::io::Result<(Copy, PipeReader)> {
    /// Two copies at a time would hold each other's pipes open.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (reader, writer) = std::io::pipe()?;
    let parent = std::process::id();
    // SAFETY: the copy runs `in_copy` and nothing else, which never returns and takes no lock that another thread may
    // have had (see the head of this file).
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            drop(reader);
            confine(parent, cpu);
            in_copy(instance, plugin, bytes_max, Answer(writer.as_raw_fd()))
        }
        pid => Ok((Copy(Pid::from_raw(pid)), reader)),
    }
}

/// Lets the copy end with its parent where the system can do that, and use no more than its time.
fn confine(parent: u32, cpu: Duration) {
    // The parent's own limits may be lower still, which is as good.
    let _ = limit(libc::RLIMIT_CPU, cpu.as_secs() + 2);
    let _ = limit(libc::RLIMIT_CORE, 0);
    #[cfg(target_os = "linux")]
    // SAFETY: takes and gives plain integers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    if std::os::unix::process::parent_id() != parent {
        exit();
    }
}

/// All that a copy does.
fn in_copy(instance: &mut Instance, plugin: &PluginLimits, bytes_max: usize, answer: Answer) -> ! {
    // What is unwound stays here: nothing of the parent is dropped or looked at after it.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut saving = pin!(instance.save_state(answer, bytes_max));
        let mut context = Context::from_waker(Waker::noop());
        // Nothing that it could wait for is there: it gives way at most.
        let saved = loop {
            if let Poll::Ready(saved) = saving.as_mut().poll(&mut context) {
                break saved;
            }
        };
        match saved {
            Ok(Ok(saved)) if saved.bytes.len() > bytes_max => answer.write(TOO_LARGE, 0, &[]),
            Ok(Ok(saved)) => answer.write(SAVED, saved.schema_version, &saved.bytes),
            Ok(Err(failure)) => answer.text(FAILED, failure.code, &failure.message),
            Err(error) => match classify(&error, plugin, false) {
                CallError::ValueTooLarge { .. } => answer.write(TOO_LARGE, 0, &[]),
                error => answer.text(TRAPPED, 0, &error.to_string()),
            },
        }
        exit();
    }));
    exit()
}

/// Ends the copy without anything that belongs to the parent.
fn exit() -> ! {
    // SAFETY: takes a plain integer, and runs none of the process's own handlers.
    unsafe { libc::_exit(0) }
}

impl Answer {
    /// Ends the copy: the guest has called something that needs the server.
    pub(crate) fn has_no_host(self) -> ! {
        self.text(
            TRAPPED,
            0,
            "it called an import: save-state runs in a copy of the process, where of all imports there are app.log, \
             app.settings, app.now-ms, app.monotonic-ns and app.random-bytes only",
        );
        exit()
    }

    fn text(self, kind: u8, number: u32, text: &str) {
        let end = text.floor_char_boundary(LOG_BYTES_MAX);
        self.write(kind, number, text.get(..end).unwrap_or_default().as_bytes());
    }

    fn write(self, kind: u8, number: u32, bytes: &[u8]) {
        let mut head = [kind; HEAD_BYTES];
        let (_, rest) = head.split_at_mut(1);
        let (numbers, length) = rest.split_at_mut(4);
        numbers.copy_from_slice(&number.to_be_bytes());
        length.copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        // SAFETY: the descriptor is the copy's own and open; it is closed by the end of the copy only.
        let mut pipe = ManuallyDrop::new(unsafe { File::from_raw_fd(self.0) });
        // If the parent is gone, so is the purpose.
        let _ = pipe.write_all(&head).and_then(|()| pipe.write_all(bytes));
    }
}

impl Copy {
    /// How it came to its end, which it has reached by itself.
    fn end(&mut self) -> String {
        match self.reap() {
            Some(status) => match status.terminating_signal() {
                Some(signal) => format!("its process ended by signal {signal}"),
                None => "its process ended without an answer".into(),
            },
            None => "its process was lost".into(),
        }
    }

    fn reap(&mut self) -> Option<WaitStatus> {
        let pid = self.0.take()?;
        let (_, status) = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())).ok()??;
        Some(status)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::KILL);
            self.reap();
        }
    }
}
