//! What a stop means and how to go on from it: pure decisions, from numbers that the kernel gives.

use crate::trace::calls::{Op, Table};
use crate::trace::seccomp::filter;

/// `PTRACE_EVENT_STOP` of the kernel: not for a call, a signal or a new process.
const EVENT_STOP: i32 = 128;
/// What marks stops at calls, so that no signal looks like one.
const AT_CALL: i32 = libc::SIGTRAP | 0x80;
/// The flag of `clone` for a process that nobody traces.
const UNTRACED: u64 = libc::CLONE_UNTRACED as u64;

/// Why a thread is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is about to begin a call, or has ended one.
    Call,
    /// It is about to get this signal.
    Signal(i32),
    /// Its group was stopped by a signal, and waits to be continued.
    Group,
    /// It made a process or thread, executed a program, is new itself, or was asked to stop.
    Other,
}

impl Stop {
    /// From what `waitid` gives as status: the signal, and the event above it.
    pub fn of(status: i32) -> Stop {
        match (status & 0xff, status >> 8) {
            (AT_CALL, 0) => Stop::Call,
            (signal, 0) => Stop::Signal(signal),
            (libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU, EVENT_STOP) => Stop::Group,
            _ => Stop::Other,
        }
    }
}

/// What is done about a call before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing: it asks nothing that counts, or was noted by the program.
    Pass,
    /// It is taken in.
    Decode,
    /// It looks absent to the program.
    Absent,
    /// It makes a process, with the flags that are handed over, or lie at an address.
    Makes(Flags),
    /// The program wants to trace another (0: to be traced by its parent), and can do so only if nobody else does.
    Traces(u32),
}

/// The flags of a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// These.
    Are(u64),
    /// The word at this address.
    At(u64),
}

impl Flags {
    /// Whether nobody may trace the new process.
    pub fn are_untraced(flags: u64) -> bool {
        flags & UNTRACED != 0
    }
}

/// The numbers of the three calls that matter to the tracer itself, natively and for 32 bits.
mod number {
    pub const CLONE: [i32; 2] = [libc::SYS_clone as i32, 120];
    pub const CLONE3: [i32; 2] = [libc::SYS_clone3 as i32, 435];
    pub const PTRACE: [i32; 2] = [libc::SYS_ptrace as i32, 26];
}

/// What is to be done about a call. `gate` is the page from which calls that were noted are made.
pub fn act(table: &Table, data: &libc::seccomp_data, gate: Option<u64>) -> Act {
    if table.is_unknown(data.arch, data.nr) {
        return Act::Absent;
    }
    let narrow = usize::from(Table::is_narrow(data.arch));
    let argument = |at: usize| if narrow == 1 { data.args[at] & u64::from(u32::MAX) } else { data.args[at] };
    match data.nr {
        nr if nr == number::CLONE[narrow] => Act::Makes(Flags::Are(argument(0))),
        nr if nr == number::CLONE3[narrow] => Act::Makes(Flags::At(argument(0))),
        nr if nr == number::PTRACE[narrow] => match argument(0) as libc::c_uint {
            0 => Act::Traces(0),
            what if what == libc::PTRACE_ATTACH as libc::c_uint
                || what == libc::PTRACE_SEIZE as libc::c_uint =>
            {
                Act::Traces(argument(1) as u32)
            }
            _ => Act::Pass,
        },
        nr => match table.find(data.arch, nr) {
            None => Act::Pass,
            Some(call) if call.op == Op::Refuse => Act::Absent,
            Some(call) if narrow == 0 && filter::is_noted(call, data, gate) => Act::Pass,
            Some(_) => Act::Decode,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::calls::{Arch, CALLS, HIGHEST};

    fn data(arch: Arch, number: u32, args: [u64; 6]) -> libc::seccomp_data {
        libc::seccomp_data { nr: number as i32, arch: arch.audit(), instruction_pointer: 0x40_1000, args }
    }

    #[test]
    fn each_kind_of_stop_is_told_from_the_others() {
        let event = |event: i32, signal: i32| event << 8 | signal;
        for (status, stop) in [
            (libc::SIGTRAP | 0x80, Stop::Call),
            (libc::SIGTRAP, Stop::Signal(libc::SIGTRAP)),
            (libc::SIGSTOP, Stop::Signal(libc::SIGSTOP)),
            (libc::SIGINT, Stop::Signal(libc::SIGINT)),
            (event(128, libc::SIGSTOP), Stop::Group),
            (event(128, libc::SIGTTIN), Stop::Group),
            (event(128, libc::SIGTRAP), Stop::Other),
            (event(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP), Stop::Other),
            (event(libc::PTRACE_EVENT_VFORK, libc::SIGTRAP), Stop::Other),
        ] {
            assert_eq!(Stop::of(status), stop, "{status:x}");
        }
    }

    #[test]
    fn each_call_of_the_table_is_taken_in_and_what_is_unknown_looks_absent() {
        let table = Table::new();
        for arch in [Arch::X86_64, Arch::I386] {
            for call in CALLS {
                let Some(number) = arch.number(call) else { continue };
                let expected = if call.op == Op::Refuse { Act::Absent } else { Act::Decode };
                assert_eq!(
                    act(&table, &data(arch, number, [0; 6]), None),
                    expected,
                    "{arch:?} {}",
                    call.name
                );
            }
            for number in [HIGHEST + 1, 0x4000_0000, 0x4000_0101, u32::MAX] {
                assert_eq!(act(&table, &data(arch, number, [0; 6]), None), Act::Absent);
            }
        }
        let foreign = libc::seccomp_data { arch: 0xc000_00b7, ..data(Arch::X86_64, 0, [0; 6]) };
        assert_eq!(act(&table, &foreign, None), Act::Absent);
        assert_eq!(act(&table, &data(Arch::X86_64, libc::SYS_read as u32, [0; 6]), None), Act::Pass);
    }

    #[test]
    fn who_wants_to_trace_or_not_to_be_traced_is_noticed() {
        let table = Table::new();
        let native = |number: i64, args| act(&table, &data(Arch::X86_64, number as u32, args), None);
        let seize = libc::PTRACE_SEIZE as u64;
        assert_eq!(native(libc::SYS_ptrace, [0; 6]), Act::Traces(0));
        assert_eq!(native(libc::SYS_ptrace, [seize, 7, 0, 0, 0, 0]), Act::Traces(7));
        assert_eq!(native(libc::SYS_ptrace, [libc::PTRACE_CONT as u64, 7, 0, 0, 0, 0]), Act::Pass);
        assert_eq!(native(libc::SYS_clone, [UNTRACED, 0, 0, 0, 0, 0]), Act::Makes(Flags::Are(UNTRACED)));
        assert_eq!(native(libc::SYS_clone3, [64, 0, 0, 0, 0, 0]), Act::Makes(Flags::At(64)));
        let narrow = data(Arch::I386, 26, [16, 7, 0, 0, 0, 0]);
        assert_eq!(act(&table, &narrow, None), Act::Traces(7));
        assert!(Flags::are_untraced(UNTRACED | 17) && !Flags::are_untraced(17));
    }

    #[test]
    fn what_was_noted_is_not_taken_in_again() {
        let table = Table::new();
        let gate = 0x4567_89ab_c000;
        let from = |number: i64, flags: i32, at: u64| {
            let flags = flags as u64;
            let data = data(Arch::X86_64, number as u32, [0, flags, flags, 0, 0, 0]);
            act(&table, &libc::seccomp_data { instruction_pointer: at, ..data }, Some(gate))
        };
        assert_eq!(from(libc::SYS_openat, 0, gate + 2), Act::Pass);
        assert_eq!(from(libc::SYS_openat, libc::O_CREAT, gate + 2), Act::Decode);
        assert_eq!(from(libc::SYS_openat, 0, gate + 3), Act::Decode);
        assert_eq!(from(libc::SYS_unlink, 0, gate + 2), Act::Decode);
    }
}
