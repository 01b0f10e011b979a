//! `provision destroy`: takes a cluster down, or a task of it. Data stays unless its deletion is asked for
//! with the cluster's name.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `destroy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    asked: Asked,
    /// Leave znodes, the masters' registry and what agents keep where they are: the default
    #[arg(long, conflicts_with = "delete_data")]
    keep_data: bool,
    /// Delete them too, for good: the cluster's name is to be typed
    #[arg(long, value_name = "CLUSTER")]
    delete_data: Option<String>,
}

const EXAMPLES: &str = "Examples:
  provision destroy -t dispatcher          one task
  provision destroy                        all services, their files, stamps and Spark; data stays
  provision destroy --delete-data demo     the same with all data of the cluster named demo
Packages, images and accounts stay, for others may use them, and so do Docker and a host's proxy and kernel
arguments, unless -t names `docker` or `base`. Replaced and removed files are in /var/lib/provision/backup on their hosts.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let words = match &args.delete_data {
        Some(cluster) => format!("destroy --delete-data {cluster}"),
        None => "destroy".to_owned(),
    };
    args.asked
        .run(
            &words,
            Verb::Destroy { data_of: args.delete_data.clone() },
            &args.limits,
            &Saving::default(),
        )
        .await
}
