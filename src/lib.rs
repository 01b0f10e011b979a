//! `provision`: from an inventory to a running Apache Spark on Mesos cluster.
pub mod apply;
pub mod event;
pub mod health;
pub mod inventory;
pub mod lab;
pub mod mesos;
pub mod observe;
pub mod plan;
pub mod preflight;
pub mod remote;
pub mod report;
pub mod resource;
pub mod script;
pub mod simulate;
pub mod smoke;
pub mod tasks;
pub mod template;
