//! What the planner takes for true of servers with static lists, seen on real ones that no tool of ours touches:
//! whoever is empty must be no majority alone, lists that differ by two allow two majorities, and a server does
//! not follow a leader that its list lacks.

use super::super::support::lab::step;
use super::super::support::twin::{Host, until};

#[test]
fn membership_rests_on_what_real_servers_do() {
    let hosts = Host::start_cluster(5);
    let servers = Servers(&hosts);

    step("two empty servers are a majority, and what the third one held is gone");
    servers.start(&[1], &[1]);
    servers.says(1, "create /precious x");
    servers.stop(&[1]);
    servers.start(&[2, 3], &[1, 2, 3]);
    servers.serve(&[2, 3]);
    servers.start(&[1], &[1, 2, 3]);
    servers.serve(&[1, 2, 3]);
    assert!(!servers.says(1, "ls /").contains("precious"));

    step("with its holder in the first majority it is there");
    servers.wipe(&[1, 2, 3]);
    servers.start(&[1], &[1]);
    servers.says(1, "create /precious x");
    servers.stop(&[1]);
    servers.start(&[1, 2], &[1, 2, 3]);
    servers.serve(&[1, 2]);
    servers.start(&[3], &[1, 2, 3]);
    servers.serve(&[1, 2, 3]);
    assert!(servers.says(3, "ls /").contains("precious"));

    step("lists of three and of five allow two majorities at once");
    servers.wipe(&[1, 2, 3]);
    servers.start(&[1, 4, 5], &[1, 2, 3, 4, 5]);
    servers.start(&[2, 3], &[1, 2, 3]);
    until("two lead", || servers.leaders().len() == 2);

    step("lists that differ by one allow one: who starts beside it follows it, or nobody");
    servers.wipe(&[1, 2, 3, 4, 5]);
    servers.start(&[1, 2, 3], &[1, 2, 3]);
    servers.serve(&[1, 2, 3]);
    servers.start(&[4], &[1, 2, 3, 4]);
    servers.serve(&[1, 2, 3, 4]);
    assert_eq!(servers.leaders().len(), 1);

    step("who leads and is not in a server's list is not followed by it");
    let all = [1, 2, 3, 4, 5];
    servers.wipe(&all);
    servers.start(&all, &all);
    servers.serve(&all);
    let leader = servers.leaders()[0];
    let others: Vec<usize> = all.into_iter().filter(|n| *n != leader).collect();
    servers.stop(&others[..1]);
    servers.start(&others[..1], &others);
    // It has had longer than another one needs that does follow.
    servers.stop(&others[1..2]);
    servers.start(&others[1..2], &all);
    servers.serve(&others[1..]);
    assert_eq!(servers.leaders(), [leader]);
    let said = servers.mode(others[0]);
    assert!(said.contains("not currently serving"), "{said}");
    // Once the lead is given away all serve.
    servers.stop(&[leader]);
    servers.start(&[leader], &all);
    servers.serve(&others);
}

/// Machines numbered from 1, each with one server of ours at most.
struct Servers<'a>(&'a [Host]);

impl Servers<'_> {
    /// Starts some with a list of all its members.
    fn start(&self, these: &[usize], list: &[usize]) {
        let mut config =
            "tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir=/srv/zk\nclientPort=2181\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n"
                .to_owned();
        for n in list.iter().filter(|_| list.len() > 1) {
            config.push_str(&format!("server.{n}={}:2888:3888\n", self.0[n - 1].address));
        }
        for n in these {
            self.0[n - 1].sh_with(
                &format!(
                    "mkdir -p /srv/zk; cat >/srv/zk.cfg; echo {n} >/srv/zk/myid\n\
                     systemd-run -q --collect --unit=zk java -Xmx128m -cp '/usr/share/java/*' \
                     org.apache.zookeeper.server.quorum.QuorumPeerMain /srv/zk.cfg"
                ),
                &config,
            );
        }
    }

    fn stop(&self, these: &[usize]) {
        for n in these {
            self.0[n - 1].sh("systemctl stop zk");
        }
    }

    fn wipe(&self, these: &[usize]) {
        for host in self.0 {
            host.sh("systemctl stop zk 2>/dev/null || :");
        }
        for n in these {
            self.0[n - 1].sh("rm -rf /srv/zk");
        }
    }

    /// What one says of itself.
    fn mode(&self, n: usize) -> String {
        let host = &self.0[n - 1];
        let ask = "timeout 4 bash -c 'exec 3<>/dev/tcp/ADDRESS/2181 && printf srvr >&3 && cat <&3'";
        host.try_sh(&ask.replace("ADDRESS", &host.address), "").out
    }

    fn leaders(&self) -> Vec<usize> {
        (1..=self.0.len()).filter(|n| self.mode(*n).contains("Mode: leader")).collect()
    }

    fn serve(&self, these: &[usize]) {
        until("they serve", || these.iter().all(|n| self.mode(*n).contains("\nMode: ")));
    }

    /// What one answers to a client.
    fn says(&self, n: usize, command: &str) -> String {
        self.serve(&[n]);
        let host = &self.0[n - 1];
        host.sh(&format!(
            "java -cp '/usr/share/java/*' org.apache.zookeeper.ZooKeeperMain -server {}:2181 {command} 2>&1",
            host.address
        ))
    }
}
