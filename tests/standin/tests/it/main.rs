//! The stand-in seen from outside: its texts, its wrapper, and a whole cluster on loopback.

mod cluster;
mod common;
mod package;
mod texts;
mod wrapper;
mod zookeeper;
