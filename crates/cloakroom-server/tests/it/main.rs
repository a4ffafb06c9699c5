//! The server from outside: the real binary, real files.

mod cli;
mod web;
