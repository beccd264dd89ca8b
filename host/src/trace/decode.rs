//! Turns one call of a stopped thread into events: reads paths from the thread's memory, and the folders that
//! they start from.

use crate::access::{Connection, Observed, Reach};
use crate::trace::calls::{Arch, Call, Follow, Op, Table};
use crate::trace::event::{Event, Place};
use crate::trace::notes::Reader;
use crate::trace::record::Recorder;
use crate::trace::resolve::{Who, is_deleted};
use crate::trace::sockets::{Address, Sockets};
use crate::trace::tracee::{self, Unread};
use overhear_trace_abi::sites::PROBE_SITES;
use rustc_hash::FxHashMap;

/// The size of the largest address (`struct sockaddr_un`), and a little more.
const ADDRESS_MAX: usize = 128;
/// Stands for the working directory where a descriptor is expected.
const CWD: i32 = libc::AT_FDCWD;

/// Everything between a stopped call and the recorder.
pub struct Decoder {
    table: Table,
    recorder: Recorder,
    /// What programs note by themselves.
    notes: Option<Reader>,
    sockets: Sockets,
    /// The process of each thread.
    threads: FxHashMap<u32, u32>,
    first: Text,
    second: Text,
}

/// A path as read, with the folder it starts from; buffers that are used again.
#[derive(Default)]
struct Text {
    base: Vec<u8>,
    path: Vec<u8>,
}

impl Text {
    fn place(&self) -> Place<'_> {
        Place { base: &self.base, path: &self.path }
    }
}

/// Why a call leads to no event.
enum Skip {
    /// The program gets an error of its own making, or asks nothing.
    Nothing,
    /// The trace cannot vouch for it.
    Poison(String),
}

impl From<Unread> for Skip {
    fn from(unread: Unread) -> Skip {
        match unread {
            Unread::BadAddress | Unread::Gone => Skip::Nothing,
            Unread::Forbidden => Skip::Poison("does not let its memory be read".into()),
        }
    }
}

impl Decoder {
    /// Feeds this recorder.
    pub fn new(recorder: Recorder) -> Decoder {
        let notes = recorder.spec.notes.clone().map(Reader::new);
        Decoder {
            notes,
            table: Table::new(),
            recorder,
            sockets: Sockets::default(),
            threads: FxHashMap::default(),
            first: Text::default(),
            second: Text::default(),
        }
    }

    /// Takes in the call that a thread is stopped at, after what was noted before it. `still_there` is asked
    /// after the thread has been looked into: its number may meanwhile belong to another.
    pub fn notice(&mut self, tid: u32, data: &libc::seccomp_data, still_there: impl Fn() -> bool) {
        self.recorder.observed.told += 1;
        let Some(call) = self.table.find(data.arch, data.nr) else { return };
        let who = who(&mut self.threads, &mut self.recorder, tid);
        let asked = Asked { call, who, arguments: data.args, narrow: data.arch == Arch::I386.audit() };
        let outcome = match call.op {
            Op::Poison => Err(Skip::Poison(format!("used {}", call.name))),
            Op::SocketCall => self.socket_call(&asked, &still_there),
            Op::Connect | Op::SendTo | Op::Bind | Op::Listen => self.socket(&asked, &still_there),
            _ => self.paths(&asked, &still_there),
        };
        if let Err(Skip::Poison(why)) = outcome
            && still_there()
        {
            self.distrust(tid, &why);
        }
    }

    /// The trace cannot vouch for what a thread does. `why` reads after the name of its program.
    pub fn distrust(&mut self, tid: u32, why: &str) {
        let who = who(&mut self.threads, &mut self.recorder, tid);
        let name = self.recorder.observed.process(who.pid).to_owned();
        self.recorder.observed.poison(format!("{name} {why}"));
    }

    /// All that was recorded.
    pub fn finish(mut self) -> Observed {
        self.take_notes();
        self.recorder.finish()
    }

    /// Takes in what programs have noted by themselves; whether there was anything. Everything that was noted
    /// was asked before what is told now.
    pub fn take_notes(&mut self) -> bool {
        let (threads, recorder) = (&mut self.threads, &mut self.recorder);
        let Some(notes) = &mut self.notes else { return false };
        notes.take(&self.table, recorder, &mut |recorder, pid| who(threads, recorder, pid))
    }

    /// How many accesses so far were taken to change something.
    pub fn changes(&self) -> u64 {
        self.recorder.changes()
    }

    /// The processes seen so far.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.recorder.observed.processes.keys().copied()
    }

    /// What a process is called.
    pub fn name(&self, pid: u32) -> &str {
        self.recorder.observed.process(pid)
    }

    fn paths(&mut self, asked: &Asked, still_there: &impl Fn() -> bool) -> Result<(), Skip> {
        let call = asked.call;
        let mut flags = asked.flags()?;
        let mut op = call.op;
        if op == Op::SetMetaFd {
            of_descriptor(&mut self.first, asked.who.tid, asked.number(call.path))?;
        } else {
            let is_about_fd = read_place(&mut self.first, asked, (call.at, call.path), op, flags)?;
            if is_about_fd && op == Op::SetMeta {
                op = Op::SetMetaFd;
            }
        }
        self.second.base.clear();
        self.second.path.clear();
        if call.second.1 >= 0 {
            read_place(&mut self.second, asked, call.second, Op::Rename, 0)?;
        }
        if call.name == "creat" {
            flags = (libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY) as u64;
        }
        if !still_there() {
            return Ok(());
        }
        if op == Op::Access
            && let Some(library) = self.first.path.strip_prefix(PROBE_SITES.as_bytes())
        {
            if let Some(notes) = &self.recorder.spec.notes {
                notes.add_sites(library);
            }
            return Ok(());
        }
        let follow = match call.follow {
            Follow::Yes => true,
            Follow::No => false,
            Follow::UnlessFlag => flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
            Follow::IfFlag => flags & libc::AT_SYMLINK_FOLLOW as u64 != 0,
        };
        let (place, second) = (self.first.place(), self.second.place());
        self.recorder.event(&Event { who: asked.who, op, place, second, flags, follow, given: None });
        Ok(())
    }

    /// i386: the real call and its arguments are behind a pointer.
    fn socket_call(&mut self, asked: &Asked, still_there: &impl Fn() -> bool) -> Result<(), Skip> {
        let name = match asked.arguments[0] {
            2 => "bind",
            3 => "connect",
            4 => "listen",
            11 => "sendto",
            _ => return Ok(()),
        };
        let mut words = [0u8; 24];
        // Calls have 2 to 6 arguments; more may not be readable.
        let count = match name {
            "listen" => 2,
            "sendto" => 6,
            _ => 3,
        };
        tracee::read_memory(asked.who.tid, asked.arguments[1], &mut words[..count * 4])?;
        let mut arguments = [0u64; 6];
        for (argument, word) in arguments.iter_mut().zip(words.chunks_exact(4)) {
            *argument = u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
        let call = self.table.named(name).ok_or(Skip::Nothing)?;
        self.socket(&Asked { call, who: asked.who, arguments, narrow: true }, still_there)
    }

    fn socket(&mut self, asked: &Asked, still_there: &impl Fn() -> bool) -> Result<(), Skip> {
        let tid = asked.who.tid;
        let fd = asked.arguments[0] as i32;
        let (pointer, length) = match asked.call.op {
            Op::SendTo => (asked.arguments[4], asked.arguments[5]),
            _ => (asked.arguments[1], asked.arguments[2]),
        };
        if matches!(asked.call.op, Op::Listen | Op::Bind)
            && let Some(inode) = tracee::socket_inode(tid, fd)
        {
            self.sockets.own(inode);
        }
        if asked.call.op == Op::Listen || pointer == 0 {
            return Ok(());
        }
        let mut bytes = [0u8; ADDRESS_MAX];
        let length = usize::try_from(length as u32).unwrap_or(0).min(ADDRESS_MAX);
        tracee::read_memory(tid, pointer, &mut bytes[..length])?;
        let address = Address::parse(&bytes[..length]);
        if let Address::Path(path) = &address {
            self.first.path.clone_from(path);
            base_of(&mut self.first, tid, CWD)?;
        }
        if !still_there() {
            return Ok(());
        }
        if asked.call.op == Op::Bind {
            self.bound(asked, &address);
        } else if let Some((to, reach)) = self.reached(asked, fd, &address) {
            let by = self.recorder.observed.process(asked.who.pid).to_owned();
            self.recorder.connection(Connection { to, by, reach });
        }
        Ok(())
    }

    fn bound(&mut self, asked: &Asked, address: &Address) {
        if !matches!(address, Address::Path(_)) {
            return;
        }
        let event = self.first.event(asked, Op::Bind, false);
        if let Some((path, _)) = self.recorder.socket_path(&event) {
            self.sockets.own_path(path);
        }
        self.recorder.event(&event);
    }

    fn reached(&mut self, asked: &Asked, fd: i32, address: &Address) -> Option<(String, Reach)> {
        let tid = asked.who.tid;
        match address {
            Address::Internet(address) => self.sockets.internet(tid, fd, *address),
            Address::Abstract(name) => self.sockets.abstract_name(tid, name),
            Address::Path(_) => {
                let event = self.first.event(asked, Op::Access, true);
                let (path, _) = self.recorder.socket_path(&event)?;
                let reached = self.sockets.path(tid, &path);
                self.recorder.event(&event);
                reached
            }
            Address::Other => None,
        }
    }
}

/// The process of a thread, by the numbers that we know them by.
fn who(threads: &mut FxHashMap<u32, u32>, recorder: &mut Recorder, tid: u32) -> Who {
    if let Some(pid) = threads.get(&tid) {
        return Who { pid: *pid, tid };
    }
    let (pid, name) = tracee::process_of(tid).unwrap_or((tid, "a process".into()));
    threads.insert(tid, pid);
    recorder.observed.processes.entry(pid).or_insert(name);
    Who { pid, tid }
}

impl Text {
    fn event<'a>(&'a self, asked: &Asked, op: Op, follow: bool) -> Event<'a> {
        Event {
            who: asked.who,
            op,
            place: self.place(),
            second: Place::default(),
            flags: 0,
            follow,
            given: None,
        }
    }
}

/// One call with its arguments.
struct Asked<'a> {
    call: &'a Call,
    who: Who,
    arguments: [u64; 6],
    /// Whether arguments are 32 bits wide.
    narrow: bool,
}

impl Asked<'_> {
    fn argument(&self, at: i8) -> u64 {
        let argument = usize::try_from(at).ok().and_then(|at| self.arguments.get(at)).copied().unwrap_or(0);
        if self.narrow { argument & u64::from(u32::MAX) } else { argument }
    }

    fn number(&self, at: i8) -> i32 {
        self.argument(at) as i32
    }

    fn flags(&self) -> Result<u64, Skip> {
        let flags = self.argument(self.call.flags);
        if self.call.op != Op::OpenHow {
            return Ok(flags);
        }
        let mut how = [0u8; 8];
        tracee::read_memory(self.who.tid, flags, &mut how)?;
        Ok(u64::from_ne_bytes(how))
    }
}

/// Reads a path and the folder that it starts from; `true` where the call has no path and is
/// about a descriptor instead.
fn read_place(
    text: &mut Text,
    asked: &Asked,
    (at, path): (i8, i8),
    op: Op,
    flags: u64,
) -> Result<bool, Skip> {
    let tid = asked.who.tid;
    text.base.clear();
    text.path.clear();
    let address = asked.argument(path);
    let fd = if at >= 0 { asked.number(at) } else { CWD };
    if address == 0 {
        // `utimensat(fd, NULL, …)` is `futimens`.
        if op == Op::SetMeta && at >= 0 && fd != CWD {
            return of_descriptor(text, tid, fd).map(|()| true);
        }
        return Err(Skip::Nothing);
    }
    tracee::read_text(tid, address, &mut text.path)?;
    if text.path.is_empty() {
        let about_fd = flags & libc::AT_EMPTY_PATH as u64 != 0;
        if about_fd && matches!(op, Op::SetMeta | Op::Exec | Op::Link) {
            return of_descriptor(text, tid, fd).map(|()| true);
        }
        return Err(Skip::Nothing);
    }
    base_of(text, tid, fd).map(|()| false)
}

/// The folder that a relative path starts from.
fn base_of(text: &mut Text, tid: u32, fd: i32) -> Result<(), Skip> {
    text.base.clear();
    if text.path.starts_with(b"/") {
        return Ok(());
    }
    if fd == CWD {
        tracee::cwd(tid, &mut text.base).map_err(|_| Skip::Nothing)?;
    } else {
        // A bad descriptor is the program's own mistake.
        text.base = tracee::descriptor(tid, fd).map_err(|_| Skip::Nothing)?;
    }
    let base = &text.base;
    if !base.starts_with(b"/") {
        // A descriptor of a pipe or socket is the program's mistake too.
        return Err(match fd {
            CWD => Skip::Poison("works in a folder that cannot be reached from here".into()),
            _ => Skip::Nothing,
        });
    }
    if is_deleted(base) {
        return Err(Skip::Poison("started a path from a folder that was removed".into()));
    }
    Ok(())
}

/// A call about what a descriptor leads to.
fn of_descriptor(text: &mut Text, tid: u32, fd: i32) -> Result<(), Skip> {
    text.path.clear();
    let base = tracee::descriptor(tid, fd).map_err(|_| Skip::Nothing)?;
    if !base.starts_with(b"/") {
        return Err(Skip::Nothing);
    }
    text.base = base;
    Ok(())
}
