//! Signatures made by the tools themselves: gpg, minisign, ssh-keygen, openssl. Each good one is verified, and everything
//! that is not quite it is refused.
//!
//! A tool that is not installed is passed over with a word, unless `STELLA_FOREIGN=1` demands it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, talk, and start the tools that it is about"
)]

mod gpg;
mod minisign;
mod openssl;
mod ssh;
mod tool;
mod trial;
mod tuf;
