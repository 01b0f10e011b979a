//! The sources of the library as data: which paths each file names, comments, texts and tests left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below `src/`, such as `plan/mod.rs`.
    pub(crate) file: String,
    /// Every path of two names or more, groups of imports taken apart: `["std", "fs", "read"]`.
    pub(crate) paths: Vec<Vec<String>>,
    /// Every macro that is called by one name.
    pub(crate) macros: BTreeSet<String>,
}

/// All of them.
pub(crate) fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            Source::new(&name, &fs::read_to_string(path).unwrap())
        })
        .collect()
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Source {
        let tokens = tokens(text);
        let mut source =
            Source { file: file.to_owned(), paths: Vec::new(), macros: BTreeSet::new() };
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"].map(Token::from))
            {
                at = after_item(&tokens, at + 7);
                continue;
            }
            if let Token::Name(name) = &tokens[at] {
                match tokens.get(at + 1) {
                    Some(Token::Mark('!')) => {
                        source.macros.insert(name.clone());
                    }
                    Some(Token::Path) => {
                        at = tree(&tokens, at, &mut Vec::new(), &mut source.paths);
                        continue;
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        source
    }

    /// The module that it is: `["plan", "waves"]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.file.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    }

    /// The first of its module's names.
    pub(crate) fn room(&self) -> String {
        self.module().swap_remove(0)
    }

    /// Whether it is this file, or one of this room.
    pub(crate) fn is_in(&self, place: &str) -> bool {
        self.file == place
            || self.file == format!("{place}.rs")
            || self.file.starts_with(&format!("{place}/"))
    }

    /// The paths that lead into this crate, from its root.
    pub(crate) fn own_paths(&self) -> Vec<Vec<String>> {
        self.paths.iter().filter_map(|path| self.inside(path)).collect()
    }

    /// Every path as it is written, and with what its first name was imported from: `fs::write` after
    /// `use std::fs` is `std::fs::write`.
    pub(crate) fn full_paths(&self) -> Vec<Vec<String>> {
        let imported = |path: &&Vec<String>| self.paths.iter().find(|it| it.last() == path.first());
        let longer = self.paths.iter().filter_map(|path| {
            let from = imported(&path).filter(|from| from.len() > 1 && *from != path)?;
            Some([&from[..], &path[1..]].concat())
        });
        self.paths.iter().cloned().chain(longer).collect()
    }

    fn inside(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base = match path[0].as_str() {
            "crate" | "provision" => Vec::new(),
            "self" => self.module(),
            "super" => {
                let mut module = self.module();
                module.pop();
                module
            }
            _ => return None,
        };
        for part in &path[1..] {
            match part.as_str() {
                "super" => drop(base.pop()),
                "self" => {}
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }
}

/// What matters of a source's text.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    /// `::`
    Path,
    Mark(char),
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        match text.chars().next() {
            Some(c) if !is_name(c) => Token::Mark(c),
            _ => Token::Name(text.to_owned()),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Names and marks; comments, texts and characters are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(offset, c)| chars.get(at + offset) == Some(&c))
    };
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            while at < chars.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if c == 'r' && (starts(at, "r\"") || starts(at, "r#")) {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) == Some(&'"') {
                let end = format!("\"{}", "#".repeat(hashes));
                at += hashes + 2;
                while at < chars.len() && !starts(at, &end) {
                    at += 1;
                }
                at += end.len();
            } else {
                // A name such as r#type.
                at += 1 + hashes;
            }
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A character, or the mark of a lifetime.
            if chars.get(at + 1) == Some(&'\\') {
                at += 3;
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            } else if chars.get(at + 2) == Some(&'\'') {
                at += 3;
            } else {
                at += 1;
            }
        } else if is_name(c) {
            let from = at;
            while at < chars.len() && is_name(chars[at]) {
                at += 1;
            }
            tokens.push(Token::Name(chars[from..at].iter().collect()));
        } else {
            if starts(at, "::") {
                tokens.push(Token::Path);
                at += 1;
            } else if !c.is_whitespace() {
                tokens.push(Token::Mark(c));
            }
            at += 1;
        }
    }
    tokens
}

/// Past the item that begins here: its block, or the semicolon that ends it.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at] {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            Token::Mark(';') if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Adds the paths of one tree of imports, or of one path; the place after it.
fn tree(
    tokens: &[Token],
    mut at: usize,
    before: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let depth = before.len();
    loop {
        match tokens.get(at) {
            Some(Token::Name(name)) => {
                before.push(name.clone());
                at += 1;
                if tokens.get(at) == Some(&Token::Path) {
                    at += 1;
                    continue;
                }
                found.push(before.iter().filter(|part| *part != "self").cloned().collect());
                if before.first().is_some_and(|first| first == "self")
                    && let Some(last) = found.last_mut()
                {
                    last.insert(0, "self".to_owned());
                }
            }
            Some(Token::Mark('{')) if !before.is_empty() => {
                at += 1;
                while at < tokens.len() && tokens[at] != Token::Mark('}') {
                    let from = at;
                    at = tree(tokens, at, before, found);
                    // `as NAME`, commas, and whatever else stands between.
                    while at < tokens.len()
                        && !matches!(tokens[at], Token::Mark('}' | ',') | Token::Path)
                        && at > from
                    {
                        at += 1;
                    }
                    if matches!(tokens.get(at), Some(Token::Mark(','))) || at == from {
                        at += 1;
                    }
                }
                at += 1;
            }
            // All of a module, or a turbofish after it.
            _ => found.push(before.clone()),
        }
        before.truncate(depth);
        return at;
    }
}
