//! Tests of the library, widest first where they overlap: laws over random clusters, snapshots of plans
//! and files, real shells for every script, the engine against a fake fleet, recordings of a real cluster,
//! real sshd and sudo.

mod admission;
mod adopt;
mod diagnose;
mod docs;
mod engine;
mod executors;
mod grammars;
mod growth;
mod health;
mod hooks;
mod hostile;
mod house;
mod inventory;
mod junit;
mod lab_host;
mod laws;
mod lints;
mod mesos;
mod mesos_laws;
mod pages;
mod pipeline;
mod plans;
mod ports;
mod quorum_auth;
mod recorded;
mod remote;
mod remote_ssh;
mod renders;
mod resume;
mod saved;
mod scenarios;
mod schema;
mod screens;
mod scripts;
mod shellcheck;
mod shells;
mod simulate;
mod status;
mod support;
mod tls;
mod ui;
mod verbs;
mod worlds;
