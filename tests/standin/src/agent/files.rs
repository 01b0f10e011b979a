//! `/files/browse`, `/files/read`, `/files/download`: the sandboxes, and nothing else of the host.
//! Source: docs/endpoints/files at 1.11.0; src/files/files.cpp.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::Agent;
use crate::http::{Request, Response};

/// As much as one `read` gives: 16 pages.
const MOST: u64 = 16 * 4096;

impl Agent {
    pub(super) fn files(&self, what: &str, request: &Request) -> Response {
        let parameter = |name: &str| request.parameter(name).filter(|value| !value.is_empty());
        let Some(path) = parameter("path") else {
            return Response::bad_request("Expecting 'path=value' in query.\n");
        };
        let Some(found) = self.resolve(&path) else { return Response::text(404, "") };
        match what {
            "files/browse" => browse(&path, &found),
            "files/download" => match std::fs::read(&found) {
                Ok(bytes) if found.is_file() => Response::file(bytes),
                _ => Response::bad_request("Cannot download a directory.\n"),
            },
            _ => {
                let number = |name: &str| match parameter(name) {
                    Some(text) => text.parse::<i64>().map(Some),
                    None => Ok(None),
                };
                match (number("offset"), number("length")) {
                    (Ok(offset), Ok(length)) => read(&found, offset, length),
                    (Err(error), _) => {
                        Response::bad_request(&format!("Failed to parse offset: {error}.\n"))
                    }
                    (_, Err(error)) => {
                        Response::bad_request(&format!("Failed to parse length: {error}.\n"))
                    }
                }
            }
        }
    }

    /// The file meant, if it lies in a sandbox whatever links there are, or is the agent's log.
    fn resolve(&self, path: &str) -> Option<PathBuf> {
        if path == "/slave/log" {
            let log = Path::new(self.flags.text("log_dir")?).join("mesos-slave.INFO");
            return log.canonicalize().ok();
        }
        let found = Path::new(path).canonicalize().ok()?;
        let state = self.state();
        let gone = state.tasks.completed.iter().flat_map(|framework| &framework.completed);
        let here = state.tasks.frameworks.values();
        let here = here.flat_map(|all| all.executors.values().chain(&all.completed));
        let mut sandboxes = here.chain(gone).filter_map(|it| it.sandbox.canonicalize().ok());
        sandboxes.any(|sandbox| found.starts_with(sandbox)).then_some(found)
    }
}

fn browse(asked: &str, found: &Path) -> Response {
    if !found.is_dir() {
        return Response::json(&json!([]));
    }
    let listed = std::fs::read_dir(found).into_iter().flatten().flatten();
    let mut entries: Vec<(String, Json)> = listed
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{}/{name}", asked.trim_end_matches('/'));
            let meta = entry.metadata().ok()?;
            let view = json!({
                "gid": meta.gid().to_string(),
                "mode": mode(meta.mode()),
                "mtime": meta.mtime(),
                "nlink": meta.nlink(),
                "path": path,
                "size": meta.len(),
                "uid": meta.uid().to_string(),
            });
            Some((name, view))
        })
        .collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Response::json(&entries.into_iter().map(|(_, view)| view).collect())
}

/// Without an offset only the size is told.
fn read(found: &Path, offset: Option<i64>, length: Option<i64>) -> Response {
    if !found.is_file() {
        return Response::bad_request("Cannot read a directory.\n");
    }
    let read = || -> std::io::Result<Json> {
        let mut file = File::open(found)?;
        let size = file.metadata()?.len();
        let Ok(offset) = u64::try_from(offset.unwrap_or(-1)) else {
            return Ok(json!({ "data": "", "offset": size }));
        };
        let most = length.and_then(|length| u64::try_from(length).ok()).unwrap_or(MOST).min(MOST);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))?;
        file.take(most).read_to_end(&mut bytes)?;
        Ok(json!({ "data": String::from_utf8_lossy(&bytes), "offset": offset }))
    };
    match read() {
        Ok(view) => Response::json(&view),
        Err(error) => Response::text(500, &format!("Failed to read file: {error}.\n")),
    }
}

/// `-rw-r--r--`.
fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let bits = (0..9).map(|at| {
        let set = mode & (0o400 >> at) != 0;
        if set { ['r', 'w', 'x'][at % 3] } else { '-' }
    });
    std::iter::once(kind).chain(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_750), "drwxr-x---");
    }
}
