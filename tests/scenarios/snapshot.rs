//! Texts that are kept beside the tests, and compared. `OVERHEAR_UPDATE_SNAPSHOTS=1` writes them anew; the
//! difference is then looked at before it is committed.

use crate::world::World;
use std::fs;
use std::path::Path;

/// Compares with a file below `tests/scenarios`.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios").join(name);
    if std::env::var_os("OVERHEAR_UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "{name} is another text now; OVERHEAR_UPDATE_SNAPSHOTS=1 takes it\n--- kept\n{kept}\n--- now\n{text}"
    );
}

/// Text without what differs from run to run: places, digests, numbers of processes and ports, durations.
pub fn hidden(world: &World, text: &str) -> String {
    let app = world.app.display().to_string();
    let dir = world.app.parent().unwrap().display().to_string();
    let home = std::env::home_dir().unwrap().display().to_string();
    let own = Path::new(env!("CARGO_BIN_EXE_overhear")).display().to_string();
    let places = [(own, "<overhear>"), (app, "<app>"), (dir, "<dir>"), (home, "<home>")];
    let text = places.iter().fold(text.to_owned(), |text, (place, name)| text.replace(place, name));
    without_numbers(&without_digests(&text))
}

/// Digests as `#`.
fn without_digests(text: &str) -> String {
    let is_hex = |letter: char| letter.is_ascii_digit() || ('a'..='f').contains(&letter);
    let word = |word: &str| match word.trim_end_matches([':', '…']) {
        hex if hex.len() >= 12 && hex.chars().all(is_hex) => word.replace(hex, "#"),
        _ => word.to_owned(),
    };
    text.split_inclusive([' ', '\n'])
        .map(|piece| {
            let end = piece.trim_end_matches([' ', '\n']).len();
            word(&piece[..end]) + &piece[end..]
        })
        .collect()
}

/// Numbers of three and more digits, and those before a unit of time, as `#`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, after) = rest[at..].split_at(end.unwrap_or(rest.len() - at));
        let is_duration = [" ms", " s ", " s\n", " min"].iter().any(|unit| after.starts_with(unit));
        out.push_str(if is_duration || number.len() > 2 { "#" } else { number });
        rest = after;
    }
    out + rest
}
