//! Files that a host needs from elsewhere: downloaded by the host itself or pushed from here, their
//! digest checked before anything uses them, kept in the host's cache by digest.

use std::fmt::Write as _;

use crate::ground::SecretRef;
use crate::inventory::{Fetch, Proxy, Source};
use crate::script::{Fix, Push, Step, quote, slot};

/// Where fetched files are kept on a host.
pub const CACHE: &str = "/var/lib/provision/cache";

/// Where a fetched file is on the host: named by its digest, keeping its own name (apt wants `.deb`).
pub fn path(fetch: &Fetch) -> String {
    let hex = fetch.digest.hex();
    format!("{CACHE}/{}-{}", &hex[..hex.len().min(16)], safe(fetch.source.file_name()))
}

/// Steps that put the file there; nothing is done when it is there already.
pub fn steps(fetch: &Fetch, proxy: &Proxy) -> Vec<Step> {
    match &fetch.source {
        Source::Path(from) => {
            let whole = path(fetch);
            let name = whole.rsplit('/').next().unwrap_or("file").to_owned();
            vec![
                Step::Run(Fix::new(format!("install -d -m 700 {CACHE}"))),
                Step::Push(Push {
                    from: from.clone(),
                    directory: CACHE.to_owned(),
                    name,
                    digest: fetch.digest.clone(),
                }),
            ]
        }
        Source::Url(url) => vec![Step::Run(download(fetch, url, proxy))],
    }
}

/// A name that is a plain file name whatever the URL says.
fn safe(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_owned()
}

fn download(fetch: &Fetch, url: &str, proxy: &Proxy) -> Fix {
    let whole = path(fetch);
    let mut script = String::new();
    let _ = writeln!(script, "install -d -m 700 {CACHE}");
    let secrets = if proxy.is_direct(host(url)) { Vec::new() } else { export(&mut script, proxy) };
    let (file, url) = (quote(&whole), quote(url));
    let (tool, digest) = (fetch.digest.tool(), fetch.digest.hex());
    let _ = write!(
        script,
        r#"if [ ! -f {file} ]; then
  t=$(mktemp {CACHE}/.provision.XXXXXX)
  trap 'rm -f "$t"' EXIT
  code=$(curl -sSL --retry 3 --retry-delay 2 --connect-timeout 20 --speed-limit 1024 --speed-time 60 -o "$t" -w '%{{http_code}}' {url}) || die "download of "{url}" failed"
  case $code in 2??|000) ;; *) die "download of "{url}" answered HTTP $code" ;; esac
  got=$({tool} < "$t"); got=${{got%% *}}
  if [ "$got" != {digest} ]; then
    case $(head -c 15 "$t" | tr '[:upper:]' '[:lower:]') in '<!doctype'*|'<html'*) say {url}" gave an HTML page, perhaps of a captive portal" ;; esac
    die "checksum mismatch for "{url}": expected {digest}, got $got"
  fi
  sync "$t"; mv -fT "$t" {file}; trap - EXIT
fi"#
    );
    Fix::with_secrets(script, secrets)
}

/// Exports the proxies' variables; what is returned fills the slots that are in there.
pub(super) fn export(script: &mut String, proxy: &Proxy) -> Vec<SecretRef> {
    let (variables, secrets) = proxy.variables();
    for (name, value) in variables {
        let secret = (0..secrets.len()).any(|index| value == slot(index));
        // A secret is quoted where it is filled in.
        let value = if secret { value } else { quote(&value) };
        let _ = writeln!(script, "export {name}={value}");
    }
    secrets
}

/// The host of a URL.
pub fn host(url: &str) -> &str {
    let place = url.split("://").nth(1).unwrap_or(url).split(['/', '?', '#']).next().unwrap_or("");
    let place = place.rsplit('@').next().unwrap_or(place);
    match place.find(']') {
        Some(end) => &place[..=end],
        None => place.split(':').next().unwrap_or(place),
    }
}
