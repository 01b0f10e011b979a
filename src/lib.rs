//! `provision`: from an inventory to a running Apache Spark on Mesos cluster.
pub mod inventory;
pub mod mesos;
pub mod remote;
