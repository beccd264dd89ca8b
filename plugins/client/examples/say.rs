//! Says one thing, with the words of `overhear tell`: `say ignore-input PATH`, `say ignore-output PATH`,
//! `say disable-cache`, `say get-env NAME [--untracked]`, `say get-envs GLOB | --prefix PREFIX [--untracked]`.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use overhear_client::{
    Select, disable_cache, get_env, get_env_untracked, get_envs, get_envs_untracked, ignore_input,
    ignore_output,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["ignore-input", path] => ignore_input(path),
        ["ignore-output", path] => ignore_output(path),
        ["disable-cache"] => disable_cache(),
        ["get-env", name] => return print_value(get_env(name)),
        ["get-env", name, "--untracked"] => return print_value(get_env_untracked(name)),
        ["get-envs", "--prefix", prefix] => print_all(get_envs(Select::Prefix(prefix))),
        ["get-envs", "--prefix", prefix, "--untracked"] => {
            print_all(get_envs_untracked(Select::Prefix(prefix)))
        }
        ["get-envs", glob] => print_all(get_envs(Select::Glob(glob))),
        ["get-envs", glob, "--untracked"] => print_all(get_envs_untracked(Select::Glob(glob))),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

fn print_value(value: Option<String>) -> ExitCode {
    let Some(value) = value else { return ExitCode::FAILURE };
    println!("{value}");
    ExitCode::SUCCESS
}

fn print_all(values: impl IntoIterator<Item = (String, String)>) {
    values.into_iter().for_each(|(name, value)| println!("{name}={value}"));
}
