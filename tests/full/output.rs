//! A command that prints without end in sight: what overhear needs for it does not grow.

use crate::world::{Invocation, World};
use std::io::Read;
use std::process::Stdio;

const BYTES: usize = 1_000_000_000;

/// More than overhear and its libraries map, and much less than what is printed.
const ADDRESS_SPACE_KIB: usize = 400_000;

/// How many bytes were printed to standard output.
fn length_of_output(invocation: Invocation) -> usize {
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$@\"");
    let mut command = invocation.below("sh", &["-c", &limited, "sh"]).command;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (mut buffer, mut length) = (vec![0; 1 << 20], 0);
    loop {
        match pipe.read(&mut buffer).unwrap() {
            0 => break,
            read => length += read,
        }
    }
    assert!(child.wait().unwrap().success());
    length
}

#[test]
fn a_gigabyte_of_output_is_shown_kept_and_shown_again_in_little_memory() {
    let world = World::of_cached_scripts(&[("say", "sh say.sh")]);
    world.write("say.sh", &format!("yes 'a line of output of forty characters ' | head -c {BYTES}\n"));
    assert_eq!(length_of_output(world.overhear(&["run", "say"])), BYTES);
    assert_eq!(length_of_output(world.overhear(&["run", "--log", "grouped", "say"])), BYTES);
    assert_eq!(world.sound_entries(), 1);
}
