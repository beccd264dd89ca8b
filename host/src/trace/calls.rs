//! The one table of system calls that matter to a trace: name, numbers, where the arguments lie,
//! and what is asked. Filters and decoders are generated from it, so that they cannot disagree.
//!
//! Another architecture is one more column. `record` says what each call counts as.

/// What a call asks of a path or a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Open, with flags in a register.
    Open,
    /// `openat2`: flags in a `struct open_how`.
    OpenHow,
    /// Kind and permission.
    Access,
    /// Metadata.
    Stat,
    /// Text of a link.
    ReadLink,
    /// Execute.
    Exec,
    /// Change the working directory.
    Chdir,
    /// Take a name away; with `AT_REMOVEDIR` a folder.
    Unlink,
    /// Take a folder away.
    Rmdir,
    /// Rename: two paths.
    Rename,
    /// New name for a file: two paths.
    Link,
    /// New symlink; the path is the second text.
    Symlink,
    /// New folder.
    Mkdir,
    /// New special file.
    Mknod,
    /// Change of length; the new length is in the flags.
    Truncate,
    /// Permissions, owner, times, attributes.
    SetMeta,
    /// The same through a descriptor.
    SetMetaFd,
    /// Connect a socket.
    Connect,
    /// Give a socket an address.
    Bind,
    /// Make a socket take connections.
    Listen,
    /// Send to an address without a connection; only notified when there is an address.
    SendTo,
    /// i386: several socket calls behind one number.
    SocketCall,
    /// Change the root.
    Chroot,
    /// Anything after which paths can no longer be followed.
    Poison,
    /// Answered with `ENOSYS`: programs fall back to calls that are seen.
    Refuse,
}

/// Whether a symlink as last component is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Always.
    Yes,
    /// Never.
    No,
    /// Unless the flags have `AT_SYMLINK_NOFOLLOW`.
    UnlessFlag,
    /// Only if the flags have `AT_SYMLINK_FOLLOW`.
    IfFlag,
}

/// One system call. Argument positions count from 0; -1 is "has none".
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// As manual pages name it.
    pub name: &'static str,
    /// Number on x86_64, -1 if it has none there.
    pub x86_64: i16,
    /// Number on i386, -1 if it has none there.
    pub i386: i16,
    /// What is asked.
    pub op: Op,
    /// Argument with the folder's descriptor that a relative path starts from.
    pub at: i8,
    /// Argument with the address of the path, or with the descriptor for calls without a path.
    pub path: i8,
    /// The same two for the second path.
    pub second: (i8, i8),
    /// Argument with the flags.
    pub flags: i8,
    /// What happens with a link as last component.
    pub follow: Follow,
    /// Whether programs may note it by themselves: it changes nothing, and its answer says what lies there.
    pub may_be_noted: bool,
}

const fn call(
    name: &'static str,
    numbers: (i16, i16),
    op: Op,
    at: i8,
    path: i8,
    flags: i8,
    follow: Follow,
) -> Call {
    Call {
        name,
        x86_64: numbers.0,
        i386: numbers.1,
        op,
        at,
        path,
        second: (-1, -1),
        flags,
        follow,
        may_be_noted: false,
    }
}

impl Call {
    /// The same as one that only looks.
    const fn looks(self) -> Call {
        Call { may_be_noted: true, ..self }
    }
}

const fn pair(
    name: &'static str,
    numbers: (i16, i16),
    op: Op,
    first: (i8, i8),
    second: (i8, i8),
    flags: i8,
) -> Call {
    Call {
        name,
        x86_64: numbers.0,
        i386: numbers.1,
        op,
        at: first.0,
        path: first.1,
        second,
        flags,
        follow: Follow::IfFlag,
        may_be_noted: false,
    }
}

const fn bare(name: &'static str, numbers: (i16, i16), op: Op) -> Call {
    call(name, numbers, op, -1, -1, -1, Follow::Yes)
}

/// The highest number known, the same on both architectures. What is newer looks absent to the
/// program, rather than going unseen.
pub const HIGHEST: u32 = 469;
/// Calls of the x32 kind have this bit in their number. They look absent too.
pub const X32_BIT: u32 = 0x4000_0000;

use Follow::{IfFlag, No, UnlessFlag, Yes};

/// All of them.
#[rustfmt::skip]
pub static CALLS: &[Call] = &[
    //   name                   x86_64 i386  what            at path flags follow
    call("openat",              (257, 295), Op::Open,         0,  1,  2, Yes).looks(),
    call("open",                (2, 5),     Op::Open,        -1,  0,  1, Yes).looks(),
    call("creat",               (85, 8),    Op::Open,        -1,  0, -1, Yes),
    call("openat2",             (437, 437), Op::OpenHow,      0,  1,  2, Yes),
    call("newfstatat",          (262, 300), Op::Stat,         0,  1,  3, UnlessFlag).looks(),
    call("statx",               (332, 383), Op::Stat,         0,  1,  2, UnlessFlag).looks(),
    call("stat",                (4, 106),   Op::Stat,        -1,  0, -1, Yes).looks(),
    call("lstat",               (6, 107),   Op::Stat,        -1,  0, -1, No).looks(),
    call("stat64",              (-1, 195),  Op::Stat,        -1,  0, -1, Yes),
    call("lstat64",             (-1, 196),  Op::Stat,        -1,  0, -1, No),
    call("oldstat",             (-1, 18),   Op::Stat,        -1,  0, -1, Yes),
    call("oldlstat",            (-1, 84),   Op::Stat,        -1,  0, -1, No),
    call("access",              (21, 33),   Op::Access,      -1,  0, -1, Yes).looks(),
    call("faccessat",           (269, 307), Op::Access,       0,  1, -1, Yes).looks(),
    call("faccessat2",          (439, 439), Op::Access,       0,  1,  3, UnlessFlag).looks(),
    call("readlink",            (89, 85),   Op::ReadLink,    -1,  0, -1, No).looks(),
    call("readlinkat",          (267, 305), Op::ReadLink,     0,  1, -1, No).looks(),
    call("execve",              (59, 11),   Op::Exec,        -1,  0, -1, Yes),
    call("execveat",            (322, 358), Op::Exec,         0,  1,  4, UnlessFlag),
    call("uselib",              (134, 86),  Op::Exec,        -1,  0, -1, Yes),
    call("chdir",               (80, 12),   Op::Chdir,       -1,  0, -1, Yes),
    call("unlink",              (87, 10),   Op::Unlink,      -1,  0, -1, No),
    call("unlinkat",            (263, 301), Op::Unlink,       0,  1,  2, No),
    call("rmdir",               (84, 40),   Op::Rmdir,       -1,  0, -1, No),
    pair("rename",              (82, 38),   Op::Rename,      (-1, 0), (-1, 1), -1),
    pair("renameat",            (264, 302), Op::Rename,      (0, 1),  (2, 3),  -1),
    pair("renameat2",           (316, 353), Op::Rename,      (0, 1),  (2, 3),   4),
    pair("link",                (86, 9),    Op::Link,        (-1, 0), (-1, 1), -1),
    pair("linkat",              (265, 303), Op::Link,        (0, 1),  (2, 3),   4),
    call("symlink",             (88, 83),   Op::Symlink,     -1,  1, -1, No),
    call("symlinkat",           (266, 304), Op::Symlink,      1,  2, -1, No),
    call("mkdir",               (83, 39),   Op::Mkdir,       -1,  0, -1, No),
    call("mkdirat",             (258, 296), Op::Mkdir,        0,  1, -1, No),
    call("mknod",               (133, 14),  Op::Mknod,       -1,  0, -1, No),
    call("mknodat",             (259, 297), Op::Mknod,        0,  1, -1, No),
    call("truncate",            (76, 92),   Op::Truncate,    -1,  0,  1, Yes),
    call("truncate64",          (-1, 193),  Op::Truncate,    -1,  0,  1, Yes),
    call("chmod",               (90, 15),   Op::SetMeta,     -1,  0, -1, Yes),
    call("fchmodat",            (268, 306), Op::SetMeta,      0,  1, -1, Yes),
    call("fchmodat2",           (452, 452), Op::SetMeta,      0,  1,  3, UnlessFlag),
    call("chown",               (92, 182),  Op::SetMeta,     -1,  0, -1, Yes),
    call("lchown",              (94, 16),   Op::SetMeta,     -1,  0, -1, No),
    call("chown32",             (-1, 212),  Op::SetMeta,     -1,  0, -1, Yes),
    call("lchown32",            (-1, 198),  Op::SetMeta,     -1,  0, -1, No),
    call("fchownat",            (260, 298), Op::SetMeta,      0,  1,  4, UnlessFlag),
    call("utime",               (132, 30),  Op::SetMeta,     -1,  0, -1, Yes),
    call("utimes",              (235, 271), Op::SetMeta,     -1,  0, -1, Yes),
    call("futimesat",           (261, 299), Op::SetMeta,      0,  1, -1, Yes),
    call("utimensat",           (280, 320), Op::SetMeta,      0,  1,  3, UnlessFlag),
    call("utimensat_time64",    (-1, 412),  Op::SetMeta,      0,  1,  3, UnlessFlag),
    call("setxattr",            (188, 226), Op::SetMeta,     -1,  0, -1, Yes),
    call("lsetxattr",           (189, 227), Op::SetMeta,     -1,  0, -1, No),
    call("removexattr",         (197, 235), Op::SetMeta,     -1,  0, -1, Yes),
    call("lremovexattr",        (198, 236), Op::SetMeta,     -1,  0, -1, No),
    call("setxattrat",          (463, 463), Op::SetMeta,      0,  1,  2, UnlessFlag),
    call("removexattrat",       (466, 466), Op::SetMeta,      0,  1,  2, UnlessFlag),
    call("file_setattr",        (469, 469), Op::SetMeta,      0,  1,  4, UnlessFlag),
    call("fchmod",              (91, 94),   Op::SetMetaFd,   -1,  0, -1, Yes),
    call("fchown",              (93, 95),   Op::SetMetaFd,   -1,  0, -1, Yes),
    call("fchown32",            (-1, 207),  Op::SetMetaFd,   -1,  0, -1, Yes),
    call("fsetxattr",           (190, 228), Op::SetMetaFd,   -1,  0, -1, Yes),
    call("fremovexattr",        (199, 237), Op::SetMetaFd,   -1,  0, -1, Yes),
    call("getxattr",            (191, 229), Op::Stat,        -1,  0, -1, Yes),
    call("lgetxattr",           (192, 230), Op::Stat,        -1,  0, -1, No),
    call("listxattr",           (194, 232), Op::Stat,        -1,  0, -1, Yes),
    call("llistxattr",          (195, 233), Op::Stat,        -1,  0, -1, No),
    call("getxattrat",          (464, 464), Op::Stat,         0,  1,  2, UnlessFlag),
    call("listxattrat",         (465, 465), Op::Stat,         0,  1,  2, UnlessFlag),
    call("file_getattr",        (468, 468), Op::Stat,         0,  1,  4, UnlessFlag),
    call("name_to_handle_at",   (303, 341), Op::Stat,         0,  1,  4, IfFlag),
    call("inotify_add_watch",   (254, 292), Op::Stat,        -1,  1, -1, Yes),
    call("fanotify_mark",       (301, -1),  Op::Stat,         3,  4, -1, Yes),
    call("fanotify_mark",       (-1, 339),  Op::Stat,         4,  5, -1, Yes),
    call("connect",             (42, 362),  Op::Connect,     -1,  0, -1, Yes),
    call("bind",                (49, 361),  Op::Bind,        -1,  0, -1, Yes),
    call("listen",              (50, 363),  Op::Listen,      -1,  0, -1, Yes),
    call("sendto",              (44, 369),  Op::SendTo,      -1,  0, -1, Yes),
    bare("socketcall",          (-1, 102),  Op::SocketCall),
    call("chroot",              (161, 61),  Op::Chroot,      -1,  0, -1, Yes),
    bare("open_by_handle_at",   (304, 342), Op::Poison),
    bare("mount",               (165, 21),  Op::Poison),
    bare("umount",              (-1, 22),   Op::Poison),
    bare("umount2",             (166, 52),  Op::Poison),
    bare("pivot_root",          (155, 217), Op::Poison),
    bare("setns",               (308, 346), Op::Poison),
    bare("open_tree",           (428, 428), Op::Poison),
    bare("open_tree_attr",      (467, 467), Op::Poison),
    bare("move_mount",          (429, 429), Op::Poison),
    bare("fsopen",              (430, 430), Op::Poison),
    bare("fsmount",             (432, 432), Op::Poison),
    bare("fspick",              (433, 433), Op::Poison),
    bare("mount_setattr",       (442, 442), Op::Poison),
    bare("io_uring_setup",      (425, 425), Op::Refuse),
];

/// Which set of numbers a call was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit.
    X86_64,
    /// 32-bit, also through `int 0x80` from 64-bit code.
    I386,
}

impl Arch {
    /// `AUDIT_ARCH_*` of the kernel.
    pub const fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::I386 => 0x4000_0003,
        }
    }

    /// The number of a call here, if it has one.
    pub fn number(self, call: &Call) -> Option<u32> {
        u32::try_from(match self {
            Arch::X86_64 => call.x86_64,
            Arch::I386 => call.i386,
        })
        .ok()
    }
}

/// Finds calls by number.
pub struct Table {
    x86_64: Vec<Option<&'static Call>>,
    i386: Vec<Option<&'static Call>>,
}

impl Table {
    /// Indexes [`CALLS`].
    pub fn new() -> Table {
        let index = |arch: Arch| {
            let mut by_number = vec![None; HIGHEST as usize + 1];
            for call in CALLS {
                if let Some(number) = arch.number(call) {
                    by_number[number as usize] = Some(call);
                }
            }
            by_number
        };
        Table { x86_64: index(Arch::X86_64), i386: index(Arch::I386) }
    }

    /// The call behind a notification.
    pub fn find(&self, audit_arch: u32, number: i32) -> Option<&'static Call> {
        let by_number = if audit_arch == Arch::I386.audit() { &self.i386 } else { &self.x86_64 };
        by_number.get(usize::try_from(number).ok()?).copied().flatten()
    }

    /// Whether a call is of a kind that nobody knows: it looks absent to the program.
    pub fn is_unknown(&self, audit_arch: u32, number: i32) -> bool {
        let is_known_arch = [Arch::X86_64, Arch::I386].iter().any(|arch| arch.audit() == audit_arch);
        !is_known_arch || number as u32 > HIGHEST
    }

    /// Whether calls of this kind have numbers and arguments of 32 bits.
    pub fn is_narrow(audit_arch: u32) -> bool {
        audit_arch == Arch::I386.audit()
    }

    /// The first call of this name.
    pub fn named(&self, name: &str) -> Option<&'static Call> {
        CALLS.iter().find(|call| call.name == name)
    }
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        for arch in [Arch::X86_64, Arch::I386] {
            let mut numbers: Vec<u32> = CALLS.iter().filter_map(|call| arch.number(call)).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all);
            assert!(numbers.iter().all(|number| *number <= HIGHEST));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn native_numbers_are_those_of_the_system_headers() {
        for (name, number) in [
            ("openat", libc::SYS_openat),
            ("statx", libc::SYS_statx),
            ("execveat", libc::SYS_execveat),
            ("utimensat", libc::SYS_utimensat),
            ("setns", libc::SYS_setns),
            ("fchmodat2", libc::SYS_fchmodat2),
            ("faccessat2", libc::SYS_faccessat2),
        ] {
            let call = CALLS.iter().find(|call| call.name == name).expect("it is in the table");
            assert_eq!(i64::from(call.x86_64), number, "{name}");
        }
    }
}
