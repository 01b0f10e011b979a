//! Servers that ask each other who they are: on, to another principal and off while a client writes. Somebody who
//! lists himself beside them follows their leader, and has all that they know, while they ask for nothing; once
//! they do he gets nowhere without the secret, or with another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::support::lab::step;
use super::super::support::twin::until;
use super::Cluster;

const ON: &str = ", quorum_auth: { principal: zk, secret: { file: ./zk.secret } }";
const BOTH: &str = ", quorum_auth: { principal: zk2, secret: { file: ./zk2.secret }, former: { principal: zk, secret: { file: ./zk.secret } } }";
const NEXT: &str = ", quorum_auth: { principal: zk2, secret: { file: ./zk2.secret } }";

/// What files of JAAS quote; the word in it is looked for.
const SECRETS: [(&str, &str); 2] =
    [("zk.secret", r#"a"b\c'-hunter2-$x"#), ("zk2.secret", r#"\"hunter2 {é}\"#)];

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn membership_is_for_those_who_know_the_secret() {
    let mut it = Cluster::made(4, &[1, 2, 3], &[1, 2, 3]);
    for (name, text) in SECRETS {
        let path = it.hosts[0].operator.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    step("who lists himself beside them follows");
    it.stranger(None);
    it.follows();

    step("on, in one apply");
    it.goes(ON, &[1, 2, 3]);
    it.is_on("zk");
    step("without the secret he gets nowhere, and with another neither");
    it.stranger(None);
    it.is_refused("authentication is required");
    it.stranger(Some(("zk", "other")));
    it.is_refused("Failed to authenticate using SASL");
    it.stranger(Some(("zk", r#"a\"b\\c'-hunter2-$x"#)));
    it.follows();

    step("a server takes another's place");
    it.goes(ON, &[1, 2, 4]);
    it.goes(ON, &[1, 2, 3]);

    step("another principal, with the one before it beside it, then without");
    it.goes(BOTH, &[1, 2, 3]);
    it.goes(NEXT, &[1, 2, 3]);
    it.is_on("zk2");
    it.stranger(Some(("zk", r#"a\"b\\c'-hunter2-$x"#)));
    it.is_refused("Failed to authenticate using SASL");

    step("off, in one apply");
    it.goes("", &[1, 2, 3]);
    for host in &it.hosts[..3] {
        assert_eq!(host.sh("grep -rlasE 'hunter[2]' /etc /var/lib/provision /run || :"), "");
        let words = host
            .sh("tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value zookeeper)/cmdline");
        assert!(!words.contains("login.config"), "{words}");
    }
    it.stranger(None);
    it.follows();
}

impl Cluster {
    /// The inventory says so now, and an apply makes it so under the client's eyes, by changes of some words.
    fn goes(&mut self, auth: &'static str, servers: &[usize]) {
        self.auth = auth;
        self.becomes(servers, &[1, 2, 3]);
    }

    /// Each server insists; its secrets are its own alone, and nowhere else.
    fn is_on(&self, principal: &str) {
        for n in &self.servers {
            let host = &self.hosts[n - 1];
            let cfg = host.sh("grep ^quorum /etc/zookeeper/conf/zoo.cfg");
            for key in ["enableSasl", "learnerRequireSasl", "serverRequireSasl"] {
                assert!(cfg.contains(&format!("quorum.auth.{key}=true\n")), "h{n}: {cfg}");
            }
            let files = host.sh("cd /etc/zookeeper/conf && stat -c '%n %a %U' provision-quorum-*");
            assert_eq!(files, format!("provision-quorum-{principal}.jaas 600 zookeeper\n"), "h{n}");
            let holding = host.sh(
                "grep -rlasE 'hunter[2]' /etc /var/lib/provision /var/log /run /home /root /tmp | sed 's,.*/,,'; \
                 grep -lasE 'hunter[2]' /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl -q | grep -E 'hunter[2]' || :",
            );
            assert_eq!(holding, format!("provision-quorum-{principal}.jaas\n"), "h{n}");
        }
        let home = self.hosts[0].operator.home.path().display().to_string();
        let found =
            std::process::Command::new("grep").args(["-rlas", "hunter2", &home]).output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        assert!(found.lines().all(|path| path.ends_with(".secret")), "{found}");
    }

    /// Somebody on the fourth machine, with the same list and himself in it.
    fn stranger(&self, shows: Option<(&str, &str)>) {
        let host = &self.hosts[3];
        let mut cfg = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/root/stranger/data\nclientPort=2190\n\
                       4lw.commands.whitelist=srvr\nadmin.enableServer=false\n"
            .to_owned();
        for (n, host) in (1..).zip(&self.hosts) {
            cfg.push_str(&format!("server.{n}={}:2888:3888\n", host.address));
        }
        let mut option = String::new();
        if let Some((principal, secret)) = shows {
            let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
            let jaas = format!(
                "QuorumServer {{ {module} user_{principal}=\"{secret}\"; }};\n\
                 QuorumLearner {{ {module} username=\"{principal}\" password=\"{secret}\"; }};\n"
            );
            host.sh_with("mkdir -p /root/stranger; cat > /root/stranger/jaas", &jaas);
            option.push_str("-Djava.security.auth.login.config=/root/stranger/jaas");
            for key in ["enableSasl", "learnerRequireSasl", "serverRequireSasl"] {
                cfg.push_str(&format!("quorum.auth.{key}=true\n"));
            }
        }
        host.sh_with("mkdir -p /root/stranger/data; cat > /root/stranger/zoo.cfg", &cfg);
        let unit = self.hosts[0].sh("cat /etc/systemd/system/zookeeper.service");
        let classes = unit.split(" -cp ").nth(1).unwrap().split(' ').next().unwrap();
        host.sh(&format!(
            "echo 4 > /root/stranger/data/myid; setsid java -Xmx128m {option} -cp {classes} org.apache.zookeeper.server.quorum.QuorumPeerMain \
             /root/stranger/zoo.cfg > /root/stranger/log 2>&1 & echo $! > /root/stranger/pid"
        ));
    }

    /// What he says of himself.
    fn says(&self) -> String {
        let ask = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/2190 && printf srvr >&3 && cat <&3' 2>/dev/null || :";
        self.hosts[3].sh(ask)
    }

    /// He does, and then is ended.
    fn follows(&self) {
        until("the stranger follows", || self.says().contains("Mode: follower"));
        self.ends();
    }

    /// Servers say that they refuse him, and he serves nobody for as long as a start and an election take.
    fn is_refused(&self, why: &str) {
        let count = || -> usize {
            let told = |host: &super::Host| {
                host.sh(&format!("journalctl -q -o cat -u zookeeper | grep -c '{why}' || :"))
            };
            self.hosts[..3].iter().map(|host| told(host).trim().parse::<usize>().unwrap()).sum()
        };
        let before = count();
        until("he is refused", || count() > before + 6);
        let said = self.says();
        assert!(said.contains("not currently serving"), "{said}");
        self.ends();
    }

    fn ends(&self) {
        self.hosts[3].sh("kill $(cat /root/stranger/pid); rm -rf /root/stranger");
    }
}
