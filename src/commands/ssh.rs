//! `provision ssh HOST`: the user's own ssh, through the connection that runs use.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::pipeline::arguments::{Reach, Source};
use crate::pipeline::load;
use crate::remote::ssh::{Options, UnknownKeys, connect};
use crate::report::exit;
use crate::ui::line;

/// Arguments of `ssh`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host
    #[arg(add = crate::pipeline::complete::host())]
    host: String,
    #[command(flatten)]
    source: Source,
    /// Login user, over the inventory's
    #[arg(short = 'u', long, env = "PROVISION_USER")]
    user: Option<String>,
    /// Private key file, over the inventory's
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Accept and remember the host's key if it is not known yet; a changed key is refused always
    #[arg(long)]
    accept_new_host_keys: bool,
    /// A command instead of a shell
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    // sudo is for whoever sits there.
    let reach = Reach {
        user: args.user.clone(),
        private_key: args.private_key.clone(),
        ask_become_pass: false,
        become_password_file: None,
        accept_new_host_keys: args.accept_new_host_keys,
    };
    let session = load::session(&args.source, Some(&reach), load::Artefacts::MayBeMissing).await?;
    let (host, machine) = session.host(&args.host)?;
    let keys = if args.accept_new_host_keys { UnknownKeys::Accept } else { UnknownKeys::Refuse };
    let options = Options::new(keys).map_err(|error| anyhow::anyhow!("{error}"))?;
    let link = match connect(&machine.ssh, &options).await {
        Ok(link) => link,
        Err(unreachable) => {
            line(std::io::stderr().lock(), &format!("error: {host}: {unreachable}"));
            return Ok(exit::UNREACHABLE);
        }
    };
    let terminal = args.command.is_empty() && std::io::stdin().is_terminal();
    let ends = if terminal { Ends::Terminal } else { Ends::Pipe };
    let arguments = arguments(
        link.control_socket(),
        machine.ssh.config_file.as_deref(),
        &machine.ssh.host,
        ends,
        &args.command,
    );
    let program = which::which("ssh").context("there is no ssh here; install openssh-client")?;
    let status = tokio::process::Command::new(program).args(arguments).status().await?;
    // Killed by a signal: what a shell would say.
    let code = status.code().or_else(|| {
        use std::os::unix::process::ExitStatusExt as _;
        status.signal().map(|signal| 128 + signal)
    });
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::USAGE))
}

/// Whether a terminal is wanted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Terminal,
    Pipe,
}

/// What ssh is started with. The master has shaken hands with all the inventory's settings; without it
/// there is to be no connection rather than one with other settings.
fn arguments(
    socket: &Path,
    config: Option<&Path>,
    host: &str,
    ends: Ends,
    command: &[String],
) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut socket_text = socket.as_os_str().to_owned();
    if let Some(text) = socket.to_str() {
        // ssh expands `%` in paths.
        socket_text = text.replace('%', "%%").into();
    }
    list.extend(["-S".into(), socket_text]);
    if let Some(config) = config {
        list.extend(["-F".into(), config.as_os_str().to_owned()]);
    }
    for option in [
        "ControlMaster=no",
        "BatchMode=yes",
        "ProxyCommand=exit 1",
        "RemoteCommand=none",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
    ] {
        list.extend(["-o".into(), option.into()]);
    }
    list.push(if ends == Ends::Terminal { "-t".into() } else { "-T".into() });
    list.extend(["--".into(), host.into()]);
    list.extend(command.iter().map(OsString::from));
    list
}
