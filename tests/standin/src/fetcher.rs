//! A task's URIs, fetched into its sandbox before it starts.
//! Source: src/launcher/fetcher.cpp at 1.11.0. There is no cache here: `cache` is accepted and each
//! URI is fetched anew.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::run::User;

/// One CommandInfo.URI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) value: String,
    pub(crate) executable: bool,
    pub(crate) extract: bool,
    /// The name in the sandbox, where it is not the last part of the URI.
    pub(crate) output_file: Option<String>,
}

/// Fetches all; what goes on is written to the sandbox's `stderr`, as the real fetcher does.
pub(crate) fn fetch(
    uris: &[Uri],
    sandbox: &Path,
    user: Option<User>,
    stall: Duration,
) -> Result<(), String> {
    if uris.is_empty() {
        return Ok(());
    }
    let mut diary = Diary(File::options().append(true).open(sandbox.join("stderr")).ok());
    for uri in uris {
        diary.note(&format!("Fetching URI '{}'", uri.value));
        match one(uri, sandbox, user, stall, &mut diary) {
            Ok(path) => diary.note(&format!("Fetched '{}' to '{}'", uri.value, path.display())),
            Err(error) => {
                let text = format!("Failed to fetch '{}': {error}", uri.value);
                diary.line(&text);
                return Err("exited with status 1".to_owned());
            }
        }
    }
    Ok(())
}

/// The sandbox's `stderr`.
struct Diary(Option<File>);

impl Diary {
    fn note(&mut self, text: &str) {
        let (stamp, process) = (clock::log_stamp(), std::process::id());
        self.line(&format!("I{stamp} {process:>5} fetcher.cpp:222] {text}"));
    }

    fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.0 {
            // A sandbox that cannot be written to shows itself with the first file fetched.
            let _ = writeln!(file, "{text}");
        }
    }
}

fn one(
    uri: &Uri,
    sandbox: &Path,
    user: Option<User>,
    stall: Duration,
    diary: &mut Diary,
) -> Result<PathBuf, String> {
    let value = uri.value.trim();
    let name = match &uri.output_file {
        Some(name) => name.as_str(),
        None => basename(value)?,
    };
    if name.split('/').any(|part| part == "..") || name.starts_with('/') {
        return Err(format!("the output file '{name}' would lie outside of the sandbox"));
    }
    let target = sandbox.join(name);
    if let Some(directory) = target.parent() {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    }
    match source(value)? {
        Source::Local(path) => {
            diary.note(&format!("Copying resource from '{path}' to '{}'", target.display()));
            std::fs::copy(path, &target)
                .map_err(|error| format!("Failed to copy '{path}': {error}"))?;
        }
        Source::Http { authority, path } => {
            diary.note(&format!("Downloading resource from '{value}' to '{}'", target.display()));
            download(authority, &path, &target, stall, 5)
                .map_err(|error| format!("Error downloading resource: {error}"))?;
        }
    }
    if let Some(user) = user {
        crate::sandbox::give(&target, user).map_err(|error| error.to_string())?;
    }
    if uri.executable {
        std::fs::set_permissions(&target, Permissions::from_mode(0o755))
            .map_err(|error| format!("Failed to chmod executable '{name}': {error}"))?;
    } else if uri.extract && !extract(&target, sandbox, user, diary)? {
        diary.note(&format!(
            "Copying instead of extracting resource from URI with 'extract' flag, because it does \
             not seem to be an archive: {value}"
        ));
    }
    Ok(target)
}

#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    Local(&'a str),
    Http { authority: &'a str, path: String },
}

fn source(value: &str) -> Result<Source<'_>, String> {
    if let Some(rest) = value.strip_prefix("http://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Ok(Source::Http { authority, path: format!("/{path}") });
    }
    let path = match value.strip_prefix("file://") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None if value.contains("://") => {
            let scheme = value.split("://").next().unwrap_or_default();
            return Err(format!("the stand-in fetches http, file and plain paths, not '{scheme}'"));
        }
        None => value,
    };
    match path.starts_with('/') {
        true => Ok(Source::Local(path)),
        false => Err("A relative path was passed for the resource but the Mesos framework home \
                      was not specified. Please either provide this config option or avoid using \
                      a relative path"
            .to_owned()),
    }
}

fn basename(value: &str) -> Result<&str, String> {
    let path = value.split_once("://").map_or(value, |(_, rest)| rest);
    let path = path.split('?').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.is_empty() || !path.contains('/') {
        true => Err(format!("Malformed URI (missing path): {value}")),
        false => Ok(name),
    }
}

/// As HTTP/1.0, so that the answer has no pieces and ends with the connection.
fn download(
    authority: &str,
    path: &str,
    target: &Path,
    stall: Duration,
    redirects: u8,
) -> Result<(), String> {
    let place = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let text = |error: std::io::Error| error.to_string();
    let found = place.to_socket_addrs().map_err(|_| "Couldn't resolve host name".to_owned())?;
    let mut stream = Err("Couldn't resolve host name".to_owned());
    for address in found {
        stream = TcpStream::connect_timeout(&address, stall).map_err(text);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    stream.set_read_timeout(Some(stall)).map_err(text)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut reader = BufReader::new(stream);
    let head = head(&mut reader).map_err(text)?;
    let status = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let header = |wanted: &str| {
        head.iter().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    match (status, header("location")) {
        ("200", _) => {}
        ("301" | "302" | "303" | "307" | "308", Some(to)) if redirects > 0 => {
            let Source::Http { authority, path } = source(&to)? else {
                return Err(format!("redirected to '{to}'"));
            };
            return download(authority, &path, target, stall, redirects - 1);
        }
        _ => return Err(format!("Unexpected HTTP response code: {status}")),
    }
    let mut file = File::create(target).map_err(text)?;
    let got = std::io::copy(&mut reader, &mut file).map_err(text)?;
    match header("content-length").and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length != got => Err(format!("got {got} of {length} bytes")),
        _ => Ok(()),
    }
}

fn head(reader: &mut impl BufRead) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read = reader.by_ref().take(16 << 10).read_line(&mut line)?;
        let line = line.trim_end();
        if read == 0 || line.is_empty() || lines.len() > 100 {
            return Ok(lines);
        }
        lines.push(line.to_owned());
    }
}

/// What unpacks a file of this name; none for what is no archive.
fn unpacker(name: &str) -> Option<&'static str> {
    const ENDS: [(&str, &str); 10] = [
        (".tar", TAR),
        (".tar.gz", TAR),
        (".tgz", TAR),
        (".tar.bz2", TAR),
        (".tbz2", TAR),
        (".tar.xz", TAR),
        (".txz", TAR),
        (".tar.zst", TAR),
        (".gz", "gzip -dc -- \"$2\" >\"${2%.gz}\""),
        (".zip", "unzip -o -d \"$1\" \"$2\""),
    ];
    ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, command)| *command)
}

const TAR: &str = "tar -C \"$1\" -xf \"$2\"";

fn extract(
    archive: &Path,
    sandbox: &Path,
    user: Option<User>,
    diary: &mut Diary,
) -> Result<bool, String> {
    let name = archive.to_string_lossy();
    let Some(command) = unpacker(&name) else { return Ok(false) };
    diary.note(&format!("Extracting '{name}' with: {command}"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command, "sh"]).arg(sandbox).arg(archive);
    if let Some(user) = user {
        shell.gid(user.gid).uid(user.uid);
    }
    let run = shell.output().map_err(|error| error.to_string())?;
    match run.status.success() {
        true => Ok(true),
        false => {
            let error = String::from_utf8_lossy(&run.stderr).trim().to_owned();
            Err(format!("Failed to extract: command {command} failed: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sources_are_read_as_the_real_fetcher_reads_them() {
        assert_eq!(basename("http://a:80/b/c.tgz?x=1"), Ok("c.tgz"));
        assert_eq!(basename("/opt/x.jar"), Ok("x.jar"));
        assert!(basename("http://a").is_err());
        assert_eq!(source("file:///opt/x"), Ok(Source::Local("/opt/x")));
        assert_eq!(
            source("http://a:8080/b"),
            Ok(Source::Http { authority: "a:8080", path: "/b".to_owned() })
        );
        assert!(source("hdfs://a/b").is_err_and(|error| error.contains("not 'hdfs'")));
        assert!(source("b/c").is_err());
    }

    #[test]
    fn archives_are_known_by_their_end() {
        assert_eq!(unpacker("/s/spark-3.5.1.tgz"), Some(TAR));
        assert_eq!(unpacker("/s/app.jar"), None);
        assert!(unpacker("/s/words.gz").is_some_and(|command| command.starts_with("gzip")));
    }
}
