//! The stand-in seen from outside: its texts, its wrapper, and a whole cluster on loopback.

mod cluster;
mod common;
mod containers;
mod execute;
mod framework;
mod master;
mod package;
mod pair;
mod scheduler;
mod spark;
mod tasks;
mod texts;
mod wrapper;
mod zookeeper;
