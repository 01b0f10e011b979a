//! Mesos' grammars and catalogue, against recordings of a real cluster and by law.

use provision::ground::Severity;
use provision::mesos::change::{Change, Wanted, classify};
use provision::mesos::compatibility;
use provision::mesos::constraints::{Constraints, Match};
use provision::mesos::flags::{self, Component, check_flag};
use provision::mesos::live::AgentInfo;
use provision::mesos::roles;
use provision::mesos::units::{
    Bytes, Rate, parse_bool, parse_duration, parse_percent, print_duration,
};
use provision::mesos::values::{Attributes, Resources, Value};
use provision::mesos::versions::Version;

fn version(text: &str) -> Version {
    Version::parse(text).expect(text)
}

fn v111() -> Version {
    version("1.11.0")
}

#[test]
fn values_read_as_mesos_reads_them() {
    let read = |text: &str| Value::parse(text, &v111());
    for (text, printed) in [
        ("7.10", "7.1"),
        ("1e3", "1000"),
        (" 1 2 ", "12"),
        ("0.0004", "0"),
        ("[1-2,3-4, 9-10]", "[1-4,9-10]"),
        ("[ 5-9,1-3 ]", "[1-3,5-9]"),
        ("{b, a,b}", "{a,b}"),
    ] {
        assert_eq!(read(text).unwrap().to_string(), printed, "{text}");
    }
    assert_eq!(read("north west"), Ok(Value::Text("northwest".into())));
    assert_eq!(read("1.10.2"), Ok(Value::Text("1.10.2".into())));
    assert_eq!(read("1"), Ok(Value::Scalar(1000)));
    for text in [
        "", "  ", "a[1]", "a{b}", "[1-2", "(a", "[1]", "[a-b]", "[2-1]", "0x10", "nan", "inf",
        "-1", "1e300", "][",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert_eq!(Value::parse("-1.5", &version("1.7.3")), Ok(Value::Scalar(-1500)));
}

#[test]
fn resources_and_attributes_follow_each_release() {
    let r = |text: &str, at: &str| Resources::parse(text, &version(at));
    let printed = "cpus:2;cpus(etl):1.5;mem:1024;ports:[1-5];bananas:{a,b}";
    let written = "ports:[1-5]; bananas:{b,a};mem:1024;cpus(etl):1.5;cpus:1;cpus(*):1";
    assert_eq!(r(written, "1.11.0").unwrap().to_string(), printed);
    for bad in [
        "cpus=2",
        "cpus:two",
        "cpus:1:2",
        "cpus(etl:1",
        "cpus():1",
        ":1",
        "cpus:-1",
        "cpus:1;cpus(a):[1-2]",
        "cpus(-a):1",
    ] {
        assert!(r(bad, "1.7.0").is_err(), "{bad}");
    }
    assert!(r("cpus(a/b):1", "1.3.0").is_ok() && r("cpus(a/b):1", "1.2.0").is_err());
    let list = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},
      {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]},"role":"etl"},
      {"name":"disk","type":"SCALAR","scalar":{"value":5},"reservations":[{"type":"STATIC","role":"q"}]}]"#;
    assert_eq!(r(list, "0.26.0").unwrap().to_string(), "cpus:2;disk(q):5;ports(etl):[1-2]");
    assert!(r(list, "0.25.0").is_err() && r("[{}]", "1.11.0").is_err());

    let a = |text: &str, at: &str| Attributes::parse(text, &version(at)).map(|a| a.to_string());
    assert_eq!(a("rack:r1\nu:1;url:h:80", "0.24.0").unwrap(), "rack:r1;u:1;url:h:80");
    assert!(a("url:h:80", "0.23.1").is_err());
    for bad in ["rack", "rack:", ":r1", "rack:{a,b}", "rack:a;rack:b"] {
        assert!(a(bad, "1.11.0").is_err(), "{bad}");
    }
    // `gpus:0` is kept, for it keeps Mesos from detecting gpus, and equals none at all.
    let none = r("cpus:2;gpus:0", "1.11.0").unwrap();
    assert_eq!(none.to_string(), "cpus:2;gpus:0");
    assert_eq!(none, r("cpus:2", "1.11.0").unwrap());
    assert_ne!(none, r("cpus:2;gpus:1", "1.11.0").unwrap());

    let mut attributes = Attributes::default();
    assert!(attributes.insert("rack", "a;b", &v111()).is_err());
    assert!(attributes.insert("a:b", "c", &v111()).is_err());
}

#[test]
fn amounts_as_the_inventory_writes_them() {
    let mut r = Resources::default();
    for (name, text) in [("cpus", "8"), ("mem", "16GB"), ("disk", "2048"), ("ports", "[1-10]")] {
        r.insert(name, "*", text, &v111()).unwrap();
    }
    assert!(r.insert("mem", "*", "16 gigs", &v111()).unwrap_err().contains("KB, MB, GB"));
    assert!(r.insert("cpus", "*", "16GB", &v111()).is_err());
    r.reserve("mem", "etl", &Value::Scalar(8_192_000), &v111()).unwrap();
    r.reserve("ports", "etl", &Value::Ranges(vec![(3, 4), (6, 6)]), &v111()).unwrap();
    let printed =
        "cpus:8;mem:8192;mem(etl):8192;disk:2048;ports:[1-2,5-5,7-10];ports(etl):[3-4,6-6]";
    assert_eq!(r.to_string(), printed);
    let more = r.reserve("mem", "etl", &Value::Scalar(8_192_001), &v111()).unwrap_err();
    assert_eq!(more, "8192.001 mem cannot be reserved for etl: 8192 of the total is left");
    assert!(r.reserve("gpus", "etl", &Value::Scalar(1000), &v111()).is_err());
    assert_eq!(r.to_string(), printed);
    assert_eq!(r.totals()["mem"], Value::Scalar(16_384_000));
}

#[test]
fn units_are_stout_s() {
    for (text, printed) in [
        ("300secs", "5mins"),
        ("90secs", "90secs"),
        ("1.5hrs", "90mins"),
        ("0secs", "0ns"),
        ("10days", "10days"),
        ("14days", "2weeks"),
        ("1500ms", "1500ms"),
        ("0.1ms", "100us"),
        ("1us", "1us"),
    ] {
        assert_eq!(print_duration(parse_duration(text).unwrap()), printed, "{text}");
    }
    for bad in [
        "5 mins",
        "5min",
        "5m",
        "1sec",
        "300",
        "",
        "mins",
        "1.2.3secs",
        "-1secs",
        "1e9weeks",
        "5MINS",
    ] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
    assert!(parse_duration("5min").unwrap_err().ends_with("did you mean 5mins"));
    assert_eq!("16gb".parse::<Bytes>().unwrap().to_string(), "16GB");
    assert_eq!("1536MB".parse::<Bytes>().unwrap().to_string(), "1536MB");
    assert_eq!("2048TB".parse::<Bytes>().unwrap().to_string(), "2048TB");
    for bad in ["16", "1.5GB", "16 GB", "GB", "16PB", "99999999TB", "16G"] {
        assert!(bad.parse::<Bytes>().is_err(), "{bad}");
    }
    assert_eq!("1/600secs".parse::<Rate>().unwrap().to_string(), "1/10mins");
    assert!("1 / 10mins".parse::<Rate>().is_err() && "0.5/1secs".parse::<Rate>().is_err());
    assert_eq!(parse_percent("100%"), Ok(100.0));
    assert!(["100", "101%", "-1%", "%", "x%", "+5%"].iter().all(|bad| parse_percent(bad).is_err()));
    assert!(["yes", "True", "", "on"].iter().all(|bad| parse_bool(bad).is_err()));
}

#[test]
fn the_catalogue_is_whole() {
    let rows = include_str!("../../src/mesos/flags.tsv").lines().skip(1);
    let (common, others): (Vec<&str>, Vec<&str>) = rows.partition(|r| r.starts_with("common\t"));
    let read = flags::all(Component::Master).len() + flags::all(Component::Agent).len();
    assert_eq!(read, 2 * common.len() + others.len());
    for flag in flags::all(Component::Master).iter().chain(flags::all(Component::Agent)) {
        let found = flags::find(flag.component, &flag.name).unwrap();
        assert_eq!(found.name, flag.name);
        let default = flag.default.as_deref().unwrap_or("");
        if !default.is_empty() && default != "\"\"" && !default.starts_with('<') {
            let at = if flag.exists_in(&v111()) { v111() } else { version("0.26.1") };
            if flag.exists_in(&at) && flag.name != "launcher" {
                let result = check_flag(flag.component, &flag.name, default, &at);
                let error = result.err().filter(|p| p.severity == Severity::Error);
                assert_eq!(error, None, "{}={default}", flag.name);
            }
        }
    }
}

/// The first and the last release that has it, and those on the other side.
#[test]
fn flags_begin_and_end_with_their_release() {
    use Component::{Agent, Master};
    for (component, name, value, at, fits) in [
        (Agent, "checkpoint", "true", "0.21.2", true),
        (Agent, "checkpoint", "true", "0.22.0", false),
        (Master, "offer_timeout", "30secs", "0.21.0", true),
        (Master, "framework_sorter", "random", "1.4.1", false),
        (Master, "framework_sorter", "random", "1.4.2", true),
        (Master, "framework_sorter", "random", "1.5.1", false),
        (Master, "framework_sorter", "random", "1.5.2", true),
        (Master, "framework_sorter", "random", "1.6.0", false),
        (Master, "framework_sorter", "random", "1.6.1", true),
        (Master, "framework_sorter", "drf", "1.6.0", true),
        (Master, "agent_reregister_timeout", "600secs", "1.11.0", true),
        (Master, "agent_reregister_timeout", "599secs", "1.11.0", false),
        (Agent, "containerizers", "docker,docker", "1.0.0", true),
        (Agent, "containerizers", "docker,docker", "1.0.1", false),
        (Agent, "containerizers", "external", "1.0.4", true),
        (Agent, "containerizers", "external", "1.1.0", false),
    ] {
        let result = check_flag(component, name, value, &version(at));
        let starts = result.as_ref().err().is_none_or(|p| p.severity == Severity::Warning);
        assert_eq!(starts, fits, "{name}={value} at {at}: {result:?}");
    }
}

#[test]
fn ranges_of_an_attribute_may_widen() {
    let at = v111();
    let live = serde_json::json!({"id": "S1", "hostname": "a", "port": 5051, "attributes": {"u": "[1-2, 5-9]"},
        "resources": {"cpus": 1.0}});
    let live = AgentInfo::from_json(&live).unwrap();
    let resources = Resources::parse("cpus:1", &at).unwrap();
    let change = |text: &str| {
        let attributes = Attributes::parse(text, &at).unwrap();
        let wanted = Wanted {
            hostname: "a",
            port: 5051,
            domain: None,
            attributes: &attributes,
            resources: &resources,
        };
        classify(&live, &wanted, &at)
    };
    assert_eq!(change("u:[1-2,5-9]"), Change::RestartInPlace);
    assert_eq!(change("u:[1-9]"), Change::Additive);
    assert!(matches!(change("u:[1-2,6-9]"), Change::NewAgentId { .. }));
}

#[test]
fn flags_come_and_go_with_releases() {
    use Component::{Agent, Master};
    let check = |component, name: &str, value: &str, at: &str| match check_flag(
        component,
        name,
        value,
        &version(at),
    ) {
        Ok(()) => "ok".to_owned(),
        Err(problem) => format!("{:?}: {problem}", problem.severity),
    };
    for (component, name, value, at, wanted) in [
        (Master, "offer_timeout", "30secs", "1.11.0", "ok"),
        (
            Master,
            "offer_timeout",
            "30secs",
            "0.20.1",
            "Error: master flag offer_timeout came with Mesos 0.21.0, not 0.20.1 (remove offer_timeout; the master stops on a flag it does not know)",
        ),
        (
            Agent,
            "checkpoint",
            "true",
            "0.22.0",
            "Error: Mesos 0.22.0 has no agent flag checkpoint; 0.21.2 was the last to have it (remove checkpoint; the agent stops on a flag it does not know)",
        ),
        (
            Master,
            "min_allocatable_resources",
            "cpus:1",
            "1.5.0",
            "Error: Mesos 1.5.0 has no master flag min_allocatable_resources, though releases before and after do (remove min_allocatable_resources; the master stops on a flag it does not know)",
        ),
        (Master, "min_allocatable_resources", "cpus:1", "1.5.2", "ok"),
        (
            Master,
            "agent_ping_timeout",
            "15secs",
            "0.28.3",
            "Error: master flag agent_ping_timeout came with Mesos 1.0.0, not 0.28.3 (in Mesos 0.28.3 it is called slave_ping_timeout)",
        ),
        (Master, "slave_ping_timeout", "15secs", "0.28.3", "ok"),
        (
            Master,
            "slave_ping_timeout",
            "15secs",
            "1.11.0",
            "Warning: slave_ping_timeout is the old name of agent_ping_timeout since Mesos 1.0.0 (write agent_ping_timeout)",
        ),
        (
            Agent,
            "isolaton",
            "x",
            "1.11.0",
            "Error: there is no agent flag isolaton (did you mean isolation?)",
        ),
        (
            Agent,
            "quorum",
            "2",
            "1.11.0",
            "Error: there is no agent flag quorum (quorum is a flag of masters)",
        ),
        (
            Agent,
            "no-switch_user",
            "",
            "1.11.0",
            "Error: there is no agent flag no-switch_user (write switch_user: false)",
        ),
        (
            Agent,
            "?strict",
            "",
            "1.11.0",
            "Error: there is no agent flag ?strict (write strict: true)",
        ),
        (
            Agent,
            "egress_burst",
            "1MB",
            "1.11.0",
            "Error: agent flag egress_burst came with Mesos 1.12-dev, not 1.11.0 (remove egress_burst; the agent stops on a flag it does not know)",
        ),
        (Agent, "egress_burst", "1MB", "1.12.0", "ok"),
        (Agent, "isolation", "cgroups/cpu,cgroups/mem", "1.11.0+standin", "ok"),
        (Agent, "log_dir", "/var/log/mesos", "1.11.0", "ok"),
        (Agent, "work_dir", "/x", "0.19.0", "ok"),
    ] {
        assert_eq!(check(component, name, value, at), wanted);
    }
    for (component, name, value, at) in [
        (Master, "agent_reregister_timeout", "5mins", "1.11.0"),
        (Master, "registry_strict", "true", "1.0.0"),
        (Master, "quorum", "-1", "1.11.0"),
        (Master, "quorum", "0", "1.11.0"),
        (Master, "port", "70000", "1.11.0"),
        (Master, "roles", "etl, adhoc", "1.11.0"),
        (Master, "weights", "etl=0", "1.11.0"),
        (Master, "acls", "permissive", "1.11.0"),
        (Master, "recovery_agent_removal_limit", "50", "1.11.0"),
        (Master, "agent_removal_rate_limit", "1 / 10mins", "1.11.0"),
        (Master, "log_auto_initialize", "yes", "1.11.0"),
        (Agent, "containerizers", "docker,docker", "1.0.1"),
        (Agent, "containerizers", "external", "1.1.0"),
        (Agent, "containerizers", "rkt", "1.1.0"),
        (Agent, "isolation", "cgroups/cpu,", "1.1.0"),
        (Agent, "reconfiguration_policy", "any", "1.11.0"),
        (Agent, "fetcher_cache_size", "2G", "1.11.0"),
        (Agent, "gc_disk_headroom", "ten", "1.11.0"),
        (Agent, "hostname", " a1", "1.11.0"),
        (Agent, "credential", "file://etc/x", "1.11.0"),
    ] {
        assert!(check(component, name, value, at).starts_with("Error: "), "{name}={value} at {at}");
    }
    for (name, value, at) in [
        ("containerizers", "docker,docker", "1.0.0"),
        ("containerizers", "external,mesos", "1.0.4"),
        ("credential", "file:///etc/mesos-secret", "1.11.0"),
        ("gc_delay", "file:///etc/gc", "0.22.0"),
        ("nvidia_gpu_devices", "0,1", "1.11.0"),
        ("default_container_info", "/etc/info.json", "1.11.0"),
    ] {
        assert_eq!(check(Agent, name, value, at), "ok", "{name}={value} at {at}");
    }
    assert!(check(Agent, "gc_delay", "file:///etc/gc", "0.21.2").starts_with("Error"));
}

#[test]
fn constraints_match_as_in_spark() {
    let attributes = Attributes::parse("rack:r1;u:2;ports:[1-5]", &v111()).unwrap();
    let check = |text: &str| Constraints::parse(text).unwrap().matches(&attributes);
    for fits in [
        "",
        "rack:r1",
        "rack:r0,r1",
        "rack:",
        "rack:,",
        "u:1",
        "u:2",
        "u:3,1",
        "u: 2 ",
        "u:1d",
        "ports:",
        "rack:r1;u:",
    ] {
        assert_eq!(check(fits), Match::Fits, "{fits}");
    }
    for declined in ["rack:r2", "rack:R1", "zone:", "u:3", "rack: r1", "u:Infinity", "u:NaN"] {
        assert!(matches!(check(declined), Match::Declined(_)), "{declined}");
    }
    for throws in ["ports:3", "u:two", "u:1,two", "rack:r2;ports:1", "u:inf"] {
        assert!(matches!(check(throws), Match::Throws(_)), "{throws}");
    }
    for bad in ["rack", "rack:r1;", ";", "a:b:c", "rack:r1;rack:r2", " "] {
        assert!(Constraints::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Constraints::parse("a:y ,x").unwrap().to_string(), "a:x,y ,");
    assert_eq!(Constraints::parse("b:2,1; a:").unwrap().to_string(), "a:;b:1,2");
}

#[test]
fn roles_and_weights_by_release() {
    let ok = |name: &str, at: &str| roles::check_name(name, &version(at)).is_ok();
    assert!(ok("*", "0.20.1") && ok("etl", "0.20.1") && ok("a/b", "1.3.0") && !ok("a/b", "1.2.3"));
    let bad = [
        "", ".", "..", "-a", "a b", "a\tb", "/a", "a/", "a//b", "a/../b", "a/*", "a,b", "a=b",
        "a/-b",
    ];
    assert!(bad.iter().all(|name| !ok(name, "1.11.0")));
    let weights = |text: &str| roles::check_weights(text, &v111()).is_ok();
    assert!(weights("adhoc=1,etl=2.5"));
    for bad in ["", "etl", "etl=0", "etl=-1", "etl=nan", "etl=inf", "etl=1, adhoc=1", "etl=1,etl=2"]
    {
        assert!(!weights(bad), "{bad}");
    }
}

#[test]
fn versions_go_together_or_not() {
    use compatibility::{dispatcher, docker_on_mesos, mesos, spark_java, spark_on_mesos};
    let v = version;
    assert!(mesos(&v("1.11.0+standin")).is_empty() && !mesos(&v("1.12.0")).is_empty());
    assert!(spark_on_mesos(&v("3.5.1"), &v111()).is_empty());
    assert!(!spark_on_mesos(&v("4.0.0"), &v111()).is_empty());
    assert!(!spark_on_mesos(&v("2.1.0"), &v("0.28.3")).is_empty());
    assert!(spark_on_mesos(&v("2.0.2"), &v("0.28.3")).is_empty());
    assert!(!dispatcher(&v("3.5.1")).is_empty() && dispatcher(&v("2.4.8")).is_empty());
    let java = [
        ("3.5.1", 17, true),
        ("3.2.0", 17, false),
        ("2.4.8", 11, false),
        ("2.4.8", 8, true),
        ("2.2.0", 7, false),
        ("2.1.3", 7, true),
        ("3.0.0", 11, true),
    ];
    for (spark, java, fits) in java {
        assert_eq!(spark_java(&v(spark), java).is_empty(), fits, "{spark} {java}");
    }
    assert_eq!(spark_java(&v("3.5.1"), 21)[0].severity, Severity::Warning);
    assert_eq!(compatibility::java_of_package("openjdk-17-jre-headless"), Some(17));
    assert_eq!(compatibility::java_of_package("default-jre"), None);
    let debian = "20.10.24+dfsg1";
    for (at, docker, fits) in [
        ("1.11.0", debian, true),
        ("1.2.1", debian, true),
        ("1.2.0", debian, false),
        ("1.2.0", "5:24.0.7-1~debian.12~bookworm", true),
        ("0.22.1", "1.7.1", true),
        ("0.22.1", "1.8.0", false),
        ("0.21.2", "1.8.0", true),
        ("1.4.2", "1.7.1", true),
        ("1.4.3", "1.7.1", false),
        ("1.5.0", "1.7.1", true),
        ("1.8.0", "1.7.1", false),
        ("1.11.0", "Docker version 20.10.24+dfsg1, build 297e128", true),
        ("1.11.0", "none", false),
    ] {
        assert_eq!(docker_on_mesos(&v(at), docker).is_empty(), fits, "{at} {docker}");
    }
    let systemd = |number| compatibility::systemd(number).first().map(|f| f.severity);
    assert_eq!(
        [252, 255, 256, 257, 258].map(systemd),
        [None, None, Some(Severity::Warning), Some(Severity::Warning), Some(Severity::Error)]
    );
}
