//! How a task gets from an order to a running executor.
//! Source: src/slave/slave.cpp and containerizer/docker.cpp at 1.11.0; texts as recorded.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mesos_messages::{
    CapabilityType, CommandInfo, ContainerType, FrameworkInfo, Reason, TaskInfo, TaskState,
};

use super::Agent;
use super::tasks::{Executor, Framework, Phase, can};
use crate::container::{self, CfsQuota, Place};
use crate::docker;
use crate::fetcher::{self, Uri};
use crate::orders::pack;
use crate::run::{self, Run, User};
use crate::{log, net, sandbox};

impl Agent {
    /// Takes a task and starts it, in a thread of its own: fetching and pulling take their time.
    pub(super) fn launch(self: &Arc<Agent>, framework: FrameworkInfo, task: TaskInfo) {
        let framework_id = framework.id.clone().unwrap_or_default().value;
        let task_id = task.task_id.value.clone();
        log::info(
            "slave.cpp:2302",
            &format!("Got assigned task '{task_id}' for framework {framework_id}"),
        );
        let container = net::uuid();
        let (sandbox, meta) = {
            let state = self.state();
            let agent = state.info.id.clone().unwrap_or_default();
            let place =
                |root: &Path| run::directory(root, &agent, &framework_id, &task_id, &container);
            (place(&self.work_dir()), place(&self.work_dir().join("meta")))
        };
        let executor =
            Executor::new(task.clone(), container.clone(), sandbox.clone(), meta.clone());
        if let Err(error) = std::fs::create_dir_all(&meta) {
            log::warning(
                "slave.cpp:3200",
                &format!("Failed to create '{}': {error}", meta.display()),
            );
            return;
        }
        {
            let mut state = self.state();
            let known = state.tasks.frameworks.entry(framework_id.clone());
            let known = known.or_insert_with(|| Framework::new(framework.clone()));
            known.info = framework.clone();
            known.executors.insert(task_id.clone(), executor);
        }
        let agent = Arc::clone(self);
        std::thread::spawn(move || {
            let launch = Launch { framework, framework_id, task, task_id, container };
            agent.carry_out(&launch, &sandbox, &meta);
        });
    }

    fn carry_out(&self, launch: &Launch, sandbox: &Path, meta: &Path) {
        let user = match self.sandbox_of(launch, sandbox) {
            Ok(user) => user,
            Err(error) => {
                // The task never was there.
                let state = match can(&launch.framework, CapabilityType::PartitionAware) {
                    true => TaskState::Dropped,
                    false => TaskState::Lost,
                };
                self.tell(launch, state, Reason::ExecutorTerminated, &error);
                return;
            }
        };
        let name = format!(
            "Container '{}' for executor '{}' of framework {}",
            launch.container, launch.task_id, launch.framework_id
        );
        log::info("slave.cpp:3887", &format!("Launching {name}"));
        if let Err(error) = self.start(launch, sandbox, meta, user) {
            log::warning("slave.cpp:6991", &format!("{name} failed to start: {error}"));
            let text = format!("Failed to launch container: {error}");
            self.tell(launch, TaskState::Failed, Reason::ContainerLaunchFailed, &text);
        }
    }

    fn tell(&self, launch: &Launch, state: TaskState, reason: Reason, message: &str) {
        let mut all = self.state();
        if let Some(executor) = all.tasks.executor(&launch.framework_id, &launch.task_id) {
            executor.tell(state, reason, message);
        }
    }

    /// Makes the sandbox with its two logs, for the user whom the task runs as.
    fn sandbox_of(&self, launch: &Launch, sandbox: &Path) -> Result<Option<User>, String> {
        let name = match &launch.task.command {
            Some(CommandInfo { user: Some(user), .. }) => user.as_str(),
            _ => launch.framework.user.as_str(),
        };
        log::info(
            "paths.cpp:839",
            &format!("Creating sandbox '{}' for user '{name}'", sandbox.display()),
        );
        let switch = self.flags.is_set("switch_user");
        let user = switch.then(|| sandbox::user(name)).transpose().map_err(|error| {
            let directory = sandbox.display();
            format!(
                "Failed to create executor directory '{directory}': \
                 Failed to chown directory to '{name}': {error}"
            )
        })?;
        sandbox::create(sandbox, user.map(|user| (name, user)))?;
        for log in ["stdout", "stderr"] {
            let path = sandbox.join(log);
            let made = File::create(&path).and_then(|_| match user {
                Some(user) => sandbox::give(&path, user),
                None => Ok(()),
            });
            made.map_err(|error| format!("Failed to create '{}': {error}", path.display()))?;
        }
        Ok(user)
    }

    fn start(
        &self,
        launch: &Launch,
        sandbox: &Path,
        meta: &Path,
        user: Option<User>,
    ) -> Result<(), String> {
        let run = self.run_of(launch, sandbox, user)?;
        run.write(meta).map_err(|error| format!("Failed to checkpoint: {error}"))?;
        let uris: Vec<Uri> = launch.command().uris.iter().map(uri).collect();
        fetcher::fetch(&uris, sandbox, user, self.flags.duration("fetcher_stall_timeout"))
            .map_err(|error| {
                let container = &launch.container;
                format!("Failed to fetch all URIs for container '{container}': {error}")
            })?;
        if let Some(docker) = launch.task.container.as_ref().and_then(|it| it.docker.as_ref())
            && run.docker.is_some()
        {
            docker::pull(&self.flags, &docker.image, docker.force_pull_image())?;
        }
        let mut state = self.state();
        // A task that was killed meanwhile is not started any more.
        let executor = state.tasks.executor(&launch.framework_id, &launch.task_id);
        let Some(executor) = executor.filter(|it| matches!(it.phase, Phase::Launching)) else {
            return Ok(());
        };
        let child =
            fork(&run, sandbox, meta).map_err(|error| format!("Failed to fork: {error}"))?;
        if let Err(error) = run::write_pid(meta, child.id()) {
            log::warning("slave.cpp:3900", &format!("Failed to checkpoint a pid: {error}"));
        }
        executor.phase = Phase::Started(Some(child));
        Ok(())
    }

    fn run_of(&self, launch: &Launch, sandbox: &Path, user: Option<User>) -> Result<Run, String> {
        let (task, command) = (&launch.task, launch.command());
        if task.executor.is_some() {
            return Err("the stand-in runs command tasks only, no executor of a framework".into());
        }
        let in_docker = match &task.container {
            Some(container) if container.r#type() == ContainerType::Docker => true,
            Some(container) if container.mesos.as_ref().is_some_and(|it| it.image.is_some()) => {
                return Err("the stand-in has no images but those of Docker: \
                            use a container of the type DOCKER"
                    .to_owned());
            }
            _ => false,
        };
        let written = self.flags.text("containerizers").unwrap_or_default();
        let wanted = if in_docker { "docker" } else { "mesos" };
        if !written.split(',').any(|kind| kind == wanted) {
            return Err(format!(
                "None of the enabled containerizers ({written}) could create a container for the \
                 provided TaskInfo/ExecutorInfo message"
            ));
        }
        let name = run::container_name(&launch.container);
        let path = sandbox.to_string_lossy();
        let mapped = self.flags.text("sandbox_directory").unwrap_or("/mnt/mesos/sandbox");
        let docker = docker::client(&self.flags);
        let (argv, environment) = match in_docker {
            true => {
                let place = Place { name: &name, sandbox: &path, mapped };
                let cfs = self.flags.is_set("cgroups_enable_cfs").then_some(CfsQuota);
                let words = container::arguments(task, &task.resources, place, cfs)?;
                // For the client itself; the container's own variables are among the words.
                let own = ["PATH", "HOME"].into_iter();
                let own = own.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
                (docker.iter().cloned().chain(words).collect(), own.collect())
            }
            false => (command_line(&command)?, self.environment(launch, &path)),
        };
        let state = self.state();
        let grace = task.kill_policy.and_then(|policy| policy.grace_period);
        let grace = grace.map(|grace| Duration::from_nanos(grace.nanoseconds.unsigned_abs()));
        Ok(Run {
            agent_id: state.info.id.clone().unwrap_or_default(),
            hostname: state.info.hostname.clone(),
            task_id: launch.task_id.clone(),
            framework: pack(&launch.framework),
            task: pack(task),
            container: launch.container.clone(),
            checkpoint: launch.framework.checkpoint(),
            tells_killing: can(&launch.framework, CapabilityType::TaskKillingState),
            sandbox: sandbox.to_owned(),
            latest: self.work_dir().join("meta/slaves/latest"),
            argv,
            environment,
            // Docker's client is the agent's own.
            user: user.filter(|_| !in_docker),
            docker: in_docker.then_some(docker),
            grace: grace.unwrap_or_else(|| self.flags.duration("executor_shutdown_grace_period")),
        })
    }

    /// What a plain process finds around it: its executor's environment and its own variables.
    /// Source: docs/executor-http-api.md at 1.11.0; containerizer.cpp, `executorEnvironment`.
    fn environment(&self, launch: &Launch, sandbox: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut put = |name: &str, value: &str| all.insert(name.to_owned(), value.to_owned());
        let given = self.flags.text("executor_environment_variables");
        let given = given.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        match given.as_ref().and_then(serde_json::Value::as_object) {
            Some(given) => {
                for (name, value) in given {
                    put(name, value.as_str().unwrap_or_default());
                }
            }
            None => {
                put("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
            }
        }
        if let Ok(ip) = std::env::var("LIBPROCESS_IP") {
            put("LIBPROCESS_IP", &ip);
        }
        put("LIBPROCESS_PORT", "0");
        put("MESOS_FRAMEWORK_ID", &launch.framework_id);
        put("MESOS_EXECUTOR_ID", &launch.task_id);
        put("MESOS_DIRECTORY", sandbox);
        put("MESOS_SANDBOX", sandbox);
        put("MESOS_SLAVE_ID", self.state().info.id.as_deref().unwrap_or_default());
        put("MESOS_SLAVE_PID", &self.pid());
        put("MESOS_AGENT_ENDPOINT", &format!("{}:{}", self.place.ip, self.place.port));
        put("MESOS_CHECKPOINT", if launch.framework.checkpoint() { "1" } else { "0" });
        put("MESOS_HTTP_COMMAND_EXECUTOR", "0");
        let grace =
            crate::units::print_duration(self.flags.duration("executor_shutdown_grace_period"));
        put("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", &grace);
        if let Some(role) = container::role(&launch.task.resources) {
            put("MESOS_ALLOCATION_ROLE", role);
        }
        all.extend(container::variables(&launch.command()));
        all
    }
}

/// An order to launch, taken apart.
struct Launch {
    framework: FrameworkInfo,
    framework_id: String,
    task: TaskInfo,
    task_id: String,
    container: String,
}

impl Launch {
    fn command(&self) -> CommandInfo {
        self.task.command.clone().unwrap_or_default()
    }
}

fn uri(uri: &mesos_messages::Uri) -> Uri {
    Uri {
        value: uri.value.clone(),
        executable: uri.executable(),
        extract: uri.extract(),
        output_file: uri.output_file.clone(),
    }
}

/// The words of a plain process. Without a shell the value is the program, and the first argument
/// only what it is called.
fn command_line(command: &CommandInfo) -> Result<Vec<String>, String> {
    let value = command.value.clone();
    if command.shell() {
        let value = value.ok_or("Shell command is not specified")?;
        return Ok(["/bin/sh", "-c", &value].map(str::to_owned).to_vec());
    }
    let mut words = vec![value.ok_or("Command is not specified")?];
    words.extend(command.arguments.iter().skip(1).cloned());
    Ok(words)
}

/// Starts the executor: this program under another name, which outlives the agent.
fn fork(run: &Run, sandbox: &Path, meta: &Path) -> std::io::Result<Child> {
    let log = |name: &str| File::options().append(true).open(sandbox.join(name));
    let name = if run.docker.is_some() { "mesos-docker-executor" } else { "mesos-executor" };
    // Not by its path: the package may have been replaced meanwhile.
    Command::new("/proc/self/exe")
        .arg0(name)
        .arg(meta)
        .stdin(Stdio::piped())
        .stdout(log("stdout")?)
        .stderr(log("stderr")?)
        .process_group(0)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_line_for_a_shell_or_words() {
        let mut command = CommandInfo { value: Some("a $B".to_owned()), ..CommandInfo::default() };
        assert_eq!(command_line(&command), Ok(vec!["/bin/sh".into(), "-c".into(), "a $B".into()]));
        command.shell = Some(false);
        command.arguments = vec!["called".to_owned(), "x y".to_owned()];
        assert_eq!(command_line(&command), Ok(vec!["a $B".into(), "x y".into()]));
        command.value = None;
        assert!(command_line(&command).is_err());
    }
}
