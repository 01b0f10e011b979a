//! Certificates of a twin: of a CA of its own, for the inventory's name other addresses and their keys stay where
//! they are.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::Twin;
use crate::ground::SecretRef;
use crate::inventory::Tls;

/// Makes what is missing in a directory: `ca.pem`, and of each host `NAME-ADDRESS.pem` and `.key`. Each file is whole
/// or not there, for two commands on one twin may do so at once.
const ISSUE: &str = r#"
umask 077
cd "$1"; shift
w=$(mktemp -d .new.XXXXXX); trap 'rm -rf "$w"' EXIT
cat > "$w/c" <<'C'
[req]
distinguished_name = dn
prompt = no
[dn]
CN = twin
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
C
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
if [ ! -e ca.pem ]; then
  key "$w/ca.key"
  openssl req -x509 -new -config "$w/c" -extensions ca -days 3650 -key "$w/ca.key" -out "$w/ca.pem"
  mv "$w/ca.key" ca.key; mv "$w/ca.pem" ca.pem
fi
while [ $# -gt 0 ]; do
  n=$1-$2
  if [ ! -e "$n.pem" ]; then
    key "$w/k"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=IP:%s,DNS:%s\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n' "$2" "$1" > "$w/e"
    openssl req -new -config "$w/c" -subj "/CN=$1" -key "$w/k" -out "$w/r"
    s=$(od -An -N15 -tx1 /dev/urandom | tr -d ' \n')
    openssl x509 -req -in "$w/r" -CA ca.pem -CAkey ca.key -set_serial "0x1$s" -days 3650 -sha256 -extfile "$w/e" -out "$w/p"
    mv "$w/k" "$n.key"; mv "$w/p" "$n.pem"
  fi
  shift 2
done
"#;

/// Gives an inventory the certificates of its twin.
///
/// # Errors
/// There is no `openssl` here, or it fails.
pub(super) fn issue(tls: &mut Tls, twin: &Twin) -> anyhow::Result<()> {
    let directory = twin.identity.with_file_name("tls");
    crate::local::files::private_directory(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    ensure!(
        which::which("openssl").is_ok(),
        "there is no `openssl` command, which makes a twin's certificates: apt-get install openssl"
    );
    let mut asked = Command::new("sh");
    asked.args(["-euc", ISSUE, "sh"]).arg(&directory).stdin(Stdio::null());
    for host in tls.hosts.keys() {
        if let Some(address) = twin.addresses.get(host) {
            asked.arg(host.as_str()).arg(address.to_string());
        }
    }
    let output = asked.output().context("cannot run sh")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    tls.ca = read(&directory.join("ca.pem"))?;
    for (host, identity) in &mut tls.hosts {
        let Some(address) = twin.addresses.get(host) else { continue };
        let file = |end: &str| directory.join(format!("{host}-{address}.{end}"));
        identity.certificate = read(&file("pem"))?;
        identity.key = SecretRef::File(file("key"));
        identity.until = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::ground::{Debian, HostName};
    use crate::inventory::Identity;
    use crate::mesos::tls::{Policy, Wire};

    #[test]
    fn each_host_gets_a_certificate_of_one_ca_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostName::new("m1");
        let twin = |last: u8| Twin {
            cluster: "c".to_owned(),
            addresses: BTreeMap::from([(host.clone(), Ipv4Addr::new(10, 9, 0, last))]),
            identity: folder.path().join("id"),
            known_hosts: folder.path().join("known"),
            base_archive: folder.path().join("base"),
            spark_base: Debian::default(),
        };
        let issued = |last: u8| {
            let identity =
                Identity { certificate: String::new(), key: SecretRef::Prompt, until: Some(1) };
            let policy = Policy { wire: Wire::Tls, asks_clients: false };
            let hosts = BTreeMap::from([(host.clone(), identity)]);
            let mut tls = Tls { hosts, ca: String::new(), policy };
            issue(&mut tls, &twin(last)).unwrap();
            tls
        };
        let first = issued(1);
        assert_eq!(issued(1), first);
        let moved = issued(2);
        assert_eq!(moved.ca, first.ca);
        let directory = folder.path().join("tls");
        for (last, tls) in [(1, &first), (2, &moved)] {
            let name = directory.join(format!("m1-10.9.0.{last}.pem"));
            let said = Command::new("openssl")
                .args(["verify", "-verify_ip", &format!("10.9.0.{last}"), "-CAfile"])
                .arg(directory.join("ca.pem"))
                .arg(&name)
                .output()
                .unwrap();
            assert!(said.status.success(), "{said:?}");
            assert_eq!(tls.hosts[&host].certificate, std::fs::read_to_string(name).unwrap());
        }
    }
}
