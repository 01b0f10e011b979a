//! What zoo.cfg takes: the catalogue of its keys, and the check of one line.
//!
//! Source: apache/zookeeper releases 3.4.13 to 3.9.3, `QuorumPeerConfig.parseProperties` (types; every key
//! that it does not know becomes a system property that nobody may read) and
//! `zookeeper-docs/src/main/resources/markdown/zookeeperAdmin.md`.

use super::decode::clipped;
use super::types::Catalogue;
use crate::mesos::Finding;

/// A key of `zookeeper.config` that is ours: options of the JVM, not a line of zoo.cfg.
pub const JAVA_OPTIONS: &str = "java_options";

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A whole number from the first to the second.
    Int(i64, i64),
    /// A TCP port.
    Port,
    /// `true` or `false`, in any case.
    Bool,
    /// `yes` or `no`.
    YesNo,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An absolute path.
    Path,
    /// An address to listen on.
    Address,
    /// Anything.
    Text,
    /// Ours to set, with what to write instead.
    Owned(&'static str),
}

const NUMBER: Kind = Kind::Int(0, i32::MAX as i64);
const POSITIVE: Kind = Kind::Int(1, i32::MAX as i64);

/// Keys, by name.
const KEYS: &[(&str, Kind)] = &[
    ("4lw.commands.whitelist", Kind::Text),
    ("DigestAuthenticationProvider.digestAlg", Kind::Text),
    ("DigestAuthenticationProvider.enabled", Kind::Bool),
    ("DigestAuthenticationProvider.superDigest", Kind::Text),
    ("X509AuthenticationProvider.superUser", Kind::Text),
    ("admin.commandURL", Kind::Text),
    ("admin.enableServer", Kind::Bool),
    ("admin.idleTimeout", NUMBER),
    ("admin.portUnification", Kind::Bool),
    ("admin.serverAddress", Kind::Address),
    ("admin.serverPort", Kind::Port),
    ("advancedFlowControlEnabled", Kind::Bool),
    ("allowSaslFailedClients", Kind::Bool),
    ("audit.enable", Kind::Bool),
    ("audit.impl.class", Kind::Text),
    ("autopurge.purgeInterval", NUMBER),
    // ZooKeeper takes 3 for what is less.
    ("autopurge.snapRetainCount", Kind::Int(3, i32::MAX as i64)),
    ("client.portUnification", Kind::Bool),
    ("clientPort", Kind::Port),
    ("clientPortAddress", Kind::Address),
    ("clientTcpKeepAlive", Kind::Bool),
    ("clientPortListenBacklog", Kind::Int(-1, i32::MAX as i64)),
    ("closeSessionTxn.enabled", Kind::Bool),
    ("cnxTimeout", POSITIVE),
    ("commitLogCount", NUMBER),
    ("commitProcessor.maxCommitBatchSize", POSITIVE),
    ("commitProcessor.maxReadBatchSize", Kind::Int(-1, i32::MAX as i64)),
    ("commitProcessor.numWorkerThreads", NUMBER),
    ("commitProcessor.shutdownTimeout", NUMBER),
    ("connectToLearnerMasterLimit", NUMBER),
    ("connection_throttle_tokens", NUMBER),
    ("container.checkIntervalMs", POSITIVE),
    ("container.maxNeverUsedIntervalMs", NUMBER),
    ("container.maxPerMinute", POSITIVE),
    ("dataDir", Kind::Path),
    ("dataLogDir", Kind::Path),
    ("digest.enabled", Kind::Bool),
    ("dynamicConfigFile", Kind::Owned("members are `zookeeper.servers`; delete the line")),
    // Others are gone since 3.5, and were worse before.
    ("electionAlg", Kind::Int(3, 3)),
    ("electionPortBindRetry", NUMBER),
    ("enableEagerACLCheck", Kind::Bool),
    ("enforce.auth.enabled", Kind::Bool),
    ("enforce.auth.schemes", Kind::Text),
    ("ensembleAuthName", Kind::Text),
    ("extendedTypesEnabled", Kind::Bool),
    ("fastleader.maxNotificationInterval", POSITIVE),
    ("fastleader.minNotificationInterval", POSITIVE),
    ("flushDelay", NUMBER),
    ("follower.nodelay", Kind::Bool),
    ("forceSync", Kind::YesNo),
    ("fsync.warningthresholdms", NUMBER),
    ("globalOutstandingLimit", POSITIVE),
    ("initLimit", POSITIVE),
    ("jmx.log4j.disable", Kind::Bool),
    ("jute.maxbuffer.extrasize", POSITIVE),
    ("jvm.pause.info-threshold.ms", NUMBER),
    ("jvm.pause.monitor", Kind::Bool),
    ("jvm.pause.sleep.time.ms", POSITIVE),
    ("jvm.pause.warn-threshold.ms", NUMBER),
    ("kerberos.removeHostFromPrincipal", Kind::Bool),
    ("kerberos.removeRealmFromPrincipal", Kind::Bool),
    ("largeRequestMaxBytes", POSITIVE),
    ("largeRequestThreshold", Kind::Int(-1, i32::MAX as i64)),
    ("leader.maxConcurrentDiffSyncs", POSITIVE),
    ("leader.maxConcurrentSnapSyncs", POSITIVE),
    ("leader.maxTimeToWaitForEpoch", Kind::Int(-1, i32::MAX as i64)),
    ("leader.nodelay", Kind::Bool),
    // Source: `Leader.lead`: with `no` the leader answers no client, `srvr` included.
    ("leaderServes", Kind::Word(&["yes"])),
    ("learner.asyncSending", Kind::Bool),
    ("learner.closeSocketAsync", Kind::Bool),
    ("localSessionsEnabled", Kind::Bool),
    ("localSessionsUpgradingEnabled", Kind::Bool),
    ("maxBatchSize", NUMBER),
    ("maxClientCnxns", NUMBER),
    ("maxCnxns", NUMBER),
    ("maxResponseCacheSize", NUMBER),
    ("maxGetChildrenResponseCacheSize", NUMBER),
    ("maxSessionTimeout", POSITIVE),
    ("maxWriteQueuePollTime", NUMBER),
    ("messageTracker.BufferSize", NUMBER),
    ("metricsProvider.className", Kind::Text),
    ("metricsProvider.httpPort", Kind::Port),
    ("minSessionTimeout", POSITIVE),
    ("multiAddress.enabled", Kind::Bool),
    ("multiAddress.reachabilityCheckEnabled", Kind::Bool),
    ("multiAddress.reachabilityCheckTimeoutMs", POSITIVE),
    ("nio.directBufferBytes", NUMBER),
    ("nio.numSelectorThreads", POSITIVE),
    ("nio.numWorkerThreads", NUMBER),
    ("nio.sessionlessCnxnTimeout", POSITIVE),
    ("nio.shutdownTimeout", NUMBER),
    ("observer.election.DelayMs", NUMBER),
    ("observer.reconnectDelayMs", NUMBER),
    ("observerMasterPort", Kind::Port),
    ("oraclePath", Kind::Path),
    ("outstandingHandshake.limit", Kind::Int(-1, i32::MAX as i64)),
    ("peerType", Kind::Word(&["participant"])),
    ("portUnification", Kind::Bool),
    ("preAllocSize", POSITIVE),
    ("quorum.auth.enableSasl", Kind::Bool),
    ("quorum.auth.kerberos.servicePrincipal", Kind::Text),
    ("quorum.auth.learner.saslLoginContext", Kind::Text),
    ("quorum.auth.learnerRequireSasl", Kind::Bool),
    ("quorum.auth.server.saslLoginContext", Kind::Text),
    ("quorum.auth.serverRequireSasl", Kind::Bool),
    ("quorum.cnxn.threads.size", POSITIVE),
    ("quorumListenOnAllIPs", Kind::Bool),
    ("readonlymode.enabled", Kind::Bool),
    // The servers would write members into a file beside zoo.cfg, and that file's name into zoo.cfg.
    ("reconfigEnabled", Kind::Word(&["false"])),
    ("requestThrottleLimit", NUMBER),
    ("requestThrottleStallTime", POSITIVE),
    ("request_throttler.shutdownTimeout", NUMBER),
    ("secureClientPort", Kind::Port),
    ("secureClientPortAddress", Kind::Address),
    ("serializeLastProcessedZxid.enabled", Kind::Bool),
    ("serverCnxnFactory", Kind::Text),
    ("sessionRequireClientSASLAuth", Kind::Bool),
    ("skipACL", Kind::YesNo),
    ("snapCount", POSITIVE),
    ("snapSizeLimitInKb", NUMBER),
    ("snapshot.compression.method", Kind::Word(&["", "gz", "snappy"])),
    ("snapshot.trust.empty", Kind::Bool),
    ("sslQuorum", Kind::Bool),
    ("sslQuorumReloadCertFiles", Kind::Bool),
    ("standaloneEnabled", Kind::Bool),
    ("superUser", Kind::Text),
    ("syncEnabled", Kind::Bool),
    ("syncLimit", POSITIVE),
    // Sessions are clamped to 2..20 ticks and Mesos asks for 10 s.
    ("tcpKeepAlive", Kind::Bool),
    ("tickTime", Kind::Int(500, 5000)),
    ("txnLogSizeLimitInKb", Kind::Int(-1, i32::MAX as i64)),
    ("traceFile", Kind::Path),
    ("warnForRelativePath", Kind::Bool),
    ("watchManagerName", Kind::Text),
    ("watcherCleanIntervalInSeconds", POSITIVE),
    ("watcherCleanThreadsNum", POSITIVE),
    ("watcherCleanThreshold", POSITIVE),
    ("maxInProcessingDeadWatchers", Kind::Int(-1, i32::MAX as i64)),
    ("znode.container.checkIntervalMs", POSITIVE),
];

/// Beginnings of keys whose ends are the user's own, or too many.
const FAMILIES: [(&str, Kind); 8] = [
    ("authProvider.", Kind::Text),
    ("metricsProvider.", Kind::Text),
    ("netty.", Kind::Text),
    ("ssl.", Kind::Text),
    ("test.", Kind::Text),
    ("server.", Kind::Owned("members are `zookeeper.servers`; delete the line")),
    // How many make a quorum is reckoned from the number of servers.
    ("group.", Kind::Owned("every server has one vote; delete the line")),
    ("weight.", Kind::Owned("every server has one vote; delete the line")),
];

/// The keys of zoo.cfg with what they take, for the schema.
pub(super) struct ZooCfg;

impl Catalogue for ZooCfg {
    fn known() -> Vec<(String, String)> {
        let known = KEYS.iter().filter(|(_, kind)| !matches!(kind, Kind::Owned(_)));
        let ours = (JAVA_OPTIONS.to_owned(), "options of the JVM, default -Xmx512m".to_owned());
        known.map(|(key, kind)| ((*key).to_owned(), kind.words())).chain([ours]).collect()
    }
}

/// Directories that nobody may be given whole.
const SHARED: [&str; 16] = [
    "",
    "/data",
    "/etc",
    "/home",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// What is wrong with one line: its name in kebab-case, and the finding.
pub(super) fn check(key: &str, value: &str) -> Option<(&'static str, Finding)> {
    if key == JAVA_OPTIONS {
        let wrong = java_options(value).err()?;
        return Some(("bad-option", Finding::error(wrong).help("write it like -Xmx1g -Dx='a b'")));
    }
    let known = KEYS.iter().find(|(known, _)| *known == key);
    let family = FAMILIES.iter().find(|(begin, _)| key.starts_with(begin));
    let Some((_, kind)) = known.or(family) else { return Some(unknown(key)) };
    if let Kind::Owned(instead) = kind {
        let message = format!("`{key}` of zoo.cfg is ours to set");
        return Some(("owned-option", Finding::error(message).help(*instead)));
    }
    if matches!(key, "dataDir" | "dataLogDir") && SHARED.contains(&value.trim_end_matches('/')) {
        let message = format!("`{key}` {value} holds other things too");
        let finding =
            Finding::error(message).help("write a directory of its own, such as /data/zookeeper");
        return Some(("bad-option", finding));
    }
    if kind.reads(value) {
        return (key == "4lw.commands.whitelist").then(|| words(value)).flatten();
    }
    let message = format!("`{key}`: expected {}, found `{}`", kind.words(), clipped(value));
    let help = match key {
        "tickTime" => "delete the line; sessions last 2 to 20 ticks, and Mesos asks for 10 seconds",
        "leaderServes" => "delete the line; each member is asked how it is, the leader too",
        "peerType" => "delete the line; every server has a vote",
        "reconfigEnabled" => "delete the line; the servers would rewrite zoo.cfg, which is ours",
        "electionAlg" => "delete the line; 3 is the one that is left",
        _ => "correct it, or delete the line for the default",
    };
    Some(("bad-option", Finding::error(message).help(help)))
}

/// Health is read with these.
fn words(list: &str) -> Option<(&'static str, Finding)> {
    let words: Vec<&str> = list.split(',').map(str::trim).collect();
    let missing: Vec<&str> = ["srvr", "mntr"]
        .into_iter()
        .filter(|word| !words.contains(word) && !words.contains(&"*"))
        .collect();
    let list = missing.join(" and ");
    let message = format!("`4lw.commands.whitelist` lacks {list}, with which health is asked");
    let help = format!("add {list}, or delete the line");
    (!missing.is_empty()).then(|| ("bad-option", Finding::error(message).help(help)))
}

fn unknown(key: &str) -> (&'static str, Finding) {
    if !super::grammar::word(key, "._-") {
        let message = format!("`{}` cannot be a key of zoo.cfg", clipped(key));
        let help = "keys are letters, digits, `.`, `_` and `-`";
        return ("bad-name", Finding::error(message).help(help));
    }
    if key.eq_ignore_ascii_case("jute.maxbuffer") {
        let message = "`jute.maxbuffer` is an option of the JVM, and not read from zoo.cfg";
        let help = format!("write {JAVA_OPTIONS}: \"-Xmx512m -Djute.maxbuffer=…\"");
        return ("unknown-option", Finding::error(message).help(help));
    }
    let names = || KEYS.iter().map(|(name, _)| *name).chain([JAVA_OPTIONS]);
    if let Some(same) = names().find(|name| name.eq_ignore_ascii_case(key)) {
        let message = format!("zoo.cfg has no `{key}`");
        return ("unknown-option", Finding::error(message).help(format!("write `{same}`")));
    }
    let help = match super::decode::nearest(key, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "delete the line, or allow this if your ZooKeeper reads it".to_owned(),
    };
    ("unknown-option", Finding::warning(format!("zoo.cfg has no `{key}`")).help(help))
}

impl Kind {
    fn reads(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Kind::Int(least, most) => {
                value.parse().is_ok_and(|number: i64| (least..=most).contains(&number))
            }
            Kind::Port => value.parse().is_ok_and(|port: u16| port > 0),
            Kind::Bool => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Kind::YesNo => matches!(value, "yes" | "no"),
            Kind::Word(words) => words.contains(&value),
            Kind::Path => value.starts_with('/') && !value.contains(char::is_whitespace),
            Kind::Address => {
                value.parse::<std::net::IpAddr>().is_ok() || super::grammar::host_name(value)
            }
            Kind::Text => true,
            Kind::Owned(_) => false,
        }
    }

    fn words(self) -> String {
        match self {
            Kind::Int(least, most) if least == most => least.to_string(),
            Kind::Int(least, most) if most == i64::from(i32::MAX) => {
                format!("a whole number from {least}")
            }
            Kind::Int(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Port => "a port from 1 to 65535".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::YesNo => "yes or no".to_owned(),
            Kind::Word(words) => {
                words.iter().filter(|w| !w.is_empty()).copied().collect::<Vec<_>>().join(" or ")
            }
            Kind::Path => "an absolute path without blanks".to_owned(),
            Kind::Address => "an address or a host name".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Owned(_) => "nothing".to_owned(),
        }
    }
}

/// Options of the JVM, taken apart as `JDK_JAVA_OPTIONS` is: blanks divide, single or double quotes keep
/// together, and nothing else is special.
///
/// Source: the java command, "Using the JDK_JAVA_OPTIONS Launcher Environment Variable".
///
/// # Errors
/// One sentence: a quote is not closed, or an option does not begin with a hyphen.
pub fn java_options(text: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if let Some(open) = quote {
        return Err(format!("`{JAVA_OPTIONS}`: a {open} is not closed"));
    }
    // What does not begin so would be taken for the class to run.
    match words.iter().find(|word| !word.starts_with('-')) {
        Some(word) => Err(format!("`{JAVA_OPTIONS}`: `{word}` is no option of the JVM")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, value: &str) -> Option<&'static str> {
        check(key, value).map(|(name, _)| name)
    }

    #[test]
    fn keys_are_told_apart_by_their_case_and_values_by_their_bounds() {
        for (key, value) in [
            ("tickTime", "500"),
            ("tickTime", "5000"),
            ("quorumListenOnAllIPs", "TRUE"),
            ("forceSync", "no"),
            ("clientPortAddress", "::"),
            ("ssl.keyStore.location", "/x"),
            ("metricsProvider.exportJvmInfo", "true"),
            ("4lw.commands.whitelist", "*"),
            ("4lw.commands.whitelist", "mntr, srvr"),
        ] {
            assert_eq!(said(key, value), None, "{key}={value}");
        }
        for (key, value, name) in [
            ("tickTime", "499", "bad-option"),
            ("initLimit", "ten", "bad-option"),
            ("initlimit", "10", "unknown-option"),
            ("dataLogDir", "logs", "bad-option"),
            ("forceSync", "false", "bad-option"),
            ("sslQuorum", "yes", "bad-option"),
            ("4lw.commands.whitelist", "ruok,srvr", "bad-option"),
            ("weight.1", "2", "owned-option"),
            ("jute.maxbuffer", "1", "unknown-option"),
            ("a b", "1", "bad-name"),
        ] {
            assert_eq!(said(key, value), Some(name), "{key}={value}");
        }
    }

    #[test]
    fn options_of_the_jvm_are_divided_as_java_does() {
        let words = java_options(r#"-Xmx1g  -Dx="a b"'c"d' -Dy=%t;$HOME\n"#).unwrap();
        assert_eq!(words, ["-Xmx1g", "-Dx=a bc\"d", r"-Dy=%t;$HOME\n"]);
        assert_eq!(java_options("").unwrap(), Vec::<String>::new());
        assert!(java_options("-Dx='a").unwrap_err().contains("not closed"));
        assert!(java_options("-Xmx1g oops").unwrap_err().contains("`oops`"));
    }
}
