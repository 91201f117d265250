//! What the documents say, held against what is there: links lead somewhere, blocks are read by whoever
//! would read them, and commands are those of the program.

mod commands;
mod links;
mod pages;
mod shell;
