//! This machine: its files, our directories on it, its clock. No other room writes files here, so what
//! "whole or not at all" and "for our eyes only" mean is said once.

pub mod clock;
pub mod directories;
pub mod files;
pub mod packages;
