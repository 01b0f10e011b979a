//! `provision`: from an inventory to a running Apache Spark on Mesos cluster.
pub mod inventory;
pub mod lab;
pub mod mesos;
