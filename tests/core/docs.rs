//! What the documents tell people to type is what the program takes.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::cli::Cli;

/// Every command of `provision` in a block of shell, without its comment, and what its output goes to, and where it stands.
fn commands() -> Vec<(String, Vec<String>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for path in docs
        .chain([root.join("README.md")])
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(&path).expect("a page");
        for (line, number) in text.lines().zip(1..) {
            let Some(command) = line.strip_prefix("$ provision ") else { continue };
            let command = command.split(['#', '>', '|']).next().unwrap_or(command);
            let words = ["provision"].into_iter().chain(command.split_whitespace());
            found
                .push((format!("{}:{number}", path.display()), words.map(str::to_owned).collect()));
        }
    }
    found
}

#[test]
fn every_command_in_the_docs_is_one_that_exists() {
    let commands = commands();
    assert!(commands.len() > 35, "{} were found", commands.len());
    for (place, words) in commands {
        if let Err(error) = Cli::command().try_get_matches_from(&words) {
            panic!("{place}: {}\n{error}", words.join(" "));
        }
    }
}
