//! Each rule of what counts as what, one test named after it: accesses go in, what settles comes out
//! as lines.
#![allow(clippy::unwrap_used, reason = "tests")]

mod scene;

use super::*;
use crate::access::{AccessKind, Connection};
use scene::{Scene, WRITE, at, file, folder, names};

#[test]
fn content_read_before_the_first_write_is_an_input() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "src/a", file(1))
        .saw(WRITE, "dist/x", Found::Absent)
        .ends("dist/x", file(2));
    scene.check(&["kind dist", "content src/a", "+ dist/x"]);
}

#[test]
fn reading_and_then_writing_is_refused_with_the_path() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "src/a", file(1))
        .saw(WRITE, "src/a", file(1))
        .ends("src/a", file(2));
    assert_eq!(
        scene.refused(),
        Refusal::ReadWriteOverlap { path: "src/a".into(), process: "a process".into() }
    );
}

#[test]
fn the_second_time_lucky_both_contents_are_known() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "src/a", file(1))
        .saw(WRITE, "src/a", file(1))
        .ends("src/a", file(2));
    scene.hashed_before("src/a").check(&["content src/a", "+ src/a"]);
}

#[test]
fn setting_permissions_is_a_read_and_a_write() {
    let scene = || Scene::new().saw(AccessKind::SetMeta, "top", file(1)).ends("top", file(2));
    assert_eq!(scene().refused().kind(), "read_write_overlap");
    scene().hashed_before("top").check(&["content top", "+ top"]);
}

#[test]
fn what_the_step_wrote_first_is_never_an_input() {
    let scene = Scene::new()
        .saw(WRITE, "dist/x", file(1))
        .saw(AccessKind::Read, "dist/x", file(2))
        .ends("dist/x", file(2));
    scene.check(&["kind dist", "+ dist/x"]);
}

#[test]
fn probing_what_the_step_then_creates_or_replaces_is_no_input() {
    let scene = Scene::new()
        .saw(AccessKind::Stat, "dist/x", Found::Absent)
        .saw(WRITE, "dist/x", Found::Absent)
        .saw(AccessKind::Kind, "dist/y", file(1))
        .saw(WRITE, "dist/y", file(1))
        .ends("dist/x", file(2))
        .ends("dist/y", file(3));
    scene.made_before("dist/y").check(&["kind dist", "+ dist/x", "+ dist/y"]);
}

#[test]
fn what_others_left_counts_by_its_kind_where_the_step_looked_before_it_replaced_it() {
    let scene = Scene::new()
        .saw(AccessKind::Stat, "dist/y", file(1))
        .saw(WRITE, "dist/y", file(1))
        .saw(WRITE, "dist/z", file(1))
        .ends("dist/y", file(2))
        .ends("dist/z", file(3));
    scene.check(&["kind dist/y", "+ dist/y", "+ dist/z"]);
}

#[test]
fn the_folder_in_which_something_is_made_was_there_or_is_made_too() {
    let temporary = || {
        Scene::new()
            .saw(AccessKind::Create, "dist/sub", Found::Absent)
            .saw(AccessKind::Remove, "dist/sub", folder())
            .ends("dist/sub", Found::Absent)
    };
    temporary().check(&["kind dist", "- dist/sub"]);
    temporary().made_before("dist").check(&["+ dist", "- dist/sub"]);
    let made = Scene::new().saw(AccessKind::Create, "dist", Found::Absent).ends("dist", folder());
    made.saw(WRITE, "dist/x", Found::Absent).ends("dist/x", file(1)).check(&["+ dist", "+ dist/x"]);
}

#[test]
fn what_lay_in_a_folder_that_is_moved_is_an_input() {
    let scene = Scene::new()
        .saw(AccessKind::List(names(&[("x", b'f')])), "a", folder())
        .saw(AccessKind::Rename, "a", folder())
        .saw(AccessKind::Create, "b", Found::Absent)
        .saw(AccessKind::Read, "a/x", file(1))
        .saw(AccessKind::Rename, "a/x", file(1))
        .saw(WRITE, "b/x", Found::Absent)
        .hashed_before("a/x")
        .ends("a", Found::Absent)
        .ends("a/x", Found::Absent)
        .ends("b", folder())
        .ends("b/x", file(1));
    scene.check(&["listing a", "content a/x", "+ b", "+ b/x", "- a", "- a/x"]);
}

#[test]
fn what_is_executable_may_be_so_because_it_was() {
    let program = |id: u64| match file(id) {
        Found::File(stamp) => Found::File(Stamp { ino: 1, mode: 0o100_755, ..stamp }),
        other => other,
    };
    let written = |before: Found, after: Found| Scene::new().saw(WRITE, "cli", before).ends("cli", after);
    written(program(1), program(2)).check(&["kind cli", "+ cli"]);
    written(file(1), program(2)).check(&["+ cli"]);
    written(program(1), program(2)).saw(AccessKind::SetMeta, "cli", program(1)).check(&["+ cli"]);
}

#[test]
fn what_is_removed_and_made_again_was_there_unless_a_run_of_the_step_made_it() {
    let again = || {
        Scene::new().saw(AccessKind::Remove, "x", file(1)).saw(WRITE, "x", Found::Absent).ends("x", file(2))
    };
    again().check(&["kind x", "+ x"]);
    again().made_before("x").check(&["+ x"]);
}

#[test]
fn what_was_there_and_is_removed_is_an_input_unless_a_run_of_the_step_made_it() {
    let scene = || Scene::new().saw(AccessKind::Remove, "dist/old", file(1)).ends("dist/old", Found::Absent);
    scene().check(&["kind dist/old", "- dist/old"]);
    scene().made_before("dist/old").check(&["- dist/old"]);
}

#[test]
fn access_counts_as_kind_and_permission_only() {
    Scene::new().saw(AccessKind::Kind, "lock", file(1)).check(&["kind lock"]);
}

#[test]
fn a_stat_of_a_file_counts_as_a_read_and_of_a_folder_as_its_kind() {
    let scene = Scene::new().saw(AccessKind::Stat, "a", file(1)).saw(AccessKind::Stat, "b", folder());
    scene.check(&["content a", "kind b"]);
}

#[test]
fn a_temporary_file_is_no_input_and_no_output_but_must_not_lie_there_at_a_hit() {
    let scene = Scene::new()
        .saw(WRITE, "x.tmp", Found::Absent)
        .saw(AccessKind::Read, "x.tmp", file(1))
        .saw(AccessKind::Remove, "x.tmp", file(1))
        .ends("x.tmp", Found::Absent);
    scene.check(&["- x.tmp"]);
}

#[test]
fn a_failed_probe_is_an_input() {
    Scene::new().saw(AccessKind::Read, "src/n", Found::Absent).check(&["absent src/n"]);
}

#[test]
fn a_symlink_on_the_way_and_what_it_leads_to_are_inputs() {
    let link = Found::Link("a".into());
    let scene = Scene::new().saw(AccessKind::Link, "src/l", link).saw(AccessKind::Read, "src/a", file(1));
    scene.check(&["content src/a", "link src/l"]);
}

#[test]
fn a_listing_counts_without_what_the_step_makes_there() {
    let scene = Scene::new()
        .saw(AccessKind::List(names(&[("a", b'f')])), "src", folder())
        .saw(WRITE, "src/new", Found::Absent)
        .ends("src/new", file(1));
    scene.check(&["listing src without new", "+ src/new"]);
}

#[test]
fn a_name_that_the_step_made_before_it_listed_is_its_own() {
    let scene = Scene::new()
        .saw(AccessKind::Create, "p/dist", Found::Absent)
        .saw(AccessKind::List(names(&[("dist", b'd'), ("src", b'd')])), "p", folder())
        .ends("p/dist", folder());
    scene.check(&["listing p without dist", "+ p/dist"]);
}

#[test]
fn a_listing_counts_with_what_somebody_else_made_and_the_step_replaces() {
    let scene = || {
        let scene = Scene::new().saw(AccessKind::List(names(&[("a", b'f'), ("h", b'f')])), "gen", folder());
        scene.saw(WRITE, "gen/h", file(1)).ends("gen/h", file(2))
    };
    scene().check(&["listing gen", "+ gen/h"]);
    scene().made_before("gen/h").check(&["listing gen without h", "+ gen/h"]);
}

#[test]
fn a_listing_of_a_folder_that_the_step_empties_does_not_count() {
    let scene = Scene::new()
        .saw(AccessKind::List(names(&[("old", b'f')])), "dist", folder())
        .saw(AccessKind::Remove, "dist/old", file(1))
        .saw(WRITE, "dist/x", Found::Absent)
        .ends("dist/old", Found::Absent)
        .ends("dist/x", file(2));
    let scene = scene.made_before("dist/old");
    assert_eq!(scene.settle().unwrap().emptied, [at("dist")]);
    scene.check(&["kind dist", "+ dist/x", "- dist/old"]);
}

#[test]
fn a_listing_of_a_folder_that_the_step_made_sees_what_others_put_there() {
    let scene = Scene::new()
        .saw(AccessKind::Create, "dist", Found::Absent)
        .saw(AccessKind::List(names(&[])), "dist", folder())
        .saw(WRITE, "dist/x", Found::Absent)
        .ends("dist", folder())
        .ends("dist/x", file(1));
    scene.check(&["listing dist without x", "+ dist", "+ dist/x"]);
}

#[test]
fn a_folder_that_a_run_of_the_step_made_counts_as_absent_and_is_made_again() {
    let scene = || Scene::new().saw(AccessKind::Stat, "gen", folder());
    scene().check(&["kind gen"]);
    scene().made_before("gen").check(&["+ gen"]);
}

#[test]
fn what_changes_nothing_is_no_change() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "a", file(1))
        .saw(AccessKind::Write { truncates: false }, "a", file(1))
        .ends("a", file(1));
    scene.check(&["content a"]);
}

#[test]
fn system_and_temp_folders_and_noise_do_not_count() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "/usr/lib/x", file(1))
        .saw(WRITE, "/tmp/x", Found::Absent)
        .saw(AccessKind::Read, ".overhear/index.db", file(2))
        .saw(WRITE, "node_modules/.cache/x", Found::Absent)
        .ends("/tmp/x", file(3))
        .ends("node_modules/.cache/x", file(4));
    scene.check(&[]);
}

#[test]
fn reads_elsewhere_outside_count_and_writes_there_are_refused() {
    Scene::new().saw(AccessKind::Read, "/opt/data", file(1)).check(&["content /opt/data"]);
    let scene = Scene::new().saw(WRITE, "/opt/data", Found::Absent).ends("/opt/data", file(1));
    assert_eq!(scene.refused(), Refusal::WroteOutside("/opt/data".into()));
}

#[test]
fn of_git_version_stamps_count_when_read_and_nothing_is_an_output() {
    let scene = Scene::new()
        .saw(AccessKind::Read, ".git/HEAD", file(1))
        .saw(AccessKind::Read, ".git/objects/ab", file(2))
        .saw(WRITE, ".git/x.lock", Found::Absent)
        .ends(".git/x.lock", file(3));
    scene.check(&["content .git/HEAD"]);
}

#[test]
fn a_tool_may_ignore_either_side_of_an_overlap() {
    let overlap =
        || Scene::new().saw(AccessKind::Read, "c/a", file(1)).saw(WRITE, "c/a", file(1)).ends("c/a", file(2));
    // A folder is not enough: who made what was read there is not known.
    let read = |ignored: &str| {
        let mut read = overlap();
        read.hints.push(Hint::IgnoreInput(at(ignored)));
        read
    };
    assert_eq!(read("c").refused().kind(), "read_write_overlap");
    read("c/a").check(&["kind c", "+ c/a"]);
    read("c").made_before("c/a").check(&["+ c/a"]);
    let mut both = read("c");
    both.hints.push(Hint::IgnoreOutput(at("c")));
    both.check(&[]);
    // What was read counts all the same, so it must be known.
    let write = || {
        let mut write = overlap();
        write.hints.push(Hint::IgnoreOutput(at("c")));
        write
    };
    assert_eq!(write().refused().kind(), "read_write_overlap");
    write().hashed_before("c/a").check(&["content c/a"]);
}

#[test]
fn a_service_of_this_machine_is_refused_and_the_network_is_not() {
    let connected = |reach| {
        let mut scene = Scene::new();
        scene.observed.connections.push(Connection { to: "127.0.0.1:1".into(), by: "x".into(), reach });
        scene
    };
    assert_eq!(connected(Reach::Machine).refused().kind(), "outside_service");
    connected(Reach::Network).check(&[]);
    connected(Reach::Inside).check(&[]);
}

#[test]
fn a_trace_that_cannot_vouch_a_tool_that_asks_and_a_process_that_stays_are_refused() {
    let mut scene = Scene::new();
    scene.observed.poison("lost");
    assert_eq!(scene.refused(), Refusal::TraceIncomplete("lost".into()));
    let mut scene = Scene::new();
    scene.hints.push(Hint::DisableCache);
    assert_eq!(scene.refused(), Refusal::ToolAsked);
    let mut scene = Scene::new();
    scene.observed.detached = Some("x".into());
    assert_eq!(scene.refused(), Refusal::Detached("x".into()));
}

#[test]
fn an_adapter_hides_reads_of_tool_state_only_where_a_run_had_made_it() {
    for scene in [Scene::new().generates("gen"), Scene::new().caches("gen")] {
        scene.saw(AccessKind::Read, "gen/a", file(1)).check(&["content gen/a"]);
    }
    for scene in [Scene::new().generates("gen"), Scene::new().caches("gen")] {
        scene.made_before("gen/a").saw(AccessKind::Read, "gen/a", file(1)).check(&[]);
    }
    Scene::new().generates("gen").saw(AccessKind::Stat, "gen", Found::Absent).check(&[]);
}

#[test]
fn an_adapter_cannot_hide_that_a_persons_file_was_read_and_then_changed() {
    let scene = |scene: Scene| {
        scene.saw(AccessKind::Read, "src/a", file(1)).saw(WRITE, "src/a", file(1)).ends("src/a", file(2))
    };
    assert_eq!(scene(Scene::new().generates("src")).refused().kind(), "read_write_overlap");
    assert_eq!(scene(Scene::new().caches("src")).refused().kind(), "read_write_overlap");
    scene(Scene::new().generates("src").made_before("src/a")).check(&["+ src/a"]);
    scene(Scene::new().caches("src").made_before("src/a")).check(&[]);
}

#[test]
fn what_a_tool_keeps_is_no_name_in_a_listing() {
    let listing =
        || Scene::new().saw(AccessKind::List(names(&[("a", b'f'), ("env.d.ts", b'f')])), "", folder());
    listing().generates("env.d.ts").check(&["listing "]);
    listing().generates("env.d.ts").made_before("env.d.ts").check(&["listing  without env.d.ts"]);
    let made_now = Scene::new().caches(".tool").saw(AccessKind::List(names(&[("a", b'f')])), "", folder());
    let made_now = made_now.saw(AccessKind::Create, ".tool", Found::Absent).ends(".tool", folder());
    made_now.check(&["listing  without .tool"]);
}

#[test]
fn a_removed_folder_is_known_by_the_files_that_were_in_it() {
    let scene = || {
        let scene = Scene::new().saw(AccessKind::Remove, "dist/old/a", file(1)).saw(
            AccessKind::Remove,
            "dist/old",
            folder(),
        );
        scene.ends("dist/old/a", Found::Absent).ends("dist/old", Found::Absent)
    };
    // With what else lies in it, it would have stayed.
    scene().check(&["listing dist/old", "kind dist/old/a", "- dist/old", "- dist/old/a"]);
    scene().made_before("dist/old/a").check(&["listing dist/old without a", "- dist/old", "- dist/old/a"]);
}

#[test]
fn a_state_file_that_goes_with_unchanged_outputs_is_no_input_and_they_are_outputs_again() {
    let scene = Scene::new()
        .left_whole(&["dist/a.js", "dist/b.js", "a.tsbuildinfo"])
        .saw(AccessKind::Read, "a.tsbuildinfo", file(1))
        .saw(AccessKind::Stat, "dist/b.js", file(2))
        .saw(WRITE, "dist/a.js", file(3))
        .ends("dist/a.js", file(4))
        .saw(WRITE, "a.tsbuildinfo", file(1))
        .ends("a.tsbuildinfo", file(5));
    assert_eq!(scene.settle().unwrap().state_files, [at("a.tsbuildinfo")]);
    scene.made_before("dist").check(&["+ a.tsbuildinfo", "+ dist", "+ dist/a.js", "+ dist/b.js"]);
}

/// `tsc -b` does not notice that a package in `node_modules` changed: what it would do from nothing is
/// another thing than what it does with its state.
#[test]
fn a_state_file_that_the_tool_left_as_it_was_is_an_input_and_what_goes_with_it_is_output() {
    let scene = Scene::new()
        .left_whole(&["dist/a.js", "a.tsbuildinfo"])
        .saw(AccessKind::Read, "a.tsbuildinfo", file(1))
        .saw(AccessKind::Stat, "dist/a.js", file(2));
    assert_eq!(scene.settle().unwrap().state_files, <[PathBuf; 0]>::default());
    scene.check(&["content a.tsbuildinfo", "+ a.tsbuildinfo", "+ dist/a.js"]);
}

#[test]
fn a_state_file_that_was_absent_is_an_output() {
    let scene = Scene::new()
        .saw(AccessKind::Read, "a.tsbuildinfo", Found::Absent)
        .saw(WRITE, "a.tsbuildinfo", Found::Absent)
        .ends("a.tsbuildinfo", file(5));
    assert_eq!(scene.settle().unwrap().state_files, [at("a.tsbuildinfo")]);
    scene.check(&["+ a.tsbuildinfo"]);
}

#[test]
fn a_state_file_of_which_nothing_is_known_is_an_input_by_content() {
    let scene = Scene::new().saw(AccessKind::Read, "a.tsbuildinfo", file(1));
    assert_eq!(scene.settle().unwrap().state_files, <[PathBuf; 0]>::default());
    scene.check(&["content a.tsbuildinfo"]);
}

#[test]
fn outputs_count_as_left_only_where_the_state_file_was_read() {
    Scene::new()
        .left_whole(&["dist/a.js", "a.tsbuildinfo"])
        .saw(AccessKind::Read, "dist/a.js", file(1))
        .check(&["content dist/a.js"]);
}

#[test]
fn a_listing_counts_without_names_that_only_later_steps_of_the_task_made() {
    let scene = |later: bool| {
        let scene =
            Scene::new().saw(AccessKind::List(names(&[("dist", b'd'), ("src", b'd')])), ".", folder());
        let scene = if later { scene.made_later("dist") } else { scene };
        scene.settle().unwrap().inputs[0].value
    };
    assert_eq!(scene(true), InputValue::Known(Value::listing(&names(&[("src", b'd')]), &[])));
    assert_ne!(scene(true), scene(false));
}

#[test]
fn what_an_adapter_calls_a_cache_is_none_where_a_person_has_files() {
    // Read, listed, rewritten: each counts as if the adapter had said nothing.
    let names = names(&[("a.ts", b'f'), ("b.ts", b'f')]);
    let scene = Scene::new()
        .caches("src")
        .saw(AccessKind::List(names), "src", folder())
        .saw(AccessKind::Read, "src/a.ts", file(1))
        .saw(WRITE, "src/b.ts", file(2))
        .ends("src/b.ts", file(3));
    let settled = scene.settle().unwrap();
    let refused: Vec<_> =
        settled.narrowing_refused.iter().map(|one| (one.path.clone(), one.writes)).collect();
    assert_eq!(refused, [(at("src/a.ts"), false), (at("src/b.ts"), true)]);
    scene.check(&["listing src", "content src/a.ts", "+ src/b.ts"]);
}

#[test]
fn what_a_tool_keeps_in_a_hidden_folder_is_its_own_also_when_it_was_there() {
    let scene = Scene::new()
        .caches(".tool/cache")
        .saw(WRITE, ".tool/cache/x", file(1))
        .ends(".tool/cache/x", file(2));
    assert_eq!(scene.settle().unwrap().narrowing_refused, []);
    scene.check(&[]);
}

#[test]
fn what_the_tool_of_another_step_keeps_for_itself_is_no_name_in_a_listing() {
    let names = names(&[("cache", b'd'), ("types", b'd')]);
    Scene::new()
        .tool_state(".tool/cache")
        .saw(AccessKind::List(names), ".tool", folder())
        .check(&["listing .tool without cache"]);
}

#[test]
fn what_was_looked_for_before_it_was_made_was_found_bare() {
    let scene = Scene::new()
        .saw(AccessKind::Stat, "dist", Found::Absent)
        .saw(AccessKind::Create, "dist", Found::Absent)
        .ends("dist", folder())
        .saw(AccessKind::Create, "gen", Found::Absent)
        .saw(AccessKind::List(Vec::new()), "gen", folder())
        .ends("gen", folder())
        .saw(AccessKind::Read, "x", Found::Absent)
        .saw(WRITE, "x", Found::Absent)
        .ends("x", file(1));
    assert_eq!(scene.settle().unwrap().found_bare, [at("dist"), at("gen"), at("x")]);
}

#[test]
fn a_step_that_changes_what_git_says_is_not_kept() {
    let commit = || {
        Scene::new()
            .saw(AccessKind::Read, ".git/refs/heads/main", file(1))
            .saw(WRITE, ".git/refs/heads/main", file(1))
            .ends(".git/refs/heads/main", file(2))
    };
    assert_eq!(commit().refused().kind(), "read_write_overlap");
    assert_eq!(commit().hashed_before(".git/refs/heads/main").refused().kind(), "wrote_outside");
    let unread = Scene::new().saw(WRITE, ".git/HEAD", file(1)).ends(".git/HEAD", file(2));
    assert_eq!(unread.refused().kind(), "wrote_outside");
}

#[test]
fn an_index_that_was_only_refreshed_is_an_input_as_it_was() {
    let mut scene = Scene::new()
        .hashed_before(".git/index")
        .saw(AccessKind::Read, ".git/index", file(1))
        .saw(WRITE, ".git/index", file(1))
        .ends(".git/index", file(2))
        .saw(WRITE, ".git/objects/ab/c", Found::Absent)
        .ends(".git/objects/ab/c", file(3));
    scene.rewritten.push(at(".git/index"));
    scene.check(&["content .git/index"]);
}

#[test]
fn what_an_adapter_calls_an_output_and_the_step_did_not_write_is_none() {
    let scene = Scene::new()
        .saw(WRITE, "dist/x", Found::Absent)
        .saw(AccessKind::Read, "dist/of-another", file(1))
        .ends("dist/x", file(2));
    scene.declares_output("dist/**").check(&["content dist/of-another", "+ dist/x"]);
}

#[test]
fn an_own_folder_counts_as_absent_unless_the_step_left_alone_what_lies_in_it() {
    let scene = || {
        Scene::new()
            .saw(AccessKind::Stat, "dist", folder())
            .saw(WRITE, "dist/x", Found::Absent)
            .ends("dist/x", file(2))
            .made_before("dist")
            .made_before("dist/x")
            .lies("dist/x")
    };
    scene().check(&["+ dist", "+ dist/x"]);
    scene().lies("dist/later").made_later("later").check(&["+ dist", "+ dist/x"]);
    scene().lies("dist/of-others").check(&["kind dist", "+ dist/x"]);
    // Made by a run that found no folder, and not by one that did.
    scene().lies("dist/y").made_before("dist/y").check(&["kind dist", "+ dist/x"]);
    scene().lies("dist/y").left_whole(&["dist/y", "dist/x"]).check(&["kind dist", "+ dist/x"]);
}
