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
fn where_outputs_cannot_be_put_in_place_the_command_runs_and_the_line_says_where() {
    if id() == 0 && !has_program("setpriv") {
        return;
    }
    let world = World::of_cached_scripts(&[("build", "cp word.txt dist/word.txt")]);
    world.write("word.txt", "word\n");
    world.write("dist/other", "");
    let user = |invocation| as_ordinary_user(&world, invocation);
    assert_eq!(user(world.task(&["build"])).done().statuses(), ["ran"]);
    world.remove("dist/word.txt");
    fs::set_permissions(world.path("dist"), Permissions::from_mode(0o555)).unwrap();
    let done = user(world.task(&["build"])).done();
    assert_eq!((done.code, done.statuses()), (1, vec!["failed"]), "{done:?}");
    assert!(done.err.contains("the cache entry cannot be used: cannot put in place"), "{done:?}");
    assert!(done.err.contains("dist/word.txt"), "{done:?}");
    fs::set_permissions(world.path("dist"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(user(world.task(&["build"])).done().statuses(), ["restored"]);
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
        // Reading may still be enough for a hit; otherwise it is told.
        let is_hit = ["restored", "fresh"].contains(&done.statuses()[0]);
        assert!(is_hit || done.err.contains("cache"), "{done:?}");
        // Of a run that would not be stored there may be nothing to tell.
        assert_eq!(user(world.task(&["fail"])).done().code, 5);
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

/// Names of the tables of a database with those of their columns.
fn tables(database: &rusqlite::Connection) -> Vec<(String, Vec<String>)> {
    let names = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    };
    names("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .into_iter()
        .map(|table| {
            let columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
            (table, columns)
        })
        .collect()
}

/// Whatever was done to the cache, both tasks come out as they do without it; and then all is well again.
#[track_caller]
fn is_survived(world: &World, what: &str) {
    world.write("dist/word.txt", "word\n");
    let done = world.run("build");
    assert_eq!(world.read("dist/word.txt"), "word\n", "{what}");
    assert!(!done.err.contains("panicked"), "{what}: {done:?}");
    assert_eq!(world.task(&["fail"]).done().code, 5, "{what}");
    world.run("build");
    let done = world.run("build");
    done.is_hit();
    assert!(!done.err.contains("cache"), "{what}: {done:?}");
    assert_eq!(world.read("dist/word.txt"), "word\n", "{what}");
    let verified = world.overhear(&["cache", "verify"]).done();
    assert!([0, 1].contains(&verified.code), "{what}: {verified:?}");
    // What was damaged is gone by now, and stored anew by the next run.
    world.run("build");
    assert!(world.sound_entries() > 0, "{what}");
}

#[test]
fn no_damage_to_any_table_makes_a_task_fail() {
    for file in ["index.db", "checkout.db"] {
        let world = small();
        world.run("build").is("ran");
        let folder = world.path(".overhear");
        let open = || rusqlite::Connection::open(folder.join(file)).unwrap();
        let all = tables(&open());
        assert!(all.len() >= 4, "{all:?}");
        for (table, columns) in all {
            let mut harms = vec![
                format!("DROP TABLE {table}"),
                format!("DELETE FROM {table}"),
                format!("ALTER TABLE {table} RENAME TO other"),
                format!("DROP TABLE {table}; CREATE TABLE {table} (other TEXT)"),
            ];
            for column in &columns {
                harms.push(format!("UPDATE OR IGNORE {table} SET {column} = 'text'"));
                harms.push(format!("UPDATE OR IGNORE {table} SET {column} = randomblob(40)"));
                harms.push(format!("ALTER TABLE {table} RENAME COLUMN {column} TO other"));
            }
            for harm in harms {
                open().execute_batch(&harm).unwrap();
                is_survived(&world, &format!("{file}: {harm}"));
            }
        }
    }
}

#[test]
fn whatever_lies_in_place_of_a_database_no_task_fails() {
    for file in ["index.db", "checkout.db"] {
        for what in ["zero bytes", "one byte", "a folder", "a link to nowhere", "another program's database"]
        {
            let world = small();
            world.run("build").is("ran");
            let path = world.path(".overhear").join(file);
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{suffix}", path.display()));
            }
            match what {
                "zero bytes" => fs::write(&path, "").unwrap(),
                "one byte" => fs::write(&path, "x").unwrap(),
                "a folder" => fs::create_dir(&path).unwrap(),
                "a link to nowhere" => std::os::unix::fs::symlink("nowhere/at/all", &path).unwrap(),
                _ => {
                    let other = rusqlite::Connection::open(&path).unwrap();
                    other
                        .execute_batch("CREATE TABLE entries (mine TEXT); INSERT INTO entries VALUES ('x')")
                        .unwrap();
                }
            }
            if ["a folder", "a link to nowhere"].contains(&what) {
                tasks_run_all_the_same(&world, "cache", &|invocation| invocation);
            } else {
                is_survived(&world, &format!("{file}: {what}"));
            }
        }
    }
}

#[test]
fn a_database_that_somebody_else_keeps_locked_costs_only_caching() {
    for file in ["index.db", "checkout.db"] {
        let world = small();
        world.run("build").is("ran");
        world.write("word.txt", "other\n");
        let lock = rusqlite::Connection::open(world.path(".overhear").join(file)).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE; CREATE TABLE mine (x)").unwrap();
        let done = world.run("build");
        assert_eq!(world.read("dist/word.txt"), "other\n", "{done:?}");
        assert_eq!(world.task(&["fail"]).done().code, 5);
        drop(lock);
        world.run("build");
        world.run("build").is_hit();
    }
}

#[test]
fn a_read_only_cache_still_gives_hits() {
    if id() == 0 && !has_program("setpriv") {
        return;
    }
    let world = small();
    let user = |invocation| as_ordinary_user(&world, invocation);
    assert_eq!(user(world.overhear(&["--version"])).done().code, 0);
    user(world.task(&["build"])).done().is("ran");
    user(world.task(&["build"])).done().is("fresh");
    let set_modes = |folder: u32, file: u32| {
        let mut folders = vec![world.path(".overhear")];
        while let Some(path) = folders.pop() {
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            for entry in fs::read_dir(&path).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => fs::set_permissions(entry.path(), Permissions::from_mode(file)).unwrap(),
                }
            }
            fs::set_permissions(&path, Permissions::from_mode(folder)).unwrap();
        }
    };
    set_modes(0o500, 0o400);
    user(world.task(&["build"])).done().is("fresh");
    world.write("word.txt", "other\n");
    let done = user(world.task(&["build"])).done();
    assert_eq!((done.code, world.read("dist/word.txt").as_str()), (0, "other\n"), "{done:?}");
    done.refused("store_failed");
    set_modes(0o700, 0o600);
    user(world.task(&["build"])).done().is("ran");
}

/// Modes of all files and folders of the cache, with the first that is wrong.
#[track_caller]
fn is_private(world: &World, what: &str) {
    let mut folders = vec![world.path(".overhear")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}, {what}");
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}, {what}", entry.path());
            files += 1;
        }
    }
    assert!(files > 5, "{files} files, {what}");
}

#[test]
fn the_cache_is_for_its_owner_only_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let world = small();
        for task in ["build", "fail", "build"] {
            let invocation = world.task(&[task]);
            invocation.below("sh", &["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).done();
            is_private(&world, umask);
        }
        // What a command makes is as the umask says, and so is what a hit makes.
        let mode =
            |world: &World| fs::metadata(world.path("dist/word.txt")).unwrap().permissions().mode() & 0o777;
        let direct = mode(&world);
        world.remove("dist");
        let invocation = world.task(&["build"]);
        let done = invocation.below("sh", &["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).done();
        done.is("restored");
        assert_eq!(mode(&world), direct, "{umask}");
        is_private(&world, umask);
    }
}

#[test]
fn no_value_of_a_variable_is_kept_anywhere() {
    let world = World::of_cached_scripts(&[]);
    world.write(
        "overhear.json",
        r#"{"tasks": {"build": {"command": "sh build.sh", "env": ["TOKEN"]}}, "env": ["SECRET_*"]}"#,
    );
    world.write("build.sh", "mkdir -p dist\necho \"${TOKEN:+set} ${SECRET_KEY:+set}\" > dist/out.txt\n");
    let env =
        [("TOKEN", "tk-3141592653589793"), ("SECRET_KEY", "sk-2718281828459045"), ("OTHER", "ot-1618033988")];
    world.run_with("build", &env).is("ran");
    world.run_with("build", &env).is("fresh");
    let mut folders = vec![world.path(".overhear")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap();
            let unfolded = zstd::decode_all(bytes.as_slice()).unwrap_or_default();
            for (name, value) in env {
                let holds = |bytes: &[u8]| bytes.windows(value.len()).any(|part| part == value.as_bytes());
                assert!(!holds(&bytes) && !holds(&unfolded), "{name} in {:?}", entry.path());
                let plain = blake3::hash(value.as_bytes());
                let salted = |bytes: &[u8]| !bytes.windows(32).any(|part| part == plain.as_bytes());
                assert!(salted(&bytes), "an unsalted digest of {name} in {:?}", entry.path());
            }
            read += bytes.len();
        }
    }
    assert!(read > 10_000, "{read}");
    world.run_with("build", &[("TOKEN", "another"), env[1], env[2]]).missed("env_changed", "TOKEN");
}

#[test]
fn a_cache_carried_to_another_checkout_hits_there() {
    let world = small();
    world.run("build").is("ran");
    let other = small();
    let carried = other.path(".overhear");
    fs::create_dir(&carried).unwrap();
    for name in ["index.db", "index.db-wal", "archives"] {
        let from = world.path(".overhear").join(name);
        let status = Command::new("cp").arg("-a").arg(from).arg(&carried).status().unwrap();
        assert!(status.success());
    }
    other.run("build").is("restored");
    assert_eq!(other.read("dist/word.txt"), "word\n");
    // Two checkouts that share one folder.
    let third = small();
    let shared = world.path(".overhear");
    let done = third.task(&["build"]).env("OVERHEAR_CACHE_DIR", shared.as_os_str()).done();
    done.is("restored");
}

#[test]
fn a_task_that_removes_the_cache_succeeds_and_what_comes_after_is_stored_again() {
    let world = World::of_cached_scripts(&[
        ("wipe", "rm -rf .overhear"),
        ("make", "sh -c 'cp in.txt out.txt; rm -f .overhear/*.db*'"),
        ("build", "cp in.txt built.txt"),
    ]);
    world.write("in.txt", "in\n");
    world.run("build").is("ran");
    let make = world.run("make");
    let folder = world.path(".overhear");
    let told = format!("not stored: the cache `{}` was removed while it was in use", folder.display());
    assert!(make.code == 0 && make.err.contains(&told), "{make:?}");
    assert_eq!(world.read("out.txt"), "in\n");
    for task in ["wipe", "build,wipe"] {
        let done = world.task(&["--concurrency", "1", task]).done();
        assert!(done.code == 0 && !done.err.contains("failed"), "{done:?}");
    }
    world.run("build").is("ran");
    world.run("build").is("fresh");
}

#[test]
fn many_rewrites_of_a_task_take_no_more_room_than_is_allowed() {
    let world = small();
    world.write("overhear.json", r#"{"cache": {"scripts": true, "entriesPerKey": 5, "pathsetsPerKey": 5}}"#);
    for round in 0..20 {
        world.write("word.txt", &format!("{round}\n"));
        world.run("build").is("ran");
    }
    assert_eq!((world.archives().len(), world.sound_entries()), (5, 5));
    for round in [16, 19] {
        world.write("word.txt", &format!("{round}\n"));
        world.run("build").is("restored");
    }
    world.write("word.txt", "3\n");
    world.run("build").is("ran");
    let collected = world.overhear(&["cache", "gc", "--max-size", "0B"]).done();
    assert_eq!(collected.code, 0, "{collected:?}");
    assert_eq!(world.archives().len(), 0);
    world.run("build").is("ran");
    assert_eq!(world.overhear(&["cache", "clean"]).done().code, 0);
    let left = world.tree(".overhear");
    let left: Vec<_> = left.keys().filter(|name| !name.contains(".db")).collect();
    assert_eq!(left, [".gitignore", "archives", "locks"]);
    world.run("build").is("ran");
}
