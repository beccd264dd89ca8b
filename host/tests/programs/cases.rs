//! The cases of `calls.c`: what each must leave among the facts, the programs, and the folder that each
//! starts in. Two tests hold them: against this table, and against what strace shows.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What must be among the facts, or with `!` must not. A fact is what was asked, the path below
/// the folder of the case, and what lay there (`f`ile, `d` folder, `l`ink, `o`ther, `-` nothing).
/// `blind` and `change` are first changes that could not and could show the old content.
pub const CASES: &[(&str, &[&str])] = &[
    ("read", &["read a f", "!blind a f", "!change a f"]),
    ("missing", &["read none -", "kind none2 -", "stat no/deep -"]),
    ("stat", &["stat a f", "!read a f"]),
    ("access", &["kind a f", "!read a f", "!stat a f"]),
    ("inline_open", &["read a f"]),
    ("inline_statx", &["stat a f"]),
    ("syscalls", &["read a f", "read b f"]),
    ("vfork", &["read a f"]),
    ("no_environment", &["read a f"]),
    ("spawn_actions", &["read b f", "read d/a f", "!read a f"]),
    ("clone", &["read a f"]),
    ("parent_first", &["read a f", "!detached"]),
    ("close_all", &["read a f", "!detached"]),
    ("threads", &["read a f", "read b f"]),
    ("thread_cwd", &["read d/a f", "read b f", "!read a f", "!read d/b f"]),
    ("io_uring", &["!incomplete"]),
    ("x32", &["!incomplete"]),
    ("unknown", &["!incomplete"]),
    ("int80", &["read a f"]),
    ("handle_to", &["stat a f", "!incomplete"]),
    ("handle_open", &["incomplete"]),
    ("fexecve", &["read a f", "!incomplete"]),
    ("execveat", &["read a f", "!incomplete"]),
    ("renamed_dirfd", &["read e/a f", "removed d/a", "list d d", "blind e/a -", "change-kept e -"]),
    ("fchdir", &["read d/a f", "!read a f"]),
    ("raw_chdir", &["read d/a f", "!read a f"]),
    ("gone_cwd", &["incomplete"]),
    ("links", &["link l1 l", "link l2 l", "read a f", "!read l1 l"]),
    (
        "stat_links",
        &[
            "link l1 l",
            "link l2 l",
            "stat a f",
            "link dl l",
            "stat d/s d",
            "link dangling l",
            "stat nowhere -",
            "stat b f",
            "!stat l1 l",
        ],
    ),
    ("access_links", &["link l1 l", "link l2 l", "kind a f", "link dangling l", "kind nowhere -"]),
    ("link_dotdot", &["link dl l", "read d/b f", "!read b f"]),
    ("dangling", &["link dangling l", "read nowhere -"]),
    ("nofollow", &["stat l1 l", "!link l1 l", "!read a f", "!stat a f"]),
    ("path_reopen", &["link l1 l", "read a f"]),
    ("readlink", &["link l1 l", "kind a f", "!stat a f"]),
    ("mmap", &["read a f", "change a f"]),
    ("truncate_then_read", &["blind a f", "change-before-read a"]),
    ("read_then_truncate", &["read a f", "blind a f", "!change-before-read a"]),
    ("append", &["read a f", "change a f"]),
    ("create", &["blind new -", "!read new -"]),
    ("creat", &["blind new -"]),
    ("no_folder", &["kind a f", "!read a f", "read b f"]),
    ("excl", &["blind new -", "kind a f", "!read a f", "!change a f", "!blind a f"]),
    ("replace", &["blind a f", "!read a f", "removed tmp", "blind tmp -"]),
    ("rename", &["read a f", "removed a", "blind moved -"]),
    ("rename_refused", &["kind d d", "kind a f", "kind b f", "!removed d", "!removed b", "!blind a f"]),
    (
        "rename_self",
        &[
            "kind a f",
            "!change a f",
            "!removed a",
            "kind l1 l",
            "!removed l1",
            "!blind l1 l",
            "!removed d",
            "!removed b",
        ],
    ),
    (
        "rename_folder",
        &[
            "blind dist/x -",
            "blind dist/s/y -",
            "blind dist -",
            "removed t/x",
            "removed t",
            "!list t d",
            "change-before-read dist/x",
        ],
    ),
    ("move_folder", &["read d/a f", "removed d/a", "blind e/a -", "removed d", "list d d", "blind e/s -"]),
    ("noreplace", &["kind b f", "!removed a", "!blind b f"]),
    ("exchange", &["read a f", "read b f", "blind a f", "blind b f"]),
    ("tmpfile", &["blind new -", "!read new -", "!incomplete"]),
    ("hard_link", &["read a f", "blind new -"]),
    ("symlink", &["blind new -", "!read a f"]),
    ("truncate", &["blind a f", "!read a f", "read b f", "change b f"]),
    ("unlink_recreate", &["blind a f", "removed a", "change-before-read a"]),
    ("unlink", &["removed a", "blind a f", "kind none -", "!removed none"]),
    ("mkdir", &["blind new -", "!removed d", "!blind d d"]),
    ("mkdirat", &["blind new -", "kind no -"]),
    ("rmdir", &["removed new", "removed empty"]),
    ("readdir", &["list d d", "names d a,b,s", "blind d/own -"]),
    ("nftw", &["list d d", "list d/s d", "stat d/a f"]),
    ("empty_path", &["read a f", "!stat a f", "!incomplete"]),
    ("xattr", &["stat a f", "change b f"]),
    ("meta_fd", &["change a f", "change b f"]),
    ("chmod", &["change a f", "change b f", "kind none -", "!change none -"]),
    ("watch", &["stat d d"]),
    ("efault", &["read a f", "!incomplete"]),
    ("page_edge", &["read a f", "read b f"]),
    ("odd_names", &["read \u{fffd}\u{fffd}\n -", "read two\nlines f"]),
    ("long_path", &["!incomplete"]),
    ("tty", &["terminal"]),
    ("proc", &["!incomplete", "!terminal"]),
    ("tcp_inside", &["connected inside"]),
    ("tcp_nobody", &["!connected machine", "!connected inside"]),
    ("network", &["connected network", "!connected machine", "connections 1"]),
    ("unix_inside", &["blind sock -", "connected inside", "!connected machine", "connections 2"]),
    ("timer", &["stat a f"]),
    ("changing", &["stat a f"]),
    ("storm", &["stat storm-0-0 -", "stat storm-15-199 -", "stat storm-7-99 -"]),
    ("many", &["read a f", "!incomplete"]),
    ("link_changes", &["stat d/a f", "link current l", "stat empty/a -", "!incomplete"]),
    ("signal", &["read b f", "stat none-0 -", "stat none-2999 -", "!incomplete"]),
    ("long_jump", &["read pipe o", "read a f", "!incomplete"]),
    ("fork_and_threads", &["stat forked-0 -", "stat forked-19 -", "stat storm-1-0 -", "stat storm-3-199 -"]),
    ("many_threads", &["stat storm-0-0 -", "stat storm-63-199 -", "stat storm-31-99 -", "!incomplete"]),
    ("few_descriptors", &["read b f", "stat d/a f", "!incomplete"]),
    ("little_memory", &["stat none-0 -", "stat none-599 -", "read a f", "!incomplete"]),
    ("chroot", &["incomplete"]),
    ("mount", &["incomplete"]),
    ("user_namespace", &["read a f", "stat d/a f", "!incomplete"]),
    ("gate_taken", &["read a f", "stat b f", "stat none -", "!incomplete"]),
    ("passed_descriptor", &["read a f", "!incomplete"]),
    ("copy", &["read a f", "blind new -"]),
    ("glob", &["list d d", "!stat d/a f"]),
    ("scandir", &["list d d", "list empty d"]),
    ("interrupted", &["stat a f"]),
    ("unset_loader", &["read a f"]),
    ("shrink", &["read a f", "change a f"]),
];

/// The compiled cases, made once per test run.
pub fn program(is_static: bool) -> &'static Path {
    static BUILT: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    BUILT[usize::from(is_static)].get_or_init(|| match is_static {
        true => build("static", "gcc", &["-static"]),
        false => build("dynamic", "gcc", &[]),
    })
}

pub fn build(name: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/calls.c");
    let target = folder.join("calls");
    let mut compile = Command::new(compiler);
    compile.args(["-O1", "-w", "-pthread"]).args(flags).arg(source).arg("-o").arg(&target);
    assert!(compile.status().expect("gcc is needed for the tests").success());
    target
}

/// What each case finds.
pub fn fill(root: &Path) {
    for name in ["a", "b", "d/a", "d/b", "d/s/c", "empty/", "two\nlines"] {
        let path = root.join(name);
        std::fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
        if !name.ends_with('/') {
            std::fs::write(&path, format!("content of {name}")).unwrap();
        }
    }
    for (link, text) in [("l1", "l2"), ("l2", "a"), ("dl", "d/s"), ("dangling", "nowhere")] {
        symlink(text, root.join(link)).unwrap();
    }
}
