//! A page as a real browser shows it. Chromium is there on every machine that runs the tests
//! (tests/assets/tools.sh installs it); where it is not, the test fails.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// A page as it was shown.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What can be read, as it stands; what is folded away is not in it.
    pub text: String,
    /// Elements that reach out of the window, as their markup begins.
    pub outside: Vec<String>,
    /// Texts that do not differ enough from what is behind them: contrast below 4.5 (WCAG 2.2, 1.4.3).
    pub pale: Vec<String>,
    /// What stands behind all: `rgb(255, 255, 255)`.
    pub paper: String,
}

/// Which colours the browser's user prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// Shows a page in a window so many pixels wide. `PICTURES=DIR` keeps a picture of it there, to look at.
pub(crate) fn look(page: &str, name: &str, width: u32, scheme: Scheme) -> Seen {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("page.html");
    fs::write(&path, page).expect("the page");
    // The page runs no script, so it is measured from outside.
    let frame = FRAME.replace("WIDTH", &width.to_string());
    let outer = dir.path().join("frame.html");
    fs::write(&outer, frame).expect("the frame");
    let dump = chromium(dir.path(), scheme)
        .args(["--allow-file-access-from-files", "--window-size=1600,1200"])
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", outer.display()))
        .output()
        .expect("chromium; `make tools` installs it");
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    let seen = dump.split("<pre id=\"seen\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let seen = seen.unwrap_or_else(|| panic!("chromium measured nothing: {dump}"));
    let seen = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let seen: Json = serde_json::from_str(&seen).unwrap_or_else(|_| panic!("{seen}"));
    let list = |key: &str| -> Vec<String> {
        let all = seen[key].as_array().into_iter().flatten();
        all.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    if let Some(pictures) = std::env::var_os("PICTURES") {
        let height = seen["height"].as_u64().expect("a height").clamp(300, 4000);
        let to = Path::new(&pictures).join(format!("{name}-{width}-{scheme:?}.png"));
        let shot = chromium(dir.path(), scheme)
            .args([&format!("--window-size={width},{height}"), "--hide-scrollbars"])
            .arg(format!("--screenshot={}", to.display()))
            .arg(format!("file://{}", path.display()))
            .status()
            .expect("chromium");
        assert!(shot.success() && to.exists(), "no picture");
    }
    Seen {
        text: seen["text"].as_str().unwrap_or_default().to_owned(),
        outside: list("outside"),
        pale: list("pale"),
        paper: seen["paper"].as_str().unwrap_or_default().to_owned(),
    }
}

fn chromium(home: &Path, scheme: Scheme) -> Command {
    let mut command = Command::new("chromium");
    // Dark is 0 and light 1. Source: Blink's mojom PreferredColorScheme.
    let preferred = if scheme == Scheme::Dark { 0 } else { 1 };
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-extensions", "--disable-background-networking"])
        .arg(format!("--blink-settings=preferredColorScheme={preferred}"))
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .env("HOME", home)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

const FRAME: &str = r#"<!doctype html><meta charset="utf-8">
<iframe id="page" src="page.html" style="width:WIDTHpx;height:900px;border:0"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById('page');
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const channels = colour => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = colour => {
    const [r, g, b] = channels(colour).slice(0, 3).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let it = element; it; it = it.parentElement) {
      const colour = view.getComputedStyle(it).backgroundColor;
      const [, , , alpha = 1] = channels(colour);
      if (alpha > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const seen = { outside: [], pale: [] };
  for (const element of page.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const start = element.outerHTML.slice(0, 120);
    if (box.right > page.documentElement.clientWidth + 0.5 || box.left < -0.5) seen.outside.push(start);
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own) continue;
    const [a, b] = [light(view.getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) seen.pale.push(start);
  }
  if (page.documentElement.scrollWidth > page.documentElement.clientWidth) seen.outside.push('the page');
  seen.text = page.body.innerText;
  seen.paper = behind(page.body);
  seen.height = page.documentElement.scrollHeight;
  document.getElementById('seen').textContent = JSON.stringify(seen);
};
</script>
"#;
