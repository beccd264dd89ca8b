//! Sees one child through: reads its output, notices its end and that of its tree, and lets go of
//! what outlives it.

#![allow(unsafe_code, reason = "poll, and a descriptor for a process")]

use super::child::Child;
use super::running::{Group, Running};
use super::{Ended, GRACE, Launch, SpawnError, spawn};
use crate::event::Stream;
use crate::trace::guard::Ward;
use crate::trace::preload::Ear;
use crate::trace::{self, ParentSide, Rest, Spec};
use std::borrow::Cow;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// As much as is read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// How often an end is looked for where the kernel cannot tell of it.
const BLIND_WAIT: Duration = Duration::from_millis(10);

/// Runs with overhear's own terminal.
pub(super) fn attached(launch: &Launch, running: &Running) -> Result<Ended, SpawnError> {
    let mut child = spawn::attached(launch)?;
    let _registered = running.enter(Group::Shared(child.id()));
    let status = child.wait().map_err(|source| other(launch, source))?;
    Ok(ended(status))
}

/// Runs with its output captured, traced if there is a spec.
pub(super) fn captured(
    launch: &Launch,
    spec: Option<Spec>,
    running: &Running,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, SpawnError> {
    let mut parent_side = None;
    let mut child_side = None;
    let mut no_tracer = None;
    let (launch, ear) = match &spec {
        Some(spec) => overheard(launch, spec),
        None => (Cow::Borrowed(launch), Ok(None)),
    };
    let launch = &*launch;
    let notes = ear.as_ref().ok().and_then(|ear| Some(ear.as_ref()?.notes()));
    match spec.map(|spec| trace::backend(spec.way).begin(spec.noting(notes))) {
        Some(Ok(begun)) => {
            parent_side = Some(begun.parent);
            child_side = Some(begun.child);
        }
        Some(Err(error)) => no_tracer = Some(format!("cannot start the tracer: {error}")),
        None => {}
    }
    let spawned = spawn::captured(launch, child_side.as_deref());
    if let Some(side) = &mut parent_side {
        side.spawned();
    }
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            if let Some(side) = parent_side {
                drop(side.finish(Rest::Ends));
            }
            return Err(error);
        }
    };
    let ward = Ward::arm(child.id() as i32, None, None);
    let _registered = running.enter(Group::Own(child.id()));
    let mut watched = Watched::new(&mut child, parent_side);
    let status = watched.see_through(&mut child, output).map_err(|source| other(launch, source))?;
    let mut ended = ended(status);
    let left_running = !watched.is_over();
    ended.left_running = left_running;
    // Who asked it to stop wants nothing of it to go on.
    let rest = if running.is_ending() { Rest::Ends } else { Rest::GoesOn };
    match (left_running, rest) {
        (true, Rest::GoesOn) => drop(ward.keep(&watched.pipes())),
        (true, Rest::Ends) => ward.end(),
        (false, _) => drop(ward),
    }
    ended.observed = watched.tracing.take().map(|side| side.finish(rest));
    match (ear, &mut ended.observed) {
        (Ok(Some(ear)), Some(observed)) => ear.finish(observed),
        (Err(error), Some(observed)) => observed.poison(format!("cannot overhear its environment: {error}")),
        _ => {}
    }
    if let Some(why) = no_tracer {
        ended.observed.get_or_insert_default().poison(why);
    }
    if let Some(observed) = &mut ended.observed
        && left_running
    {
        observed.detached.get_or_insert_with(|| "a process".into());
    }
    Ok(ended)
}

/// The command with what it takes to overhear its environment, and who listens.
fn overheard<'a>(launch: &'a Launch, spec: &Spec) -> (Cow<'a, Launch>, io::Result<Option<Ear>>) {
    let ear = Ear::begin(spec);
    let Ok(Some(listening)) = &ear else { return (Cow::Borrowed(launch), ear) };
    let mut launch = launch.clone();
    listening.add_to(&mut launch.env);
    (Cow::Owned(launch), ear)
}

fn other(launch: &Launch, source: io::Error) -> SpawnError {
    SpawnError::Other { program: launch.program.clone(), source }
}

fn ended(status: ExitStatus) -> Ended {
    let signal = status.signal();
    let exit_code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
    Ended { exit_code, signal, took: Duration::ZERO, observed: None, interrupted: false, left_running: false }
}

/// What is waited for.
struct Watched {
    out: Option<PipeReader>,
    err: Option<PipeReader>,
    /// Becomes readable when the leader ends.
    leader: Option<OwnedFd>,
    tracing: Option<Box<dyn ParentSide>>,
    /// Whether nobody of the tree is left, as the tracer says.
    all_gone: bool,
}

impl Watched {
    fn new(child: &mut Child, tracing: Option<Box<dyn ParentSide>>) -> Watched {
        let all_gone = tracing.as_ref().is_none_or(|side| side.all_gone().is_none());
        Watched {
            out: child.out.take(),
            err: child.err.take(),
            leader: pid_fd(child.id()),
            tracing,
            all_gone,
        }
    }

    fn is_over(&self) -> bool {
        self.out.is_none() && self.err.is_none() && self.all_gone
    }

    fn pipes(&self) -> Vec<BorrowedFd<'_>> {
        let out = self.out.as_ref().map(AsFd::as_fd);
        out.into_iter().chain(self.err.as_ref().map(AsFd::as_fd)).collect()
    }

    /// Until the leader has ended and all is over, or the grace has passed.
    fn see_through(
        &mut self,
        child: &mut Child,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> io::Result<ExitStatus> {
        let mut buffer = vec![0u8; CHUNK];
        let mut status = None;
        let mut until = None;
        loop {
            if let Some(status) = status
                && (self.is_over() || until.is_some_and(|until| Instant::now() >= until))
            {
                return Ok(status);
            }
            let ready = self.wait(until)?;
            if ready.out {
                pass(&mut self.out, Stream::Out, &mut buffer, output)?;
            }
            if ready.err {
                pass(&mut self.err, Stream::Err, &mut buffer, output)?;
            }
            self.all_gone |= ready.all_gone;
            if status.is_none() && (ready.leader || self.leader.is_none()) {
                status = child.try_wait()?;
                if status.is_some() {
                    self.leader = None;
                    until = Some(Instant::now() + GRACE);
                    if let Some(side) = &self.tracing {
                        side.leader_ended();
                    }
                }
            }
        }
    }

    fn wait(&self, until: Option<Instant>) -> io::Result<Ready> {
        let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |fd| fd.as_raw_fd());
        let gone = self.tracing.as_ref().and_then(|side| side.all_gone()).filter(|_| !self.all_gone);
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut polled = [
            entry(raw(self.out.as_ref().map(AsFd::as_fd))),
            entry(raw(self.err.as_ref().map(AsFd::as_fd))),
            entry(raw(self.leader.as_ref().map(AsFd::as_fd))),
            entry(raw(gone)),
        ];
        let timeout = match until {
            Some(until) => Some(until.saturating_duration_since(Instant::now())),
            None if self.leader.is_none() => Some(BLIND_WAIT),
            None => None,
        };
        // Rounded up, so that a last fraction of a millisecond is not waited for in a spin.
        let timeout =
            timeout.map_or(-1, |timeout| i32::try_from(timeout.as_millis() + 1).unwrap_or(i32::MAX));
        // SAFETY: as many entries as said.
        let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(Ready::default())
            } else {
                Err(error)
            };
        }
        let [out, err, leader, all_gone] = polled.map(|entry| entry.revents != 0);
        Ok(Ready { out, err, leader, all_gone })
    }
}

/// What has something.
#[derive(Default)]
struct Ready {
    out: bool,
    err: bool,
    leader: bool,
    all_gone: bool,
}

/// Hands on what a pipe has; closes it at its end.
fn pass(
    pipe: &mut Option<PipeReader>,
    stream: Stream,
    buffer: &mut [u8],
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let Some(reader) = pipe else { return Ok(()) };
    match reader.read(buffer) {
        Ok(0) => *pipe = None,
        Ok(length) => output(stream, &buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A descriptor that becomes readable when a child ends (Linux 5.3).
fn pid_fd(pid: u32) -> Option<OwnedFd> {
    // SAFETY: a number in, a new descriptor (closed at exec) or an error out.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as RawFd))
    }
}
