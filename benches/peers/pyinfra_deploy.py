"""The state of an agent host in pyinfra's words, as an experienced user would write it."""

from io import StringIO
from pathlib import Path

from pyinfra import host
from pyinfra.facts.files import FindFiles
from pyinfra.operations import apt, files, systemd

TEMPLATES = Path(__file__).parent / "templates"

FLAGS = {
    "attributes": f"os:debian-12;provision_host:{host.name};rack:{host.data.rack}",
    "containerizers": "mesos",
    "executor_registration_timeout": "5mins",
    "hostname": host.data.address,
    "ip": host.data.address,
    "launcher": "posix",
    "resources": "cpus:1;cpus(etl):1;mem:2048;mem(etl):1024;disk:10240;ports:[31000-32000]",
    "systemd_enable_support": "false",
    "work_dir": "/var/lib/mesos",
}

apt.packages(packages=["ca-certificates", "curl"], no_recommends=True, update=True, cache_time=86400)
files.link(path="/etc/systemd/system/mesos-master.service", target="/dev/null")
files.put(src=host.data.mesos_deb, dest="/var/cache/mesos.deb", mode="644")
apt.deb(src="/var/cache/mesos.deb")

changed = [
    files.template(src=str(TEMPLATES / template), dest=path, mode="644", zk_url=host.data.zk_url)
    for template, path in [
        ("zk.j2", "/etc/mesos/zk"),
        ("mesos.j2", "/etc/default/mesos"),
        ("mesos-slave.j2", "/etc/default/mesos-slave"),
    ]
]
files.directory(path="/etc/systemd/system/mesos-slave.service.d", mode="755")
changed.append(files.template(
    src=str(TEMPLATES / "drop-in.j2"),
    dest="/etc/systemd/system/mesos-slave.service.d/provision.conf",
    mode="644",
))
files.directory(path="/etc/mesos-slave", mode="755")
for name, value in FLAGS.items():
    changed.append(files.put(src=StringIO(f"{value}\n"), dest=f"/etc/mesos-slave/{name}", mode="644"))
for path in host.get_fact(FindFiles, path="/etc/mesos-slave") or []:
    if path.rsplit("/", 1)[1] not in FLAGS:
        changed.append(files.file(path=path, present=False))

systemd.service(service="mesos-slave", running=True, enabled=True)
systemd.service(
    service="mesos-slave", restarted=True, daemon_reload=True,
    _if=lambda: any(one.did_change() for one in changed),
)
