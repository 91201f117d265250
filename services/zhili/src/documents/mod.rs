//! What the documents say, held against what is there: links lead somewhere, blocks are read by whoever
//! would read them, commands are those of the program, and the reference of settings is what the types say.

mod commands;
mod links;
mod pages;
mod reference;
mod shell;
