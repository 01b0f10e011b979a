//! The driver against a scripted master, by itself and in a real JVM.

mod driver;
mod jvm;
mod master;
