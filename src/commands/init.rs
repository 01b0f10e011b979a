//! `provision init`: a commented inventory to begin with.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};

use crate::local::files;
use crate::report::exit;
use crate::template::page;
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write, which must not exist yet (standard output when not given), and the addresses of the hosts: masters
    /// first, then agents
    #[arg(value_name = "FILE|ADDRESS")]
    words: Vec<String>,
    /// Masters, each with a ZooKeeper server beside it: 1, 3, 5 or 7 [default: 3, or what the addresses allow]
    #[arg(long, value_name = "N", value_parser = odd)]
    masters: Option<u8>,
    /// Agents [default: 5, or the other addresses]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=250), conflicts_with = "colocate")]
    agents: Option<u8>,
    /// Masters are agents too: machines that do everything
    #[arg(long)]
    colocate: bool,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "spark", value_parser = name)]
    cluster: String,
}

/// Who does what in the inventory.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How many masters, each with a server of the ensemble.
    pub(crate) masters: u8,
    /// How many agents.
    pub(crate) agents: u8,
    /// Masters are agents too, so that all hosts have one name and a number.
    pub(crate) colocate: bool,
    /// The hosts' addresses in the order of their names; none for the example's.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (file, layout) = layout(args)?;
    let text = inventory(&args.cluster, &layout)?;
    let Some(path) = file else {
        out::bytes(text);
        return Ok(exit::OK);
    };
    // Never over a file that somebody wrote.
    match files::create_new(path, &text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already; name another file or move it away", path.display())
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    let next = format!("wrote {0}; edit it, then: provision check {0}", path.display());
    line(Out, &next);
    Ok(exit::OK)
}

/// The file to write, and who does what.
///
/// # Errors
/// Two files, an address twice, or addresses that are too few or too many.
fn layout(args: &Args) -> anyhow::Result<(Option<&Path>, Layout)> {
    let (mut file, mut addresses) = (None, Vec::new());
    for word in &args.words {
        match word.parse::<IpAddr>() {
            Ok(address) if addresses.contains(&address) => bail!("{address} is there twice"),
            Ok(address) => addresses.push(address),
            Err(_) if file.is_none() => file = Some(Path::new(word.as_str())),
            Err(_) => bail!("`{word}` is no address, and a second file; give one FILE"),
        }
    }
    let masters = match (args.masters, addresses.len()) {
        (Some(masters), _) => masters,
        (None, 0) => 3,
        // With less than three nobody is left when one is lost; a fourth is the first agent.
        (None, hosts) if hosts >= if args.colocate { 3 } else { 4 } => 3,
        (None, _) => 1,
    };
    let hosts = match addresses.len() {
        0 if args.colocate => usize::from(masters),
        0 => usize::from(masters) + usize::from(args.agents.unwrap_or(5)),
        given => given,
    };
    let agents = if args.colocate { hosts } else { hosts.saturating_sub(usize::from(masters)) };
    if hosts < usize::from(masters) {
        bail!(
            "{masters} masters need as many addresses, and {hosts} are given; give more, or say --masters 1"
        );
    }
    let agents = match u8::try_from(agents) {
        Ok(0) => bail!(
            "no address is left for an agent; give more, or say --colocate where masters are agents too"
        ),
        Ok(agents @ ..=250) => agents,
        _ => bail!("at most 250 agents are listed here; write more by hand, as a range"),
    };
    if args.agents.is_some_and(|asked| asked != agents) {
        bail!("{hosts} addresses are {masters} masters and {agents} agents; leave --agents out");
    }
    Ok((file, Layout { masters, agents, colocate: args.colocate, addresses }))
}

/// The text; a test holds that it passes `check` without a warning.
///
/// # Errors
/// The embedded template is broken, which the same test excludes.
pub(crate) fn inventory(cluster: &str, layout: &Layout) -> anyhow::Result<String> {
    const NAME: &str = "init/inventory.yaml";
    let text = include_str!("../../templates/init/inventory.yaml.tera");
    let Layout { masters, agents, colocate, ref addresses } = *layout;
    let (master, agent) = if colocate { ("n", "n") } else { ("m", "a") };
    let apart = if colocate { usize::MAX } else { usize::from(masters) };
    let addresses = addresses.iter().enumerate().map(|(index, address)| {
        let name = match index.checked_sub(apart) {
            None => format!("{master}{}", index + 1),
            Some(index) => format!("{agent}{}", index + 1),
        };
        serde_json::json!({ "name": name, "address": address, "agent": colocate || index >= apart })
    });
    let values = serde_json::json!({
        "cluster": cluster, "masters": masters, "agents": agents, "colocate": colocate,
        "master": master, "agent": agent, "servers": (1..=masters).collect::<Vec<u8>>(),
        "addresses": addresses.collect::<Vec<_>>(),
    });
    page(NAME, text, &values).map_err(anyhow::Error::msg)
}

fn odd(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(number @ (1 | 3 | 5 | 7)) => Ok(number),
        _ => Err("a quorum of masters is 1, 3, 5 or 7".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match first && text.chars().all(good) && text.len() <= 63 {
        true => Ok(text.to_owned()),
        false => Err("a name is letters, digits, `.`, `_` and `-`".to_owned()),
    }
}
