//! Files from host to host. One host serves what it has been given, by an sshd beside its own that knows one key and
//! one answer; others fetch with that key. Both live as long as the run, and the key goes over the connections that we
//! have: nobody's authorized_keys and nobody's sshd_config are touched. The server is known by its key, and what
//! arrives by its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

use super::{ASK_LIMIT, Engine};
use crate::event::Event;
use crate::ground::digest::Algorithm;
use crate::ground::problem::Problem;
use crate::ground::{Digest, HostName};
use crate::inventory::{SEED_PORT, Seed};
use crate::plan::Plan;
use crate::remote::{Change, Ended};
use crate::script::{Fix, Handed, Probe, Push, Step, quote};

/// Where a host keeps what it serves with, and where one keeps what it fetches with.
const SERVES: &str = "/run/provision/seed";
const FETCHES: &str = "/run/provision/fetch";
const UNIT: &str = "provision-seed.service";
/// A run that is killed leaves its server behind for so long; one that goes on for longer finds it gone.
const LIFE_SECS: u32 = 4 * 3600;
/// So many fetch from one host at once.
const SLOTS: usize = 8;

/// Who serves what in this run.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// Files of this machine that more hosts than one are sent, by digest.
    wanted: Mutex<BTreeSet<String>>,
    /// Files of this machine, by digest: who was sent it from here.
    sent: Cells<String, HostName>,
    /// Files that hosts made, by host and name: their digests.
    made: Cells<(HostName, String), Digest>,
    /// Who serves.
    serving: Mutex<BTreeMap<HostName, Arc<Server>>>,
    /// Who holds a key.
    fetched: Mutex<BTreeSet<HostName>>,
    /// Of whom it was said that he cannot serve.
    said: Mutex<BTreeSet<HostName>>,
}

/// What is found out once for each key, whoever wants to know it.
type Cells<K, V> = Mutex<BTreeMap<K, Arc<OnceCell<V>>>>;

#[derive(Debug)]
struct Server {
    /// How it is known and what it knows, or why it does not serve: that is found out once.
    keys: OnceCell<Result<Keys, String>>,
    slots: Semaphore,
}

/// What it takes to fetch from a host.
#[derive(Clone)]
pub struct Keys {
    /// `TYPE KEY` of its server.
    pub server: String,
    /// The private key that this one lets in.
    pub client: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Servers {
    /// Looks through what will be done, for files that one host can give to others.
    pub(super) fn expect(&self, plan: &Plan) {
        let mut hosts: BTreeMap<String, BTreeSet<&HostName>> = BTreeMap::new();
        for (host, action) in plan.actions() {
            for step in action.resource.fix(&action.gaps) {
                if let Step::Push(push) = step {
                    hosts.entry(push.digest.hex().to_owned()).or_default().insert(host);
                }
            }
        }
        let several = hosts.into_iter().filter(|(_, hosts)| hosts.len() > 1);
        *held(&self.wanted) = several.map(|(digest, _)| digest).collect();
    }

    fn is_wanted(&self, digest: &Digest) -> bool {
        held(&self.wanted).contains(digest.hex())
    }
}

impl<Hosts: Change> Engine<Hosts> {
    /// Sends a file of this machine, or has it fetched from a host that was sent it.
    pub(super) async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        if self.inventory.seed == Seed::Here {
            return self.hosts.push(host, push).await;
        }
        let first = entry(&self.seeds.sent, push.digest.hex().to_owned());
        let mut sent = None;
        let seed = first
            .get_or_try_init(|| async {
                let ended = self.hosts.push(host, push).await;
                let done = matches!(&ended, Ok(ended) if ended.status == 0);
                sent = Some(ended);
                // It serves from now on: later it may be busy with something long.
                if done
                    && self.seeds.is_wanted(&push.digest)
                    && let Err(why) = self.serves(host).await
                {
                    self.seeds_not(host, &why);
                }
                if done { Ok(host.clone()) } else { Err(()) }
            })
            .await;
        if let Some(ended) = sent {
            return ended;
        }
        if let Ok(seed) = seed
            && seed != host
            && self.seeds.is_wanted(&push.digest)
            && self.serves(seed).await.is_ok()
        {
            match self.fetch(host, seed, &push.directory, &push.name, &push.digest).await {
                Ok(ended) if ended.status == 0 => return Ok(ended),
                Ok(ended) => self.not_fetched(host, &push.name, seed, &last(&ended)),
                Err(why) => return Err(why),
            }
        }
        self.hosts.push(host, push).await
    }

    /// Fetches what another host makes.
    pub(super) async fn fetch_made(
        &self,
        host: &HostName,
        handed: &Handed,
    ) -> Result<Ended, String> {
        let Handed { from, make, directory, name } = handed;
        let made = entry(&self.seeds.made, (from.clone(), name.clone()));
        let mut failed = None;
        let digest = made
            .get_or_try_init(|| async {
                let ended = self.hosts.run(from, &format!("hand-over {name}"), make).await;
                let ended = ended.map_err(|why| failed = Some(Err(format!("{from}: {why}"))))?;
                let said = ended.output_tail.lines().next_back().unwrap_or_default();
                match Algorithm::Sha256.digest(said) {
                    Some(digest) if ended.status == 0 => Ok(digest),
                    _ => {
                        let said = format!("{from}: {}", last(&ended));
                        failed = Some(Ok(Ended { status: 1, output_tail: said, ..ended }));
                        Err(())
                    }
                }
            })
            .await;
        let digest = match (digest, failed) {
            (Ok(digest), _) => digest,
            (Err(()), Some(failed)) => return failed,
            (Err(()), None) => return Err(format!("{from} did not hand it over")),
        };
        let refused =
            |why: String| Ok(Ended { status: 1, output_tail: why, log: std::path::PathBuf::new() });
        if let Err(why) = self.serves(from).await {
            return refused(format!("{from} serves no files: {why}"));
        }
        self.fetch(host, from, directory, name, digest).await
    }

    /// Has a host serve, if it does not yet.
    async fn serves(&self, host: &HostName) -> Result<Keys, String> {
        let server = self.server(host);
        let keys = server.keys.get_or_init(|| async {
            let address = self.inventory.hosts.get(host).ok_or("nobody knows it")?.address;
            let ended = self.hosts.run(host, "serve files", &serve(&address.to_string())).await?;
            if ended.status != 0 {
                return Err(last(&ended));
            }
            // Asked, for what an action prints is in its log.
            let sections = self.hosts.ask(host, &keys(), ASK_LIMIT).await?;
            let text = |name: &str| sections.get(name).map(|it| it.trim().to_owned());
            let server = text("server").filter(|key| is_public(key));
            let keys = server.zip(text("client")).map(|(server, client)| Keys { server, client });
            keys.ok_or_else(|| "it says no key".to_owned())
        });
        keys.await.clone()
    }

    fn server(&self, host: &HostName) -> Arc<Server> {
        let mut serving = held(&self.seeds.serving);
        let server = serving.entry(host.clone()).or_insert_with(|| {
            Arc::new(Server { keys: OnceCell::new(), slots: Semaphore::new(SLOTS) })
        });
        Arc::clone(server)
    }

    async fn fetch(
        &self,
        host: &HostName,
        from: &HostName,
        directory: &str,
        name: &str,
        digest: &Digest,
    ) -> Result<Ended, String> {
        let keys = self.serves(from).await?;
        let address = self.inventory.hosts.get(from).map(|it| it.address.to_string());
        let address = address.ok_or_else(|| format!("nobody knows {from}"))?;
        let server = self.server(from);
        let slot = server.slots.acquire().await;
        let _slot = slot.map_err(|error| error.to_string())?;
        held(&self.seeds.fetched).insert(host.clone());
        let fix = fetch(from, &address, &keys, directory, name, digest);
        self.hosts.run(host, &format!("fetch {name} from {from}"), &fix).await
    }

    /// Ends all servers and takes the keys away.
    pub(super) async fn seeds_end(self: &Arc<Self>) {
        let mut ends = JoinSet::new();
        let serving: Vec<HostName> = held(&self.seeds.serving).keys().cloned().collect();
        let fetched: Vec<HostName> = held(&self.seeds.fetched).iter().cloned().collect();
        let end = |host: HostName, what: &'static str, script: String| {
            let engine = Arc::clone(self);
            async move {
                // Where the host is lost its server ends by itself, and the key opens nothing any more.
                let _ = engine.hosts.run(&host, what, &Fix::new(script)).await;
            }
        };
        for host in serving {
            ends.spawn(end(host, "serve no files", format!("{STOP}\nrm -rf {SERVES}")));
        }
        for host in fetched {
            ends.spawn(end(host, "forget keys", format!("rm -rf {FETCHES}")));
        }
        while ends.join_next().await.is_some() {}
    }

    fn seeds_not(&self, host: &HostName, why: &str) {
        if !held(&self.seeds.said).insert(host.clone()) {
            return;
        }
        let message =
            format!("it cannot serve files to the others, which get them from here: {why}");
        let problem = Problem::warning(None, "not-served", message);
        self.sink.emit(Event::Problem { problem, host: Some(host.clone()) });
    }

    fn not_fetched(&self, host: &HostName, name: &str, from: &HostName, why: &str) {
        let message =
            format!("{name} comes from here, for it could not be fetched from {from}: {why}");
        let problem = Problem::warning(None, "not-fetched", message);
        self.sink.emit(Event::Problem { problem, host: Some(host.clone()) });
    }
}

/// The cell of a key, a new one where there is none.
fn entry<K: Ord, V>(cells: &Cells<K, V>, key: K) -> Arc<OnceCell<V>> {
    Arc::clone(held(cells).entry(key).or_default())
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn last(ended: &Ended) -> String {
    let mut lines = ended.output_tail.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or("it failed without a word").to_owned()
}

/// Whether it is a public key and nothing else.
fn is_public(text: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    text.strip_prefix("ssh-ed25519 ").is_some_and(|key| !key.is_empty() && key.chars().all(base64))
}

const STOP: &str = "systemctl -q stop provision-seed.service 2>/dev/null || :";

/// Starts the server. Its one answer is a file of the cache by its name; what root's shell, PAM and a locked password
/// say of logins is for the sshd of the host, which stays as it is.
///
/// Source: OpenSSH 8.4 and 9.2, sshd_config(5); `restrict` of sshd(8), AUTHORIZED_KEYS FILE FORMAT.
pub fn serve(address: &str) -> Fix {
    let cache = crate::resource::fetched::CACHE;
    let command = format!("restrict,command=\"sh {SERVES}/serve\" ");
    let serve = format!(
        "case $SSH_ORIGINAL_COMMAND in ''|.*|*[!A-Za-z0-9._+-]*) exit 1 ;; esac\n\
         exec cat {cache}/\"$SSH_ORIGINAL_COMMAND\"\n"
    );
    let config = format!(
        "Port {SEED_PORT}\nListenAddress {address}\nHostKey {SERVES}/server\nPidFile {SERVES}/pid\n\
         AuthorizedKeysFile {SERVES}/keys\nAuthenticationMethods publickey\nAllowUsers root\n\
         PermitRootLogin forced-commands-only\nUsePAM yes\nDisableForwarding yes\nPermitTTY no\n\
         PermitUserRC no\nPermitUserEnvironment no\nPrintMotd no\n"
    );
    Fix::new(format!(
        r#"command -v ssh-keygen >/dev/null || die "there is no ssh-keygen (package openssh-client)"
[ -x /usr/sbin/sshd ] || die "there is no /usr/sbin/sshd (package openssh-server)"
{STOP}
rm -rf {SERVES}
mkdir -p /run/sshd
install -d -m 700 {SERVES}
for n in server client; do ssh-keygen -q -t ed25519 -N '' -C provision -f {SERVES}/$n; done
{{ printf '%s' {command}; cat {SERVES}/client.pub; }} > {SERVES}/keys
printf '%s' {serve} > {SERVES}/serve
printf '%s' {config} > {SERVES}/config
systemd-run --quiet --collect --unit={UNIT} --property=RuntimeMaxSec={LIFE_SECS} /usr/sbin/sshd -D -e -f {SERVES}/config
n=0
until [ -s {SERVES}/pid ]; do
  n=$((n + 1))
  if [ "$n" -ge 50 ] || ! systemctl -q is-active {UNIT}; then die "its server did not start: $(journalctl -q -n 1 -o cat -u {UNIT} -t sshd 2>/dev/null || :)"; fi
  sleep 0.1
done"#,
        command = quote(&command),
        serve = quote(&serve),
        config = quote(&config),
    ))
}

/// Asks for what whoever fetches needs.
pub fn keys() -> Probe {
    let mut probe =
        Probe::new("server", format!("read -r t k _ < {SERVES}/server.pub; echo \"$t $k\""));
    probe.section("client", format!("cat {SERVES}/client"));
    probe
}

/// Fetches one file, unless it is there.
pub fn fetch(
    from: &HostName,
    address: &str,
    keys: &Keys,
    directory: &str,
    name: &str,
    digest: &Digest,
) -> Fix {
    let known = format!("[{address}]:{SEED_PORT} {}", keys.server);
    let file = format!("{directory}/{name}");
    Fix::new(format!(
        r#"got=
[ ! -f {file} ] || {{ got=$({tool} < {file}); got=${{got%% *}}; }}
if [ "$got" != {digest} ]; then
  command -v ssh >/dev/null || die "there is no ssh client (package openssh-client)"
  install -d -m 700 {directory}
  install -d -m 700 {FETCHES}
  ( umask 077; printf '%s\n' {known} > {FETCHES}/{from}.known; printf '%s\n' {client} > {FETCHES}/{from} )
  t=$(mktemp {directory}/.provision.XXXXXX)
  trap 'rm -f "$t"' EXIT
  ssh -F /dev/null -T -p {SEED_PORT} -i {FETCHES}/{from} -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey -o StrictHostKeyChecking=yes -o UserKnownHostsFile={FETCHES}/{from}.known -o GlobalKnownHostsFile=/dev/null -o HostKeyAlgorithms=ssh-ed25519 -o ConnectTimeout=10 -o ServerAliveInterval=10 -o LogLevel=ERROR root@{address} {name} </dev/null 2>{FETCHES}/said >"$t" || die "$(tail -n 1 {FETCHES}/said)"
  got=$({tool} < "$t"); got=${{got%% *}}
  [ "$got" = {digest} ] || die "what {from} served is not the file: expected {digest}, got $got"
  sync "$t"; mv -fT "$t" {file}; trap - EXIT
fi"#,
        file = quote(&file),
        directory = quote(directory),
        known = quote(&known),
        client = quote(&keys.client),
        name = quote(name),
        tool = digest.tool(),
        digest = digest.hex(),
    ))
}
