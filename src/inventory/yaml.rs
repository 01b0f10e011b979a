//! YAML text → a tree in which every key and value knows its place and keeps its text.
//!
//! Nothing is typed here: `1.10`, `no` and `0x10` stay the text that the user wrote, and the field
//! that reads it decides. Hostile input (deep nesting, alias bombs, binary) ends early in a
//! [`Problem`] with a place, never in a panic; no message quotes the text around it, for a
//! password may stand there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span};

use crate::ground::problem::{Place, Problem};

/// Longest file that is read, in bytes; 10,000 hosts written one by one take about 1 MiB.
pub const MAX_BYTES: usize = 8 << 20;

/// Most keys and values in one file, those that aliases repeat counted each time.
pub const MAX_NODES: usize = 400_000;

/// Deepest nesting; the inventory itself needs 7.
const MAX_DEPTH: usize = 64;

/// Reads one document. `file` is what places call the file.
///
/// # Errors
/// The first thing that is not YAML, or not the YAML that inventories may hold (tags, several
/// documents, a key twice, keys that are not text).
pub fn parse(file: &str, text: &[u8]) -> Result<Node, Problem> {
    let file: Arc<str> = Arc::from(file);
    let text = decode(&file, text)?;
    Reader { file, nodes: 0, stack: Vec::new(), anchors: HashMap::new(), root: None }.read(text)
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins; the length is that of its first line.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text as written, escapes resolved; whether it was quoted decides if `null` may mean nothing.
    Scalar {
        /// The text.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A map, in the order of the file, keys unique.
    Map(Vec<(Key, Node)>),
    /// A list.
    Seq(Vec<Node>),
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare: may stand for a number, a boolean or nothing.
    Plain,
    /// In quotes or as a block: always text.
    Quoted,
}

/// A key of a map and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Its place.
    pub place: Place,
}

impl Node {
    /// Whether nothing was written: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The keys of the map that stands under a key of this one.
    pub(super) fn keys_of(&self, name: &str) -> Vec<String> {
        let Kind::Map(entries) = &self.kind else { return Vec::new() };
        let below = entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| &node.kind);
        let Some(Kind::Map(entries)) = below else { return Vec::new() };
        entries.iter().map(|(key, _)| key.text.clone()).collect()
    }

    /// What it is, for "expected X, found …".
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { .. } => "text",
            Kind::Map(_) => "a map",
            Kind::Seq(_) => "a list",
        }
    }

    /// The value under a key, when this is a map that has it.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// UTF-8 without NUL, of bounded size; a byte order mark is dropped.
fn decode<'t>(file: &Arc<str>, bytes: &'t [u8]) -> Result<&'t str, Problem> {
    let at = |line: usize, column: usize| Some(place(file, line, column, 1));
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        return Err(Problem::error(at(1, 1), "yaml-too-big", message));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::error(at(1, 1), "yaml-encoding", "the file is UTF-16")
            .help("save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    let position = |offset: usize| {
        let before = &bytes[..offset];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        at(line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
    };
    if let Some(offset) = bytes.iter().position(|b| *b == 0) {
        return Err(Problem::error(position(offset), "yaml-encoding", "a NUL byte is not text")
            .help("save the file as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        Problem::error(position(e.valid_up_to()), "yaml-encoding", "this byte is not UTF-8")
            .help("save the file as UTF-8")
    })
}

fn place(file: &Arc<str>, line: usize, column: usize, length: usize) -> Place {
    let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { file: Arc::clone(file), line: clip(line), column: clip(column), length: clip(length) }
}

/// An anchored value with its size, so that an alias can be refused before it is copied.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection whose end has not been seen.
struct Open {
    place: Place,
    anchor: usize,
    nodes_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key>, merges: Vec<Node> },
}

struct Reader {
    file: Arc<str>,
    nodes: usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<Node, Problem> {
        let mut options = Options::default();
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        options.emit_comments = false;
        options.disallow_directives = true;
        let mut parser = Parser::new_from_str_with_options(text, options);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| {
                let at = place(&self.file, e.marker().line(), e.marker().col() + 1, 1);
                if matches!(e.kind(), ErrorKind::RecursionLimitExceeded) {
                    return too_deep(at);
                }
                let problem = Problem::error(Some(at), "yaml-syntax", e.kind().to_string());
                match e.kind() {
                    ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
                        problem.help("indent with blanks")
                    }
                    ErrorKind::UnclosedFlowCollection { .. }
                    | ErrorKind::MismatchedFlowCollectionEnd { .. } => problem,
                    _ => problem
                        .help("quote text that holds `{{`, `: `, ` #`, or begins with a sign"),
                }
            })?;
            self.event(event, &span)?;
        }
        let empty = place(&self.file, 1, 1, 1);
        self.root.ok_or_else(|| {
            Problem::error(Some(empty), "yaml-syntax", "the file is empty")
                .help("`provision init` writes one to start from")
        })
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let place = self.place_of(span);
        let tag = match &event {
            Event::Scalar(_, _, _, tag)
            | Event::SequenceStart(_, _, tag)
            | Event::MappingStart(_, _, tag) => tag.is_some(),
            _ => false,
        };
        if tag {
            let message = "YAML tags such as `!name` are not used in an inventory";
            return Err(Problem::error(Some(place), "yaml-tag", message).help("delete the tag"));
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                let message = "the file holds a second document";
                let problem = Problem::error(Some(place), "yaml-two-documents", message);
                return Err(problem.help("keep one document and delete the other `---`"));
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(1, &place)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    _ => Style::Quoted,
                };
                let kind = Kind::Scalar { text: text.into_owned(), style };
                self.value(Node { place, kind }, anchor, 1, 1)?;
            }
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    let message = "an alias may not stand inside what it repeats";
                    return Err(Problem::error(Some(place), "yaml-alias", message));
                };
                let (nodes, depth) = (known.nodes, known.depth);
                self.count(nodes, &place)?;
                self.deep(depth, &place)?;
                let copy = self.anchors.get(&anchor).map(|a| a.node.clone());
                if let Some(copy) = copy {
                    self.value(copy, 0, nodes, depth)?;
                }
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(place, anchor, OpenKind::Seq(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.open(place, anchor, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, kind: OpenKind) -> Result<(), Problem> {
        let nodes_before = self.nodes;
        self.count(1, &place)?;
        self.deep(1, &place)?;
        if let Some(Open { kind: OpenKind::Map { key: None, .. }, .. }) = self.stack.last() {
            let problem = Problem::error(Some(place), "yaml-key", "a key must be text");
            return Err(problem.help("quote a template: \"{{ … }}\""));
        }
        self.stack.push(Open { place, anchor, nodes_before, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let kind = match open.kind {
            OpenKind::Seq(items) => Kind::Seq(items),
            OpenKind::Map { mut entries, mut seen, merges, .. } => {
                for merge in merges {
                    merge_into(&mut entries, &mut seen, merge)?;
                }
                Kind::Map(entries)
            }
        };
        let node = Node { place: open.place, kind };
        let (nodes, depth) = (self.nodes - open.nodes_before, depth_of(&node, open.anchor));
        self.value(node, open.anchor, nodes, depth)
    }

    /// Puts a finished value where it belongs: a key, a value, an item or the root.
    fn value(
        &mut self,
        node: Node,
        anchor: usize,
        nodes: usize,
        depth: usize,
    ) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Seq(items)) => items.push(node),
            Some(OpenKind::Map { entries, seen, key, merges }) => match key.take() {
                Some(key) if key.text == "<<" => merges.push(node),
                Some(key) => entries.push((key, node)),
                None => {
                    let Kind::Scalar { text, .. } = node.kind else {
                        let problem =
                            Problem::error(Some(node.place), "yaml-key", "a key must be text");
                        return Err(problem.help("quote a template: \"{{ … }}\""));
                    };
                    if !seen.insert(text.clone()) {
                        let message = format!("`{text}` stands twice in this map");
                        return Err(Problem::error(Some(node.place), "duplicate-key", message)
                            .help("keep one of them"));
                    }
                    *key = Some(Key { text, place: node.place });
                }
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("the file holds more than {MAX_NODES} values, aliases resolved");
        Err(Problem::error(Some(place.clone()), "yaml-too-big", message))
    }

    fn deep(&self, more: usize, place: &Place) -> Result<(), Problem> {
        if self.stack.len() + more <= MAX_DEPTH {
            return Ok(());
        }
        Err(too_deep(place.clone()))
    }

    fn place_of(&self, span: &Span) -> Place {
        let (start, end) = (span.start, span.end);
        let length = if start.line() == end.line() {
            end.col().saturating_sub(start.col()).max(1)
        } else {
            1
        };
        place(&self.file, start.line(), start.col() + 1, length)
    }
}

fn too_deep(place: Place) -> Problem {
    let message = format!("nested deeper than {MAX_DEPTH} levels");
    Problem::error(Some(place), "yaml-too-deep", message)
}

/// Only anchored values are copied, so only theirs is worth counting.
fn depth_of(node: &Node, anchor: usize) -> usize {
    fn depth(node: &Node) -> usize {
        match &node.kind {
            Kind::Scalar { .. } => 1,
            Kind::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Kind::Map(entries) => 1 + entries.iter().map(|(_, v)| depth(v)).max().unwrap_or(0),
        }
    }
    if anchor == 0 { 1 } else { depth(node) }
}

/// `<<: *defaults`: keys that stand in the map itself win.
fn merge_into(
    entries: &mut Vec<(Key, Node)>,
    seen: &mut HashSet<String>,
    merge: Node,
) -> Result<(), Problem> {
    let maps = match merge.kind {
        Kind::Map(map) => vec![map],
        Kind::Seq(items) if items.iter().all(|i| matches!(i.kind, Kind::Map(_))) => items
            .into_iter()
            .filter_map(|i| match i.kind {
                Kind::Map(map) => Some(map),
                _ => None,
            })
            .collect(),
        _ => {
            let message = "`<<` takes a map or a list of maps";
            return Err(Problem::error(Some(merge.place), "yaml-merge", message));
        }
    };
    for (key, value) in maps.into_iter().flatten() {
        if seen.insert(key.text.clone()) {
            entries.push((key, value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: impl AsRef<[u8]>) -> String {
        parse("f", text.as_ref()).expect_err("must not load").to_string()
    }

    fn text(node: &Node) -> &str {
        match &node.kind {
            Kind::Scalar { text, .. } => text,
            _ => panic!("not a scalar"),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        let root = parse("f", b"v: 1.10\nno: no\nhex: 0x10\nq: 'null'\nn: null\n").unwrap();
        assert_eq!(text(root.child("v").unwrap()), "1.10");
        assert_eq!(text(root.child("no").unwrap()), "no");
        assert_eq!(text(root.child("hex").unwrap()), "0x10");
        assert!(root.child("n").unwrap().is_null());
        assert!(!root.child("q").unwrap().is_null());
        let place = &root.child("no").unwrap().place;
        assert_eq!((place.line, place.column, place.length), (2, 5, 2));
    }

    #[test]
    fn bom_and_crlf_are_accepted_and_do_not_move_columns() {
        let root = parse("f", b"\xef\xbb\xbfa: b\r\nc: d\r\n").unwrap();
        assert_eq!(root.child("a").unwrap().place.column, 4);
        assert_eq!(text(root.child("a").unwrap()), "b");
        assert_eq!(text(root.child("c").unwrap()), "d");
    }

    #[test]
    fn what_is_not_one_utf8_document_is_refused_with_a_place() {
        assert_eq!(
            fails(b"\xff\xfea\0"),
            "f:1:1: error[yaml-encoding]: the file is UTF-16 (save it as UTF-8)"
        );
        assert!(fails(b"a: b\nc: \0").starts_with("f:2:4: error[yaml-encoding]: a NUL"));
        assert!(fails(b"a: \xc3\xa4\xff").starts_with("f:1:5: error[yaml-encoding]: this byte"));
        assert!(fails("a: 1\n---\nb: 2\n").starts_with("f:2:1: error[yaml-two-documents]"));
        assert!(fails("a: 1\nb: 2\na: 3\n").starts_with("f:3:1: error[duplicate-key]: `a`"));
        assert!(fails("a:\n\tb: 1\n").starts_with("f:2:"));
        assert!(fails("").starts_with("f:1:1: error[yaml-syntax]: the file is empty"));
        assert!(fails("a: !!int 3\n").contains("error[yaml-tag]"));
        assert!(fails("a: {{ x }}\n").contains("a key must be text"));
        assert!(fails("password: hunter2\na: 'b\n").lines().all(|l| !l.contains("hunter2")));
    }

    #[test]
    fn bombs_end_early() {
        for open in ["[", "- ", "{a: "] {
            let text = fails(open.repeat(20_000));
            assert!(text.contains("error[yaml-too-deep]: nested deeper than 64 levels"), "{text}");
        }
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 9].join(",");
            laughs.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(fails(&laughs).contains("error[yaml-too-big]"));
        let mut deep = String::from("a0: &a0 [x]\n");
        for i in 1..100 {
            deep.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(fails(&deep).contains("error[yaml-too-deep]"));
        assert!(fails(vec![b' '; MAX_BYTES + 1]).contains("error[yaml-too-big]"));
        assert!(fails("a: &a [*a]\n").contains("error["));
    }

    #[test]
    fn a_merge_fills_in_and_never_overrides() {
        let root = parse("f", b"d: &d {x: 1, y: 2}\nm:\n  <<: *d\n  y: 3\n").unwrap();
        let m = root.child("m").unwrap();
        assert_eq!(text(m.child("x").unwrap()), "1");
        assert_eq!(text(m.child("y").unwrap()), "3");
        assert!(matches!(&m.kind, Kind::Map(entries) if entries.len() == 2));
    }
}
