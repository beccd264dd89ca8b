//! A small process beside overhear that holds each trace's listener too, so that
//! - if overhear is killed, the trees of its steps are ended instead of running on with system
//!   calls that fail, and
//! - a process that outlives its step is let on: its calls go through and its output is drained
//!   until it ends.
//!
//! It is made once by a plain fork: no second program to find, and nothing to load. Between
//! threads a forked child may only do what is safe in a signal handler, so everything below
//! [`serve`] makes system calls on memory that it has, and neither allocates nor locks nor panics.

#![allow(unsafe_code, reason = "a forked process that may only make system calls")]

use overhear_trace_abi::RING_AT;
use overhear_trace_abi::notes::Ring;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// As many steps at once as anybody runs, and processes that outlived theirs.
const WARDS_MAX: usize = 256;
/// Descriptors of one step: its listener and two output pipes.
const FDS_MAX: usize = 3;

/// What the guard is told, in the layout in which it is sent.
#[repr(C)]
#[derive(Clone, Copy)]
struct Order {
    /// [`ARM`], [`KEEP`], [`DISARM`] or [`END`].
    what: u32,
    /// Which step.
    id: u32,
    /// Its session and process group.
    session: i32,
}

/// A step begins.
const ARM: u32 = 1;
/// A step ended, but some of its processes have not; they are to be let on.
const KEEP: u32 = 2;
/// A step ended, and all its processes.
const DISARM: u32 = 3;
/// The rest of a step's tree is to be ended.
const END: u32 = 4;

/// Where a step's memory file says that nobody takes notes in any more.
const CLOSED_AT: usize = RING_AT + offset_of!(Ring, is_closed);

static GUARD: OnceLock<Option<Guard>> = OnceLock::new();
/// Whether processes were ever let on.
static KEEPS: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Ends the guard and waits for it, so that it leaves no zombie where nobody waits for orphans. To
/// be called last, when no step runs. A guard that lets processes on stays.
pub fn stop() {
    let Some(Some(guard)) = GUARD.get() else { return };
    // SAFETY: numbers only; the guard is our child and nobody else waits for it.
    unsafe {
        libc::shutdown(guard.socket.as_raw_fd(), libc::SHUT_RDWR);
        if !KEEPS.load(Ordering::Acquire) {
            libc::waitpid(guard.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Overhear's side of the guard.
struct Guard {
    pid: i32,
    socket: OwnedFd,
    board: &'static Board,
}

/// Memory that both see: for each step the notification that overhear took last. If overhear is
/// killed before it answers, nobody else is told of that one again, and its thread would wait for
/// ever; knowing the number, the guard can answer.
type Board = [AtomicU64; WARDS_MAX];

/// Notifications are numbered one by one, so the one that overhear took just before it could write
/// the number down is at most as far away as there are threads waiting.
const UNWRITTEN_MAX: u64 = 4096;

/// Starts the guard, if it has not been started. Where that fails there is none: overhear works,
/// but a killed overhear leaves processes behind.
pub fn start() {
    GUARD.get_or_init(fork_guard);
}

/// A step whose tree is under guard. Dropping it says that all is over.
#[derive(Debug)]
pub struct Ward {
    id: u32,
    kept: bool,
}

impl Ward {
    /// Puts a session under guard, with its listener if it is traced, and with the memory file of its
    /// notes if it notes anything.
    pub fn arm(session: i32, listener: Option<BorrowedFd<'_>>, notes: Option<BorrowedFd<'_>>) -> Ward {
        start();
        let ward = Ward { id: NEXT.fetch_add(1, Ordering::Relaxed), kept: false };
        ward.taking(0);
        let fds = [listener, notes].map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd()));
        let count = fds.iter().take_while(|fd| **fd >= 0).count();
        tell(Order { what: ARM, id: ward.id, session }, &fds[..count]);
        ward
    }

    /// Notes the notification that is about to be answered.
    pub fn taking(&self, notification: u64) {
        if let Some(Some(guard)) = GUARD.get() {
            guard.board[self.id as usize % WARDS_MAX].store(notification, Ordering::Release);
        }
    }

    /// Ends the processes that are left.
    pub fn end(mut self) {
        self.kept = true;
        tell(Order { what: END, id: self.id, session: 0 }, &[]);
    }

    /// Lets processes on that are left. `false` if there is no guard to do it.
    pub fn keep(mut self, descriptors: &[BorrowedFd<'_>]) -> bool {
        let mut fds = [-1; FDS_MAX];
        let count = descriptors.len().min(FDS_MAX);
        for (slot, fd) in fds.iter_mut().zip(descriptors) {
            *slot = fd.as_raw_fd();
        }
        self.kept = true;
        KEEPS.store(true, Ordering::Release);
        tell(Order { what: KEEP, id: self.id, session: 0 }, &fds[..count])
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if !self.kept {
            tell(Order { what: DISARM, id: self.id, session: 0 }, &[]);
        }
    }
}

fn tell(order: Order, fds: &[RawFd]) -> bool {
    let Some(Some(guard)) = GUARD.get() else { return false };
    // SAFETY: three words in C layout have no padding.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&order).cast(), size_of::<Order>()) };
    send(guard.socket.as_raw_fd(), bytes, fds)
}

/// Sends bytes with up to three descriptors. Allocates nothing, so a forked child may call it.
pub(super) fn send(socket: RawFd, bytes: &[u8], fds: &[RawFd]) -> bool {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid `msghdr`. `part` and `control` outlive the call, and `control`
    // has room for the header and as many descriptors as are written.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let count = fds.len().min(FDS_MAX);
        if count > 0 {
            // Lengths are of another type with each libc.
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = libc::CMSG_SPACE((count * size_of::<RawFd>()) as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN((count * size_of::<RawFd>()) as u32) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(header).cast(), count);
        }
        loop {
            let sent = libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL);
            if sent >= 0 {
                return true;
            }
            if *libc::__errno_location() != libc::EINTR {
                return false;
            }
        }
    }
}

/// Room for the header and three descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives into `bytes`: how many bytes came (0: the other end is closed) and the descriptors.
/// Allocates nothing.
pub(super) fn receive(socket: RawFd, bytes: &mut [u8]) -> Option<(usize, [RawFd; FDS_MAX])> {
    let mut control = Control([0; 64]);
    let mut fds = [-1; FDS_MAX];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: as in `send`; descriptors are copied out only as far as the kernel says they go and
    // `fds` has room.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let length = loop {
            let length = libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if length >= 0 {
                break length as usize;
            }
            if *libc::__errno_location() != libc::EINTR {
                return None;
            }
        };
        let header = libc::CMSG_FIRSTHDR(&message);
        if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
            let space = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let count = (space / size_of::<RawFd>()).min(FDS_MAX);
            std::ptr::copy_nonoverlapping(libc::CMSG_DATA(header).cast(), fds.as_mut_ptr(), count);
        }
        Some((length, fds))
    }
}

fn fork_guard() -> Option<Guard> {
    let mut pair = [-1; 2];
    // SAFETY: a fresh mapping of zeros, large enough and aligned for the numbers, and never
    // unmapped.
    let board: &'static Board = unsafe {
        let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let page = libc::mmap(std::ptr::null_mut(), size_of::<Board>(), protection, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        &*page.cast()
    };
    // SAFETY: room for two descriptors; each has one owner afterwards: one end here, the other in
    // the child, which only makes system calls and never returns.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())
            != 0
        {
            return None;
        }
        let ours = OwnedFd::from_raw_fd(pair[0]);
        match libc::fork() {
            0 => serve(pair[1], board),
            pid => {
                libc::close(pair[1]);
                (pid > 0).then_some(Guard { pid, socket: ours, board })
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Free,
    Armed,
    Kept,
    Doomed,
}

#[derive(Clone, Copy)]
struct Slot {
    state: State,
    id: u32,
    session: i32,
    /// The listener and output pipes, -1 where there is none.
    fds: [RawFd; FDS_MAX],
    /// The memory file of the step's notes, or -1.
    notes: RawFd,
}

/// The guard's whole life.
///
/// # Safety
/// To be called in a freshly forked child only: takes over all of its descriptors.
unsafe fn serve(socket: RawFd, board: &Board) -> ! {
    // SAFETY: system calls on numbers and on memory of this frame.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"overhear-guard".as_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE, libc::SIGQUIT] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::dup3(socket, 0, libc::O_CLOEXEC);
        libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
        libc::chdir(c"/".as_ptr());
        let mut slots =
            [Slot { state: State::Free, id: 0, session: 0, fds: [-1; FDS_MAX], notes: -1 }; WARDS_MAX];
        let mut orphaned = false;
        loop {
            if orphaned && slots.iter().all(|slot| slot.state == State::Free) {
                libc::_exit(0);
            }
            if turn(&mut slots, orphaned, board) {
                orphaned = true;
                for slot in &mut slots {
                    doom(slot, board);
                }
            }
        }
    }
}

/// Waits once and does what there is to do; `true` when overhear has just gone.
unsafe fn turn(slots: &mut [Slot; WARDS_MAX], orphaned: bool, board: &Board) -> bool {
    const ALL: usize = 1 + WARDS_MAX * FDS_MAX;
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; ALL];
    if !orphaned {
        polled[0].fd = 0;
    }
    for (at, slot) in slots.iter().enumerate() {
        if matches!(slot.state, State::Kept | State::Doomed) {
            for (fd_at, fd) in slot.fds.iter().enumerate() {
                polled[1 + at * FDS_MAX + fd_at].fd = *fd;
            }
        }
    }
    // SAFETY: as many entries as said.
    if unsafe { libc::poll(polled.as_mut_ptr(), ALL as libc::nfds_t, -1) } < 0 {
        return false;
    }
    for (at, slot) in slots.iter_mut().enumerate() {
        for fd_at in 0..FDS_MAX {
            let revents = polled[1 + at * FDS_MAX + fd_at].revents;
            if revents != 0 {
                // SAFETY: the descriptor was polled, so it is this slot's and open.
                unsafe { attend(slot, fd_at, revents) };
            }
        }
    }
    // SAFETY: descriptor 0 is the socket.
    polled[0].revents != 0 && unsafe { !obey(slots, board) }
}

/// One descriptor of a kept or doomed step has something.
unsafe fn attend(slot: &mut Slot, fd_at: usize, revents: i16) {
    let fd = slot.fds[fd_at];
    // SAFETY: system calls on this slot's descriptor and memory of this frame.
    unsafe {
        if revents & libc::POLLIN == 0 {
            libc::close(fd);
            slot.fds[fd_at] = -1;
        } else if fd_at > 0 {
            let mut sink = [0u8; 4096];
            if libc::read(fd, sink.as_mut_ptr().cast(), sink.len()) <= 0 {
                libc::close(fd);
                slot.fds[fd_at] = -1;
            }
        } else {
            let mut notice: libc::seccomp_notif = std::mem::zeroed();
            if libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) != 0 {
                return;
            }
            if slot.state == State::Doomed {
                libc::kill(notice.pid as i32, libc::SIGKILL);
            } else {
                go_on(fd, notice.id);
            }
        }
    }
    if slot.fds == [-1; FDS_MAX] {
        slot.state = State::Free;
    }
}

/// Lets a call go on. `false` where the thread is gone, or where the kernel cannot (before Linux 5.5).
pub(super) fn go_on(listener: RawFd, id: u64) -> bool {
    let response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    // SAFETY: the kernel reads the response.
    unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) == 0 }
}

/// Takes one order; `false` when there are no more.
unsafe fn obey(slots: &mut [Slot; WARDS_MAX], board: &Board) -> bool {
    let mut order = Order { what: 0, id: 0, session: 0 };
    // SAFETY: the order is plain words that may be overwritten by any bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut((&raw mut order).cast::<u8>(), size_of::<Order>()) };
    let Some((length, fds)) = receive(0, bytes) else { return false };
    if length == 0 {
        return false;
    }
    let wanted = if order.what == ARM { State::Free } else { State::Armed };
    let slot =
        slots.iter_mut().find(|slot| slot.state == wanted && (order.what == ARM || slot.id == order.id));
    let Some(slot) = slot else {
        close_all(&fds);
        return true;
    };
    match order.what {
        ARM => {
            let (id, session, notes) = (order.id, order.session, fds[1]);
            *slot = Slot { state: State::Armed, id, session, fds: [fds[0], -1, -1], notes };
        }
        KEEP => {
            // The listener came when the step was armed; what comes now are its pipes.
            close(&mut slot.notes);
            let spare = slot.fds;
            slot.fds = [spare[0], fds[0], fds[1]];
            slot.state = State::Kept;
            if slot.fds == [-1; FDS_MAX] {
                slot.state = State::Free;
            }
        }
        END => doom(slot, board),
        _ => {
            close(&mut slot.notes);
            close_all(&slot.fds);
            slot.state = State::Free;
        }
    }
    true
}

fn close(fd: &mut RawFd) {
    close_all(&[std::mem::replace(fd, -1), -1, -1]);
}

fn close_all(fds: &[RawFd; FDS_MAX]) {
    for fd in fds {
        if *fd >= 0 {
            // SAFETY: the guard owns what it was sent.
            unsafe { libc::close(*fd) };
        }
    }
}

/// Ends the tree of a step whose overhear is gone: its group and session at once, and whoever
/// left those when it next asks the kernel for a path.
fn doom(slot: &mut Slot, board: &Board) {
    if slot.state != State::Armed {
        return;
    }
    // Whoever notes what it asks, instead of being stopped there, is to be stopped from now on.
    if slot.notes >= 0 {
        let closed = 1u32.to_ne_bytes();
        // SAFETY: four bytes of this frame.
        unsafe { libc::pwrite(slot.notes, closed.as_ptr().cast(), closed.len(), CLOSED_AT as libc::off_t) };
        close(&mut slot.notes);
    }
    kill_session(slot.session);
    let taken = board[slot.id as usize % WARDS_MAX].load(Ordering::Acquire);
    if slot.fds[0] >= 0 && taken != 0 {
        // Whoever waited for this answer goes on to its next call, which is told to us.
        for ahead in 0..UNWRITTEN_MAX {
            go_on(slot.fds[0], taken.wrapping_add(ahead));
        }
    }
    slot.state = if slot.fds[0] >= 0 { State::Doomed } else { State::Free };
}

/// Kills the process group and every process of the session of this number. Allocates nothing.
pub fn kill_session(session: i32) {
    if session <= 1 {
        return;
    }
    // SAFETY: system calls on numbers and memory of this frame.
    unsafe {
        libc::kill(-session, libc::SIGKILL);
        let folder = libc::open(c"/proc".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if folder < 0 {
            return;
        }
        #[repr(align(8))]
        struct Names([u8; 8192]);
        let mut names = Names([0; 8192]);
        loop {
            let length = libc::syscall(libc::SYS_getdents64, folder, names.0.as_mut_ptr(), names.0.len());
            if length <= 0 {
                break;
            }
            let mut at = 0usize;
            while at + 19 < length as usize {
                let record = u16::from_ne_bytes([names.0[at + 16], names.0[at + 17]]) as usize;
                let pid = number(&names.0[at + 19..]);
                if pid > 1 && session_of(pid) == session {
                    libc::kill(pid, libc::SIGKILL);
                }
                at += record.max(20);
            }
        }
        libc::close(folder);
    }
}

/// The decimal number that bytes begin with, up to a zero; 0 if they are none.
fn number(bytes: &[u8]) -> i32 {
    let mut number = 0i32;
    for byte in bytes {
        match byte {
            b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(i32::from(byte - b'0')),
            0 | b' ' => break,
            _ => return 0,
        }
    }
    number
}

fn session_of(pid: i32) -> i32 {
    // SAFETY: asks the kernel about a number.
    unsafe { libc::getsid(pid) }
}
