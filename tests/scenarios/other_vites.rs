//! The same with the versions of vite that say nothing over IPC: what its adapter knows is enough.

use crate::main_job;
use crate::world::World;

#[test]
fn the_main_job_holds_on_vite_6_and_vue() {
    main_job::holds(&World::of("tests/fixtures/vue-vite6"), "src/App.vue", "a first note");
}

#[test]
fn the_main_job_holds_on_vite_7() {
    main_job::holds(&World::of("tests/fixtures/plain-vite7"), "src/greet.js", "hello");
}

#[test]
fn the_main_job_holds_on_vite_5() {
    main_job::holds(&World::of("tests/fixtures/plain-vite5"), "src/greet.js", "hello");
}
