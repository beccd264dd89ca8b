//! What cannot be told, or not in time: the task goes on, and the run is not kept.

use crate::drivers::{DRIVERS, Driver};
use crate::world::{World, has_program};
use std::os::unix::fs::symlink;

fn each(work: &str, holds: impl Fn(Driver, &World)) {
    for driver in DRIVERS {
        eprintln!("{driver:?}");
        holds(driver, &driver.world(work));
    }
}

fn is_lost(world: &World, cause: &str) {
    for _ in 0..2 {
        let done = world.run("build");
        done.refused("ipc_failed");
        assert!(done.err.contains(cause), "{done:?}");
        assert_eq!(world.read("out.txt"), "source\n");
    }
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn a_relative_path_in_a_folder_that_is_gone_is_lost() {
    // node itself does not start there.
    for driver in [Driver::Rust, Driver::Tell] {
        let world = driver
            .world("cat src.txt > out.txt\nmkdir -p $TMPDIR/gone\n(cd $TMPDIR/gone && rmdir $TMPDIR/gone && say ignore-input a)");
        is_lost(&world, "could not deliver");
    }
    let world = Driver::Main.world("cat src.txt > out.txt\nnode gone.cjs");
    world.write(
        "gone.cjs",
        "const { ignoreInput, ignoreOutput } = require('overhear-client')
const folder = require('fs').mkdtempSync(process.env.TMPDIR + '/gone')
process.chdir(folder)
require('fs').rmdirSync(folder)
ignoreInput('a')
",
    );
    is_lost(&world, "could not deliver");
}

#[test]
fn an_absolute_path_may_be_told_in_a_folder_that_is_gone() {
    for driver in [Driver::Rust, Driver::Tell] {
        let world = driver.world(
            "mkdir -p $TMPDIR/gone\n(cd $TMPDIR/gone && rmdir $TMPDIR/gone && say ignore-input \"$ROOT/cache\")\ncat cache > out.txt",
        );
        world.write("cache", "1");
        world.run("build").is("ran");
        world.write("cache", "2");
        world.run("build").is("fresh");
    }
}

#[test]
fn a_channel_that_is_removed_while_the_task_runs_loses_what_is_said() {
    each("cat src.txt > out.txt\nrm -rf \"$OVERHEAR_IPC\"\nsay disable-cache", |_, world| {
        is_lost(world, "could not deliver");
    });
    // Also if nobody says anything afterwards: nobody knows that.
    is_lost(&Driver::Tell.world("cat src.txt > out.txt\nrm -rf \"$OVERHEAR_IPC\""), "could not deliver");
}

#[test]
fn a_client_file_that_is_removed_while_the_task_runs_may_lose_what_tools_would_say() {
    let world = Driver::Tell.world("cat src.txt > out.txt\nrm \"$VP_RUN_NODE_CLIENT_PATH\"");
    is_lost(&world, "was removed, which node tools load");
    // The next one has it again.
    Driver::Tell.set_work(&world, "cat src.txt > out.txt\n[ -f \"$VP_RUN_NODE_CLIENT_PATH\" ]");
    world.run("build").is("ran");
}

#[test]
fn a_channel_whose_parts_are_removed_loses_what_is_said_to_them() {
    each(
        "cat src.txt > out.txt\nrm -rf \"$OVERHEAR_IPC/socket\" \"$OVERHEAR_IPC/free\"\nsay disable-cache",
        |_, world| {
            is_lost(world, "could not deliver");
        },
    );
}

#[test]
fn what_another_user_may_not_say_is_not_lost() {
    // Only a superuser can become somebody else, and everybody must be able to reach what is run.
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let reached = |driver: Driver| {
        let program = match driver {
            Driver::Rust => crate::drivers::rust_program().to_path_buf(),
            _ => env!("CARGO_BIN_EXE_overhear").into(),
        };
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x"]).arg(program);
        other.status().is_ok_and(|status| status.success())
    };
    for driver in DRIVERS {
        if !crate::world::has("root, setpriv, and programs that all may read", is_root && reached(driver)) {
            return;
        }
        let world = driver
            .world("cat src.txt > out.txt\nsetpriv --reuid=65534 --regid=65534 --clear-groups sh say.sh");
        let say: String = world.read("work.sh").lines().take(3).map(|line| format!("{line}\n")).collect();
        world.write("say.sh", &format!("{say}say disable-cache\n"));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(world.beside(""), open).unwrap();
        is_lost(&world, "could not deliver");
    }
}

#[test]
fn a_link_that_leads_elsewhere_at_the_end_hides_nothing_there() {
    let work = "ln -sfn a link\nsay ignore-input link\nrm link\nln -s b link\ncat b/x > out.txt\nrm link\nln -s b link";
    each(work, |_, world| {
        world.write("a/x", "1");
        world.write("b/x", "1");
        symlink("b", world.path("link")).unwrap();
        world.run("build");
        world.write("b/x", "2");
        world.run("build");
        assert_eq!(world.read("out.txt"), "2");
    });
}

#[test]
fn a_task_whose_server_cannot_start_runs_and_is_not_kept() {
    if !has_program("unshare") {
        return;
    }
    let world = Driver::Tell.world("cat src.txt > out.txt\nsay disable-cache\nsay get-env NOTHING || true");
    // Every folder in which the channel could be is one that nobody can write, but for the workspace.
    let script = "mount --bind /tmp /tmp && mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro /tmp && cd \"$2\" && shift 2 && \"$@\"";
    let beside = world.beside("");
    let app = world.app.display().to_string();
    let args = ["-r", "-m", "sh", "-c", script, "sh", beside.to_str().unwrap(), &app];
    let run = |world: &World| world.task(&["build"]).env("TMPDIR", "/nowhere").below("unshare", &args).done();
    let done = run(&world);
    if !crate::world::has("mounts in a user namespace", !done.err.contains("mount")) {
        return;
    }
    assert_eq!(done.code, 0, "{done:?}");
    done.refused("ipc_failed");
    assert!(done.err.contains("private folder"), "{done:?}");
    assert_eq!(world.read("out.txt"), "source\n");
}
