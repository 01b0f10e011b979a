//! `provision`: from an inventory to a running Apache Spark on Mesos cluster.
pub mod event;
pub mod health;
pub mod inventory;
pub mod mesos;
pub mod plan;
pub mod remote;
pub mod report;
pub mod resource;
pub mod script;
pub mod simulate;
pub mod tasks;
pub mod template;
