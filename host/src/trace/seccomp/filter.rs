//! The filter that a step's whole process tree inherits, generated from the table of calls.
//! It only decides who is told; what a call means is `decode`'s.

use crate::trace::calls::{Arch, CALLS, Call, HIGHEST, Op, X32_BIT};
use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};
use overhear_trace_abi::handle::{BEHIND_CALL, OWN_ENTRY};

const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const ABSENT: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const INSTRUCTION: u32 = 8;
const ARGUMENTS: u32 = 16;
/// Opening with one of these does not just read.
const CHANGES: u32 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE) as u32;
/// `sendto`'s argument with the address of a destination.
const DESTINATION: u32 = 4;

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn ret(action: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: action }
}

fn jump(how: u32, value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | how | BPF_K) as u16, jt, jf, k: value }
}

/// The whole program. `gate` is the page from which calls that only look are made after they were noted.
pub fn program(gate: Option<u64>) -> Vec<sock_filter> {
    let native = section(Arch::X86_64, gate);
    let compat = section(Arch::I386, None);
    let mut program = vec![load(ARCH), jump(BPF_JEQ, Arch::I386.audit(), 0, 1)];
    // Conditional jumps reach 255 instructions only; an unconditional one reaches any.
    let over_native = u32::try_from(native.len() + 2).expect("a filter has at most 4096 instructions");
    program.push(sock_filter { code: (BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k: over_native });
    program.push(jump(BPF_JEQ, Arch::X86_64.audit(), 1, 0));
    program.push(ret(ABSENT));
    program.extend(native);
    program.extend(compat);
    program
}

/// What is done for one architecture; ends in every case.
fn section(arch: Arch, gate: Option<u64>) -> Vec<sock_filter> {
    let mut numbers: Vec<(u32, &Call)> =
        CALLS.iter().filter_map(|call| Some((arch.number(call)?, call))).collect();
    numbers.sort_unstable_by_key(|(number, _)| *number);
    let mut section = vec![
        load(NUMBER),
        jump(BPF_JGE, X32_BIT, 0, 1),
        ret(ABSENT),
        jump(BPF_JGT, HIGHEST, 0, 1),
        ret(ABSENT),
    ];
    search(&numbers, gate, &mut section);
    section
}

/// A binary search over the sorted numbers.
fn search(numbers: &[(u32, &Call)], gate: Option<u64>, out: &mut Vec<sock_filter>) {
    if let [leaf @ ..] = numbers
        && leaf.len() <= 4
    {
        for (number, call) in leaf {
            let action = action(call, gate);
            let length = u8::try_from(action.len()).expect("a leaf is a few instructions");
            out.push(jump(BPF_JEQ, *number, 0, length));
            out.extend(action);
        }
        out.push(ret(ALLOW));
        return;
    }
    let (low, high) = numbers.split_at(numbers.len() / 2);
    let mut below = Vec::new();
    search(low, gate, &mut below);
    let length = u8::try_from(below.len()).expect("half of the calls fit in one jump");
    out.push(jump(BPF_JGE, high[0].0, length, 0));
    out.extend(below);
    search(high, gate, out);
}

fn action(call: &Call, gate: Option<u64>) -> Vec<sock_filter> {
    match call.op {
        Op::Refuse => vec![ret(ABSENT)],
        // Sending on a connected socket is frequent and names nobody.
        Op::SendTo => {
            let low = ARGUMENTS + 8 * DESTINATION;
            vec![
                load(low),
                jump(BPF_JEQ, 0, 0, 2),
                load(low + 4),
                jump(BPF_JEQ, 0, 1, 0),
                ret(NOTIFY),
                ret(ALLOW),
            ]
        }
        _ => match gate {
            Some(gate) if call.may_be_noted => through(call, gate),
            _ => vec![ret(NOTIFY)],
        },
    }
}

/// Lets a call through where it comes from the gate and only looks.
fn through(call: &Call, gate: u64) -> Vec<sock_filter> {
    let flags = (call.op == Op::Open).then(|| ARGUMENTS + 8 * u32::from(call.flags.unsigned_abs()));
    let mut action = vec![load(INSTRUCTION + 4), jump(BPF_JEQ, (gate >> 32) as u32, 1, 0), ret(NOTIFY)];
    action.push(load(INSTRUCTION));
    let entry = |entry: usize| (gate as u32).wrapping_add((entry + BEHIND_CALL) as u32);
    if flags.is_some() {
        // Overhear's own library, opening the memory that it shares with us.
        action.extend([jump(BPF_JEQ, entry(OWN_ENTRY), 0, 1), ret(ALLOW)]);
    }
    action.extend([jump(BPF_JEQ, entry(0), 1, 0), ret(NOTIFY)]);
    if let Some(flags) = flags {
        action.extend([load(flags), jump(BPF_JSET, CHANGES, 0, 1), ret(NOTIFY)]);
    }
    action.push(ret(ALLOW));
    action
}

/// The same decision outside the kernel: whether a native call was noted before it was made.
pub fn is_noted(call: &Call, data: &libc::seccomp_data, gate: Option<u64>) -> bool {
    let Some(gate) = gate.filter(|_| call.may_be_noted) else { return false };
    let flags = (call.op == Op::Open).then(|| data.args[usize::from(call.flags.unsigned_abs())] as u32);
    let entry = |entry: usize| gate + (entry + BEHIND_CALL) as u64;
    match flags {
        Some(_) if data.instruction_pointer == entry(OWN_ENTRY) => true,
        Some(flags) if flags & CHANGES != 0 => false,
        _ => data.instruction_pointer == entry(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries out the program as the kernel would.
    fn run(program: &[sock_filter], arch: u32, number: u32, destination: u64) -> u32 {
        run_from(program, arch, number, [0, 0, 0, 0, destination, 0], 0x40_1000)
    }

    fn run_from(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6], from: u64) -> u32 {
        let (mut accumulator, mut at) = (0u32, 0usize);
        loop {
            let instruction = &program[at];
            let code = u32::from(instruction.code);
            at += 1;
            if code & 7 == BPF_RET {
                return instruction.k;
            }
            if code & 7 == BPF_LD {
                accumulator = match instruction.k {
                    NUMBER => number,
                    ARCH => arch,
                    INSTRUCTION => from as u32,
                    offset if offset == INSTRUCTION + 4 => (from >> 32) as u32,
                    offset if offset >= ARGUMENTS => {
                        let argument = arguments[(offset - ARGUMENTS) as usize / 8];
                        (argument >> ((offset - ARGUMENTS) % 8 * 8)) as u32
                    }
                    offset => panic!("unexpected load of {offset}"),
                };
                continue;
            }
            let holds = match code & 0xf0 {
                libc::BPF_JA => {
                    at += instruction.k as usize;
                    continue;
                }
                BPF_JEQ => accumulator == instruction.k,
                BPF_JSET => accumulator & instruction.k != 0,
                BPF_JGE => accumulator >= instruction.k,
                BPF_JGT => accumulator > instruction.k,
                other => panic!("unexpected jump {other}"),
            };
            at += usize::from(if holds { instruction.jt } else { instruction.jf });
        }
    }

    #[test]
    fn each_number_gets_what_the_table_says_and_all_others_pass() {
        for program in [program(None), program(Some(0x4567_89ab_c000))] {
            assert!(program.len() < 4096);
            for arch in [Arch::X86_64, Arch::I386] {
                for number in 0..HIGHEST + 20 {
                    let call = CALLS.iter().find(|call| arch.number(call) == Some(number));
                    let expected = match call.map(|call| call.op) {
                        _ if number > HIGHEST => ABSENT,
                        None => ALLOW,
                        Some(Op::Refuse) => ABSENT,
                        Some(_) => NOTIFY,
                    };
                    assert_eq!(run(&program, arch.audit(), number, 1 << 40), expected, "{arch:?} {number}");
                    assert_eq!(run(&program, arch.audit(), number | X32_BIT, 0), ABSENT);
                }
            }
            assert_eq!(run(&program, 0xc000_00b7, 0, 0), ABSENT);
        }
    }

    #[test]
    fn only_calls_from_the_gate_that_change_nothing_pass_it() {
        let gate = 0x4567_89ab_c000;
        let program = program(Some(gate));
        let from = |number: i64, flags: i32, from: u64| {
            let args = [0, flags as u64, flags as u64, 0, 0, 0];
            let done = run_from(&program, Arch::X86_64.audit(), number as u32, args, from);
            let (nr, arch) = (number as i32, Arch::X86_64.audit());
            let data = libc::seccomp_data { nr, arch, instruction_pointer: from, args };
            let call =
                CALLS.iter().find(|call| i64::from(call.x86_64) == number).expect("it is in the table");
            assert_eq!(is_noted(call, &data, Some(gate)), done == ALLOW, "{number} from {from:x}");
            done
        };
        let behind = gate + BEHIND_CALL as u64;
        for number in
            [libc::SYS_openat, libc::SYS_open, libc::SYS_statx, libc::SYS_readlink, libc::SYS_access]
        {
            assert_eq!(from(number, libc::O_CLOEXEC, behind), ALLOW);
            assert_eq!(from(number, 0, behind + (1 << 32)), NOTIFY);
            assert_eq!(from(number, 0, behind + 1), NOTIFY);
        }
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_DIRECTORY] {
            assert_eq!(from(libc::SYS_openat, flags, behind), NOTIFY);
        }
        assert_eq!(from(libc::SYS_openat, libc::O_RDWR, behind + OWN_ENTRY as u64), ALLOW);
        assert_eq!(from(libc::SYS_statx, 0, behind + OWN_ENTRY as u64), NOTIFY);
        for number in
            [libc::SYS_unlink, libc::SYS_execve, libc::SYS_chdir, libc::SYS_openat2, libc::SYS_getxattr]
        {
            assert_eq!(from(number, 0, behind), NOTIFY);
        }
        let other = [0; 6];
        assert_eq!(run_from(&program, Arch::I386.audit(), 5, other, behind), NOTIFY);
    }

    #[test]
    fn sending_without_a_destination_is_not_told() {
        let program = program(None);
        let number = libc::SYS_sendto as u32;
        assert_eq!(run(&program, Arch::X86_64.audit(), number, 0), ALLOW);
        assert_eq!(run(&program, Arch::X86_64.audit(), number, 7), NOTIFY);
    }
}
