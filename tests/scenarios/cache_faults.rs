//! A cache that cannot be used costs only time: the task runs, one line says what is wrong, and the exit
//! code is the task's.

use crate::main_job::REACT;
use crate::tree::assert_same;
use crate::world::{Done, Invocation, World, has, has_program};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A task that makes a file, and one that fails; both would be cached.
fn small() -> World {
    let world =
        World::of_cached_scripts(&[("build", "sh build.sh"), ("fail", "sh -c 'cat word.txt; exit 5'")]);
    world.write("build.sh", "mkdir -p dist\ncat word.txt > dist/word.txt\n");
    world.write("word.txt", "word\n");
    world
}

#[track_caller]
fn ran_and_said_once(done: &Done, code: i32, text: &str) {
    assert_eq!(done.code, code, "{done:?}");
    let told = done.err.lines().filter(|line| line.contains(text)).count();
    assert_eq!(told, 1, "{text:?} in {done:?}");
}

/// Both tasks do what they do without a cache, and one line has this text.
fn tasks_run_all_the_same(world: &World, text: &str, change: &dyn Fn(Invocation) -> Invocation) {
    ran_and_said_once(&change(world.task(&["build"])).done(), 0, text);
    assert_eq!(world.read("dist/word.txt"), "word\n");
    ran_and_said_once(&change(world.task(&["fail"])).done(), 5, text);
}

fn id() -> u32 {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// overhear as a user whom modes of files bind: root is bound by none.
fn as_ordinary_user(world: &World, invocation: Invocation) -> Invocation {
    if id() != 0 {
        return invocation;
    }
    // The program may lie where only root can go.
    let program = world.beside("overhear");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_overhear"), &program).unwrap();
        let top = world.app.parent().unwrap();
        assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(top).status().unwrap().success());
    }
    let mut invocation =
        invocation.below("setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let args: Vec<_> = invocation.command.get_args().map(|arg| arg.to_owned()).collect();
    let mut command = world.command("setpriv");
    command.args(args.iter().map(|arg| {
        if Path::new(arg) == Path::new(env!("CARGO_BIN_EXE_overhear")) { program.as_os_str() } else { arg }
    }));
    invocation.command = command;
    invocation
}

#[test]
fn a_folder_for_the_cache_that_cannot_be_made_is_told() {
    if id() == 0 && !has_program("setpriv") {
        return;
    }
    let world = small();
    world.write("dist/word.txt", "");
    let user = |invocation| as_ordinary_user(&world, invocation);
    // The first run settles who owns what.
    assert_eq!(user(world.overhear(&["--version"])).done().code, 0);
    fs::set_permissions(&world.app, Permissions::from_mode(0o555)).unwrap();
    tasks_run_all_the_same(&world, ".overhear", &user);
    fs::set_permissions(&world.app, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_cache_that_may_not_be_read_or_written_is_told() {
    if id() == 0 && !has_program("setpriv") {
        return;
    }
    for mode in [0o000, 0o500] {
        let world = small();
        let user = |invocation| as_ordinary_user(&world, invocation);
        assert_eq!(user(world.task(&["build"])).done().code, 0);
        let folder = world.path(".overhear");
        for file in ["index.db", "checkout.db"] {
            fs::set_permissions(folder.join(file), Permissions::from_mode(mode & 0o400)).unwrap();
        }
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        world.write("word.txt", "word\n");
        world.remove("dist");
        let done = user(world.task(&["build"])).done();
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(world.read("dist/word.txt"), "word\n");
        // Reading may still be enough for a hit; otherwise it is told, once.
        if !["restored", "fresh"].contains(&done.statuses()[0]) {
            ran_and_said_once(&done, 0, "cache");
        }
        let failed = user(world.task(&["fail"])).done();
        ran_and_said_once(&failed, 5, "cache");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    }
}

/// overhear with its cache on a small disk of its own, which goes when overhear ends. `fill` bytes of it are used.
fn on_a_small_disk(world: &World, invocation: Invocation, fill: &str) -> Invocation {
    let disk = world.beside("disk");
    fs::create_dir_all(&disk).unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$0\" && { [ \"$1\" = 0 ] || head -c \"$1\" /dev/zero > \"$0/fill\" || true; } && shift && exec \"$@\"";
    let flags: &[&str] = if id() == 0 { &["-m"] } else { &["-m", "-r"] };
    let mut args = flags.to_vec();
    args.extend(["sh", "-c", script, disk.to_str().unwrap(), fill]);
    let invocation = invocation.env("OVERHEAR_CACHE_DIR", disk.as_os_str());
    invocation.below("unshare", &args)
}

fn has_small_disks() -> bool {
    let flags: &[&str] = if id() == 0 { &["-m"] } else { &["-m", "-r"] };
    let tried = Command::new("unshare").args(flags).args(["mount", "-t", "tmpfs", "none", "/mnt"]).status();
    has("unshare and mount", tried.is_ok_and(|status| status.success()))
}

#[test]
fn a_full_disk_is_told_and_the_task_runs() {
    if !has_small_disks() {
        return;
    }
    let world = small();
    tasks_run_all_the_same(&world, "cache", &|invocation| on_a_small_disk(&world, invocation, "9M"));
}

#[test]
fn an_archive_that_does_not_fit_is_told_and_the_task_succeeds() {
    if !has_small_disks() {
        return;
    }
    let world = small();
    // What does not shrink.
    world.write(
        "build.sh",
        "mkdir -p dist\ncat word.txt > dist/word.txt\nhead -c 12M /dev/urandom > dist/noise\n",
    );
    let done = on_a_small_disk(&world, world.task(&["build"]), "0").done();
    assert_eq!(done.code, 0, "{done:?}");
    done.refused("store_failed");
    assert!(done.err.contains("not stored"), "{done:?}");
    assert_eq!(fs::metadata(world.path("dist/noise")).unwrap().len(), 12 << 20);
}

#[test]
fn a_database_of_another_version_or_with_garbage_in_it_is_set_aside() {
    for file in ["index.db", "checkout.db"] {
        for content in ["garbage", "another version"] {
            let world = small();
            world.run("build").is("ran");
            let path = world.path(".overhear").join(file);
            let mut bytes = fs::read(&path).unwrap();
            match content {
                "garbage" => bytes = b"no database at all, but long enough to be read as one\n".repeat(100),
                // SQLite keeps `user_version` at offset 60, the version with which our store is marked.
                _ => bytes[60..64].copy_from_slice(&77u32.to_be_bytes()),
            }
            fs::write(&path, &bytes).unwrap();
            let done = world.run("build");
            ran_and_said_once(&done, 0, "set aside");
            assert_eq!(world.read("dist/word.txt"), "word\n");
            let aside = path.with_extension("db.aside");
            assert_eq!(fs::read(aside).unwrap(), bytes, "{file} with {content}");
            let next = world.run("build");
            next.is("fresh");
            assert!(!next.err.contains("set aside"), "{next:?}");
        }
    }
}

#[test]
fn a_database_damaged_in_the_middle_never_fails_a_task() {
    let world = small();
    world.run("build").is("ran");
    for file in ["index.db", "checkout.db"] {
        let path = world.path(".overhear").join(file);
        let whole = fs::read(&path).unwrap();
        for page in 1..whole.len() / 4096 {
            let mut bytes = whole.clone();
            bytes[page * 4096..(page + 1) * 4096].fill(0x5a);
            fs::write(&path, &bytes).unwrap();
            world.remove("dist");
            world.run("build");
            assert_eq!(world.read("dist/word.txt"), "word\n", "{file}, page {page}");
            world.run("build");
            assert_eq!(world.read("dist/word.txt"), "word\n", "{file}, page {page}");
        }
        fs::write(&path, &whole).unwrap();
    }
}

/// Each way to damage the only archive, with a word for it.
fn damage(path: &Path, how: &str) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        "missing" => return fs::remove_file(path).unwrap(),
        "empty" => bytes.clear(),
        "cut short" => bytes.truncate(bytes.len() / 2),
        "one bit" => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        _ => bytes = b"garbage".to_vec(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_missing_or_damaged_archive_is_a_miss_and_is_mended() {
    let world = World::of(REACT);
    world.run("build").is("ran");
    let built = world.tree("dist");
    for how in ["missing", "empty", "cut short", "one bit", "garbage"] {
        let archives = world.archives();
        assert_eq!(archives.len(), 1, "{how}");
        damage(&archives[0], how);
        world.remove("dist");
        let done = world.run("build");
        done.missed("entry_damaged", "");
        assert_same(&world.tree("dist"), &built);
        world.remove("dist");
        world.run("build").is("restored");
        assert_same(&world.tree("dist"), &built);
        assert_eq!(world.sound_entries(), 1, "{how}");
    }
}

#[test]
fn verify_finds_a_damaged_archive_and_removes_its_entry() {
    let world = small();
    world.run("build").is("ran");
    damage(&world.archives()[0], "one bit");
    let verified = world.overhear(&["cache", "verify"]).done();
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.out.contains("app#build"), "{verified:?}");
    assert_eq!(world.sound_entries(), 0);
    world.run("build").is("ran");
}
