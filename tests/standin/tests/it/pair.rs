//! An agent and the master of the test, and tasks for them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mesos_messages::{
    AllocationInfo, CommandInfo, ContainerInfo, ContainerType, DockerInfo, Environment,
    FrameworkInfo, Resource, Scalar, TaskInfo, TaskStatus, Variable,
};
use serde_json::Value as Json;

use crate::common::{Daemon, Scratch, free_port, get};
use crate::master::Master;

/// The pair; it ends with the test.
pub(crate) struct Pair {
    pub(crate) master: Master,
    pub(crate) agent: Option<Daemon>,
    pub(crate) place: String,
    pub(crate) flags: Vec<String>,
    pub(crate) scratch: Scratch,
}

impl Pair {
    pub(crate) fn new(more: &[&str]) -> Pair {
        Pair::in_scratch(Scratch::new(), more)
    }

    pub(crate) fn in_scratch(scratch: Scratch, more: &[&str]) -> Pair {
        let master = Master::start();
        let place = format!("127.0.0.1:{}", free_port("127.0.0.1"));
        let port = place.rsplit(':').next().unwrap_or_default();
        let work_dir = scratch.path("work");
        let mut flags = vec![
            format!("--master={}", master.place),
            format!("--work_dir={}", work_dir.display()),
            format!("--port={port}"),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=here".to_owned(),
            "--no-systemd_enable_support".to_owned(),
            "--resources=cpus(etl):1;cpus:2;mem:4096;disk:8192;ports:[31000-32000]".to_owned(),
        ];
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let mut pair = Pair { master, agent: None, place, flags, scratch };
        pair.start();
        pair
    }

    pub(crate) fn start(&mut self) {
        let log = self.scratch.path("log");
        self.master.talk().registration = None;
        self.agent = Some(Daemon::start("mesos-slave", Path::new(&log), &self.flags));
        self.master.registered();
    }

    pub(crate) fn sandbox(&self, task: &str) -> PathBuf {
        let runs = format!("work/slaves/m-S0/frameworks/f/executors/{task}/runs/latest");
        self.scratch.path(&runs).canonicalize().expect("the sandbox is there")
    }

    pub(crate) fn file(&self, task: &str, name: &str) -> String {
        std::fs::read_to_string(self.sandbox(task).join(name)).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> Json {
        get(&self.place, "/state").expect("the agent answers").json()
    }
}

pub(crate) fn me() -> String {
    let uid = std::fs::metadata("/proc/self").expect("there is /proc").uid();
    let passwd = std::fs::read_to_string("/etc/passwd").expect("there are users");
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.and_then(|line| line.split(':').next()).expect("we have a name").to_owned()
}

pub(crate) fn framework(checkpoint: bool) -> FrameworkInfo {
    FrameworkInfo {
        user: me(),
        name: "test".to_owned(),
        id: Some("f".into()),
        checkpoint: Some(checkpoint),
        ..FrameworkInfo::default()
    }
}

pub(crate) fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        scalar: Some(Scalar { value }),
        allocation_info: Some(AllocationInfo { role: Some("*".to_owned()) }),
        ..Resource::default()
    }
}

pub(crate) fn task(id: &str, command: &str) -> TaskInfo {
    let variable =
        Variable { name: "WORD".to_owned(), value: Some("a b".to_owned()), ..Variable::default() };
    TaskInfo {
        name: format!("task {id}"),
        task_id: id.into(),
        agent_id: "m-S0".into(),
        resources: vec![scalar("cpus", 1.5), scalar("mem", 100.0)],
        command: Some(CommandInfo {
            value: Some(command.to_owned()),
            environment: Some(Environment { variables: vec![variable] }),
            ..CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}

pub(crate) fn message(status: &TaskStatus) -> &str {
    status.message.as_deref().unwrap_or_default()
}

/// A task in a container of Docker.
pub(crate) fn in_docker(id: &str, image: &str, command: &str) -> TaskInfo {
    TaskInfo {
        container: Some(ContainerInfo {
            r#type: ContainerType::Docker as i32,
            docker: Some(DockerInfo { image: image.to_owned(), ..DockerInfo::default() }),
            ..ContainerInfo::default()
        }),
        ..task(id, command)
    }
}
