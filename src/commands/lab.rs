//! `provision lab`: the twin.

use crate::ground::Debian;
use crate::lab::{self, TwinSpec};
use crate::pipeline::arguments::Source;
use crate::pipeline::load;
use crate::report::exit;
use crate::ui::out::Out;
use crate::ui::{line, problems};

/// Arguments of `lab`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LabCommand {
    /// Start one container per host of the inventory
    Up(Make),
    /// Remove them
    Down(Which),
    /// Show them
    Status(Which),
    /// Make them anew, as bare as at the beginning
    Reset(Make),
    /// Open a shell on one of them
    Ssh(Ssh),
    /// Make the image of bare hosts, and print its name: an image of your own is built FROM it
    Image(Bare),
}

#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
struct Make {
    #[command(flatten)]
    bare: Bare,
    /// Make them from this image, built FROM that of bare hosts (`provision lab image`) with what yours have from
    /// the start [default: that of the twin that is there, or bare]
    #[arg(long)]
    image: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Bare {
    #[command(flatten)]
    source: Source,
    /// Debian's release on all of them [default: that of the twin that is there, or 12]
    #[arg(long, value_name = "RELEASE", value_parser = ["11", "12", "13"])]
    debian: Option<String>,
}

impl Bare {
    fn release(&self) -> Option<Debian> {
        self.debian.as_ref().and_then(|it| it.parse().ok()).and_then(Debian::numbered)
    }
}

#[derive(Debug, clap::Args)]
struct Ssh {
    /// The host
    #[arg(add = crate::pipeline::complete::host())]
    host: String,
    #[command(flatten)]
    source: Source,
    /// A command instead of a shell
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let source = match &args.command {
        LabCommand::Up(it) | LabCommand::Reset(it) => &it.bare.source,
        LabCommand::Image(it) => &it.source,
        LabCommand::Down(it) | LabCommand::Status(it) => &it.source,
        LabCommand::Ssh(it) => &it.source,
    };
    let source = Source { lab: true, ..source.clone() };
    let inventory = match load::read(&source, load::Artefacts::MayBeMissing) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => {
            problems::print(&refused.problems, &refused.text);
            return Ok(exit::USAGE);
        }
    };
    let mut spec = TwinSpec::of(&inventory);
    let mut say = |text: &str| line(std::io::stderr().lock(), text);
    match &args.command {
        LabCommand::Up(it) | LabCommand::Reset(it) => {
            spec.debian = it.bare.release();
            spec.image.clone_from(&it.image);
            let twin = if matches!(args.command, LabCommand::Reset(_)) {
                lab::reset(&spec, &mut say).await?
            } else {
                lab::up(&spec, &mut say).await?
            };
            for (host, address) in &twin.addresses {
                line(Out, &format!("{host:<12} {address}"));
            }
        }
        LabCommand::Down(_) => lab::down(&inventory.cluster, &mut say).await?,
        LabCommand::Status(_) => {
            for row in lab::status(&inventory.cluster).await? {
                line(
                    Out,
                    &format!(
                        "{:<12} {:<15} {:<9} {}",
                        row.name,
                        row.address.to_string(),
                        row.state,
                        row.debian
                    ),
                );
            }
        }
        LabCommand::Image(it) => {
            spec.debian = it.release();
            line(Out, &lab::image(&spec, &mut say).await?);
        }
        LabCommand::Ssh(it) => {
            let Some(twin) = lab::find(&inventory.cluster).await? else {
                anyhow::bail!("no twin of `{}` runs here", inventory.cluster);
            };
            let host = crate::ground::HostName::new(&it.host);
            let Some(address) = twin.addresses.get(&host) else {
                anyhow::bail!("the twin has no host {host}");
            };
            let status = std::process::Command::new(which::which("ssh")?)
                .args(["-F", "/dev/null", "-i"])
                .arg(&twin.identity)
                .arg("-o")
                .arg(format!("UserKnownHostsFile={}", twin.known_hosts.display()))
                .arg(format!("root@{address}"))
                .arg("--")
                .args(&it.command)
                .status()?;
            return Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1));
        }
    }
    Ok(exit::OK)
}
