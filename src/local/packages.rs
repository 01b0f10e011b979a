//! What files that are installed elsewhere say of themselves: Debian packages, and the archives in which
//! software is released.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use md5::{Digest as _, Md5};
use ruzstd::decoding::StreamingDecoder;

/// A Debian package, as its file describes it.
///
/// Source: deb(5), deb-control(5), dpkg(1) "md5sums".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Debian {
    /// Its name.
    pub name: String,
    /// Its whole version, epoch and revision included.
    pub version: String,
    /// Paths in it, without a leading `/`; those of regular files at least.
    pub paths: BTreeSet<String>,
    /// Lines of `MD5  PATH` of files: what dpkg keeps of it once it is installed, byte by byte, in
    /// `/var/lib/dpkg/info/NAME.md5sums`. Lists that packages bring are kept as they are and lack configuration
    /// files; one that dpkg makes holds them, in the archive's order (`write_filehash_except` in dpkg's
    /// src/unpack.c; seen with dpkg 1.21.23).
    pub sums: String,
}

/// No control file or list of a package is larger.
const MOST: u64 = 64 << 20;

impl Debian {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it is none, to follow its name.
    pub fn read(path: &Path) -> Result<Debian, String> {
        let unreadable =
            |error: io::Error| format!("is no Debian package that can be read: {error}");
        let open = || File::open(path).map_err(unreadable);
        let mut it = Debian::default();
        let control = part(open()?, "control.tar", |tar| it.control(tar)).map_err(unreadable)?;
        if control.is_none() || it.name.is_empty() || it.version.is_empty() {
            return Err("is no Debian package".to_owned());
        }
        // Most packages bring the list; of one that does not dpkg makes it when it is installed.
        if it.sums.is_empty() {
            part(open()?, "data.tar", |tar| it.data(tar)).map_err(unreadable)?;
        }
        Ok(it)
    }

    fn control(&mut self, tar: &mut dyn Read) -> io::Result<()> {
        for entry in tar::Archive::new(tar).entries()? {
            let entry = entry?;
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut text = String::new();
            if !matches!(name.as_str(), "control" | "md5sums" | "conffiles") {
                continue;
            }
            entry.take(MOST).read_to_string(&mut text)?;
            match name.as_str() {
                "control" => {
                    let field = |name: &str| {
                        let mut lines = text.lines();
                        let value = lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
                        value.unwrap_or_default().trim().to_owned()
                    };
                    (self.name, self.version) = (field("Package"), field("Version"));
                }
                "md5sums" => {
                    let paths = text.lines().filter_map(|line| line.split_once("  "));
                    self.paths.extend(paths.map(|(_, path)| path.to_owned()));
                    self.sums = text;
                }
                _ => {
                    let paths = text.lines().map(|path| path.trim_start_matches('/').to_owned());
                    self.paths.extend(paths);
                }
            }
        }
        Ok(())
    }

    fn data(&mut self, tar: &mut dyn Read) -> io::Result<()> {
        let name = |path: &Path| path.to_string_lossy().trim_start_matches("./").to_owned();
        let mut sums = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = name(&entry.path()?);
            let kind = entry.header().entry_type();
            let sum = if kind.is_hard_link() {
                let first = entry.link_name()?.and_then(|first| sums.get(&name(&first)).cloned());
                Some(first.unwrap_or_default())
            } else if kind.is_file() {
                let mut hash = Md5::new();
                let mut block = vec![0; 1 << 16];
                loop {
                    match entry.read(&mut block)? {
                        0 => break,
                        n => hash.update(&block[..n]),
                    }
                }
                Some(hash.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>())
            } else {
                None
            };
            if let Some(sum) = sum {
                let _ = writeln!(self.sums, "{sum}  {path}");
                sums.insert(path.clone(), sum);
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

/// Reads the member of a package whose name begins so, unpacked; `None` where there is none.
fn part<T>(
    file: File,
    name: &str,
    mut read: impl FnMut(&mut dyn Read) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut archive = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = archive.next_entry() {
        let member = member?;
        let found = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let Some(packed) = found.strip_prefix(name) else { continue };
        return match packed {
            "" => read(&mut { member }),
            ".gz" => read(&mut GzDecoder::new(member)),
            ".xz" => read(&mut XzReader::new(member, true)),
            ".zst" => read(&mut StreamingDecoder::new(member).map_err(io::Error::other)?),
            other => Err(io::Error::other(format!("{name}{other} is packed in an unknown way"))),
        }
        .map(Some);
    }
    Ok(None)
}

/// The directory that all in a gzipped archive lies in, by its first entry; `None` of what is no such
/// archive.
pub fn top_directory(path: &Path) -> Option<String> {
    let file = io::BufReader::new(File::open(path).ok()?);
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let first = archive.entries().ok()?.next()?.ok()?;
    let path = first.path().ok()?;
    let text = path.to_string_lossy();
    let top = text.trim_start_matches("./").split('/').next()?;
    (!top.is_empty()).then(|| top.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Result<Debian, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packages");
        Debian::read(&folder.join(name))
    }

    #[test]
    fn a_package_says_its_name_version_and_files() {
        let it = read("mesos_1.11.0_amd64.deb").unwrap();
        assert_eq!((&*it.name, &*it.version), ("mesos", "1.11.0-2.0.1"));
        assert!(it.paths.contains("usr/sbin/mesos-master"), "{it:?}");
        assert!(it.paths.contains("etc/mesos/zk"), "{it:?}");
        assert!(!it.sums.contains("etc/mesos/zk"), "{it:?}");
    }

    #[test]
    fn however_it_is_packed_dpkgs_own_list_comes_out() {
        let with = read("mesos_1.11.0_amd64.deb").unwrap();
        for name in ["without-sums.xz.deb", "without-sums.zst.deb"] {
            let it = read(name).unwrap();
            // The list that dpkg makes has configuration files too.
            let mut made: Vec<&str> = it.sums.lines().filter(|l| !l.contains("  etc/")).collect();
            let mut brought: Vec<&str> = with.sums.lines().collect();
            made.sort_unstable();
            brought.sort_unstable();
            assert_eq!(made, brought, "{name}");
            assert!(it.sums.lines().any(|line| line.ends_with("  etc/mesos/zk")), "{name}");
            assert!(it.paths.is_superset(&with.paths), "{name}");
        }
        let other = read("aventer-mesos_1.11.0-0.7.1_amd64.deb").unwrap();
        assert_eq!((&*other.name, &*other.version), ("aventer-mesos", "1.11.0-0.7.1"));
        assert!(other.paths.contains("lib/systemd/system/mesos-agent.service"));
    }

    #[test]
    fn a_hard_link_has_the_sum_of_its_file() {
        let packed = |fill: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
            let mut tar = tar::Builder::new(Vec::new());
            fill(&mut tar);
            tar.into_inner().unwrap()
        };
        let file = |tar: &mut tar::Builder<Vec<u8>>, path: &str, text: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        };
        let control = packed(&|tar| {
            file(tar, "./control", "Package: linked\nVersion: 1.0\nArchitecture: all\n");
        });
        let data = packed(&|tar| {
            file(tar, "./usr/bin/b", "one");
            let mut link = tar::Header::new_gnu();
            link.set_entry_type(tar::EntryType::Link);
            link.set_size(0);
            tar.append_link(&mut link, "./usr/bin/a", "./usr/bin/b").unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("linked.deb");
        let mut archive = ar::Builder::new(File::create(&path).unwrap());
        for (name, bytes) in [("control.tar", &control), ("data.tar", &data)] {
            let header = ar::Header::new(name.into(), bytes.len() as u64);
            archive.append(&header, &**bytes).unwrap();
        }
        drop(archive);
        // As dpkg 1.21.23 keeps it: the archive's order, a link with what it leads to.
        let one = "f97c5d29941bfb1b2fdab0874906ab82";
        assert_eq!(
            Debian::read(&path).unwrap().sums,
            format!("{one}  usr/bin/b\n{one}  usr/bin/a\n")
        );
    }

    #[test]
    fn what_is_no_package_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.deb");
        for bytes in [&b"mesos"[..], b"", b"!<arch>\n"] {
            std::fs::write(&path, bytes).unwrap();
            let why = Debian::read(&path).unwrap_err();
            assert!(why.starts_with("is no Debian package"), "{why}");
        }
        assert_eq!(top_directory(&path), None);
    }
}
