//! How a host of ours asks masters for us, over HTTP: as the operator, and over TLS wherever that is spoken.

use crate::script::quote;

/// How a master's host puts our questions and calls to masters, as a configuration of curl: root's alone, for the
/// operator's credential is in it, and with TLS whom it believes.
pub const CURL: &str = "/etc/mesos-secrets/operator.curl";

/// Lets the shell's `$k` name [`CURL`], or an empty one where there is none.
const AS_OPERATOR: &str = "k=/etc/mesos-secrets/operator.curl; [ -r \"$k\" ] || k=/dev/null";

/// The scheme of a URL that is asked over TLS where that is answered, and else without: the host that asks finds out.
pub(super) const EITHER: &str = "https+http";

/// What finds it out. `/health` asks nobody for a credential, so none is sent without TLS to who speaks it.
const FIND: &str = "spoken() { p=https; curl -K \"$k\" -s -g -m 5 --connect-timeout 2 --noproxy '*' -o /dev/null \
    \"https://${1%%/*}/health\" 2>/dev/null || p=http; printf '%s://%s' \"$p\" \"$1\"; }";

/// What begins a script that asks these URLs of masters, each written by [`word`].
pub fn asking<'a>(urls: impl IntoIterator<Item = &'a str>) -> String {
    match urls.into_iter().any(|url| rest(url).is_some()) {
        true => format!("{AS_OPERATOR}\n{FIND}"),
        false => AS_OPERATOR.to_owned(),
    }
}

/// A URL as a word of such a script.
pub fn word(url: &str) -> String {
    rest(url).map_or_else(|| quote(url), |rest| format!("\"$(spoken {})\"", quote(rest)))
}

/// Several.
pub fn words<'a>(urls: impl IntoIterator<Item = &'a str>) -> String {
    urls.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What a script begins with that asks `$url` of a master, as the operator where it says so itself.
pub fn knowing(url: &str) -> String {
    let found = if rest(url).is_some() { format!("{}\n", asking([url])) } else { String::new() };
    format!("{found}url={}\n", word(url))
}

/// What follows the scheme, of a URL whose scheme is to be found out.
fn rest(url: &str) -> Option<&str> {
    url.strip_prefix(EITHER)?.strip_prefix("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_may_be_either_is_found_out_by_who_asks() {
        let [plain, either] = ["http://10.0.0.1:5050/x", "https+http://10.0.0.1:5050/x"];
        assert_eq!(word(plain), quote(plain));
        assert_eq!(words([plain, either]), format!("{} {}", quote(plain), word(either)));
        assert_eq!(word(either), format!("\"$(spoken {})\"", quote("10.0.0.1:5050/x")));
        assert!(asking([plain, either]).contains("spoken()"));
        assert_eq!(asking([plain]), AS_OPERATOR);
    }
}
