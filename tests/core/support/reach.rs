//! How the library reaches an sshd of ours.

use std::fs;
use std::time::Duration;

use provision::inventory::Ssh;
use provision::remote::ssh::{Options, UnknownKeys};

use super::sshd::Sshd;

impl Sshd {
    /// How a user is to be reached.
    pub(crate) fn ssh(&self, user: &str) -> Ssh {
        Ssh {
            host: "127.0.0.1".to_owned(),
            user: Some(user.to_owned()),
            port: Some(self.port),
            identity_file: Some(self.path("user")),
            proxy_jump: None,
            known_hosts: Some(self.path("known_hosts")),
            config_file: Some(self.path("ssh_config")),
            connect_timeout: Duration::from_secs(10),
            become_root: true,
        }
    }

    /// Options with control sockets of this test's own.
    pub(crate) fn options(&self, unknown_keys: UnknownKeys) -> Options {
        let directory = self.path("control");
        fs::create_dir_all(&directory).unwrap();
        Options { directory, ..Options::new(unknown_keys).unwrap() }
    }
}
